"""Quarantine: what took a worker or its process down in every attempt is not tried again until somebody has looked.

It is held under the project and the request key: another project learns nothing of it. The build that ended keeps the
evidence: its attempts, their logs and what they left. An operator releases it; so does a worker with another version of
the toolchain or the pipeline, since that makes it another build.
"""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from enginehouse.bundle import canonical_json
from enginehouse.capability import Capability
from enginehouse.errors import BuildCrashed, Failure, NotFound, Quarantined, WorkerLost
from enginehouse.request import Recipe
from enginehouse.states import AttemptState
from enginehouse.views import Page, QuarantineView
from scheduler import events, line
from scheduler.farm import Farm
from scheduler.paging import page
from scheduler.placement import PoolState
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Build, Pool, Project, Quarantine, Worker
from scheduler.tokens import Principal

POISON = frozenset({WorkerLost.code, BuildCrashed.code})
"""How attempts end that the build itself may have brought down. A store that is away is nobody's poison."""

log = structlog.get_logger(__name__)

_Made = tuple[bytes, str]
"""A toolchain's versions, and the pipeline's."""


def enter(session: Session, build: Build) -> None:
    """The build has had its last attempt; from now on it is the evidence."""
    row = _row(session, build)
    if row is None:
        row = Quarantine(project_id=build.project_id, request_key=build.request_key)
        session.add(row)
    row.build_id = build.id
    row.created = now(session)
    events.emit(session, "build.quarantined", build=build)
    log.warning("build.quarantined", build=build.id, request_key=build.request_key)


def refusal(session: Session, build: Build, online: Sequence[PoolState]) -> Failure | None:
    """Why a new build fails at once; None where it may be tried. What is made otherwise by now ends the quarantine."""
    row = _row(session, build)
    if row is None:
        return None
    evidence = session.get_one(Build, row.build_id)
    if _made_otherwise(session, evidence, online):
        _end(session, row, evidence, "another toolchain or pipeline")
        return None
    return _failure(evidence)


def shared(session: Session, build: Build, follower: Build) -> Failure | None:
    """Why a build fails that had joined one which is in quarantine now."""
    row = _row(session, build)
    same = row is not None and row.build_id == build.id and follower.project_id == build.project_id
    return _failure(build) if same else None


def list_(session: Session, limit: int = 50, after: str | None = None) -> Page[QuarantineView]:
    """All that is in quarantine, of every project, the newest build first."""
    rows, following = page(session, select(Quarantine), Quarantine.build_id, limit, after)
    return Page(items=[_view(session, row) for row in rows], next=following)


def release(farm: Farm, principal: Principal, build: str) -> QuarantineView:
    """Let what the build asks for be tried again. Any build that asks for the same may be named."""
    with farm.write() as session:
        found = session.get(Build, build)
        row = _row(session, found) if found is not None else None
        if row is None:
            advice = "'enginehouse admin quarantine' shows what is."
            raise NotFound(f"there is no build {build} in quarantine", advice=advice, build=build)
        view = _view(session, row)
        _end(session, row, session.get_one(Build, row.build_id), principal.name)
        return view


def _end(session: Session, row: Quarantine, evidence: Build, by: str) -> None:
    session.delete(row)
    session.flush()
    events.emit(session, "build.released", build=evidence, by=by)
    log.info("build.released", build=evidence.id, request_key=row.request_key, by=by)


def _row(session: Session, build: Build) -> Quarantine | None:
    return session.get(Quarantine, (build.project_id, build.request_key))


def _failure(evidence: Build) -> Failure:
    last = f" ({evidence.failure['where'].get('last', evidence.failure['code'])})" if evidence.failure else ""
    detail = f"build {evidence.id} asked for the same and ended its attempts{last}"
    return Quarantined(detail, build=evidence.id).failure()


def _made_otherwise(session: Session, evidence: Build, online: Sequence[PoolState]) -> bool:
    target = Recipe.model_validate(evidence.recipe).target
    able = line.placed(evidence.demand, online).pools
    tried = {
        _made(capability, pool.pipeline)
        for pool in session.scalars(select(Pool).join(Attempt, Attempt.pool == Pool.name).where(_tried(evidence)))
        for capability in map(Capability.model_validate, pool.capabilities)
        if capability.backend == target.backend
    }
    return any(
        _made(capability, pool.pipeline) not in tried
        for pool in able
        if (capability := pool.capability(target.backend)) is not None
    )


def _made(capability: Capability, pipeline: str) -> _Made:
    return canonical_json(capability.toolchain), pipeline


def _tried(build: Build) -> ColumnElement[bool]:
    return (Attempt.build_id == build.id) & (Attempt.state != AttemptState.EXPIRED.value)


def _view(session: Session, row: Quarantine) -> QuarantineView:
    build = session.get_one(Build, row.build_id)
    names = select(Worker.name).join(Attempt, Attempt.worker_id == Worker.id).where(_tried(build)).distinct()
    failure = build.failure or {}
    return QuarantineView(
        build=build.id,
        job=build.job_id,
        project=session.get_one(Project, build.project_id).name,
        model=build.model_id,
        target=Recipe.model_validate(build.recipe).target,
        last=failure.get("where", {}).get("last", failure.get("code", "")),
        workers=sorted(session.scalars(names)),
        created=row.created,
    )

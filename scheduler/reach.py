"""Where a model can go: for every backend and precision that workers have announced, yes, or the reason why not."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.capability import Capability
from enginehouse.errors import BoundsRequired, DatasetRequired, EnginehouseError, Failure, Fault
from enginehouse.request import Recipe
from enginehouse.signature import ModelSignature
from enginehouse.states import BuildState
from enginehouse.targets import BACKENDS, Precision, Target
from enginehouse.views import Reach, ReachView
from scheduler import models, pools
from scheduler.placement import place
from scheduler.registry.tables import Build
from scheduler.requirements import Given, check_target
from scheduler.tokens import Principal

_REMEMBERED = 500


def of_model(
    session: Session,
    principal: Principal,
    model: str,
    given: Given | None = None,
    options: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[ReachView]:
    """One entry per backend and precision, in the order of the published lists.

    ``given``: what a job would bring along; without it, the model alone. ``options``: by backend.
    """
    row = models.row(session, principal.project, model)
    signature = ModelSignature.model_validate(row.signature)
    announced = [found for pool in pools.ever(session) for found in pool.capabilities]
    online = pools.online(session)
    failures = _failures(session, principal.project, model)
    found = []
    given = given or Given(signature)
    for target in _targets(announced):
        asked = target.model_copy(update={"options": dict((options or {}).get(target.backend, {}))})
        entry = _judge(asked, given, announced)
        failure = failures.get(str(target))
        if entry.reach is Reach.YES and failure is not None:
            entry = ReachView(target=str(target), reach=Reach.FAILED, code=failure.code, reason=failure.detail)
        elif entry.reach is Reach.YES and (reason := place(target, signature.format, online).reason):
            entry = entry.model_copy(update={"reason": reason})
        found.append(entry)
    return found


def _targets(announced: list[Capability]) -> list[Target]:
    pairs = {(found.backend, precision) for found in announced for precision in found.precisions}
    backends = [*BACKENDS, *sorted({backend for backend, _ in pairs} - set(BACKENDS))]
    ordered = [(backend, precision) for backend in backends for precision in Precision if (backend, precision) in pairs]
    return [Target(backend=backend, precision=precision) for backend, precision in ordered]


def _judge(target: Target, given: Given, announced: list[Capability]) -> ReachView:
    try:
        check_target(target, given, announced)
    except (DatasetRequired, BoundsRequired) as error:
        return ReachView(target=str(target), reach=Reach.NEEDS, code=error.code, reason=error.detail)
    except EnginehouseError as error:
        return ReachView(target=str(target), reach=Reach.NO, code=error.code, reason=error.detail)
    return ReachView(target=str(target), reach=Reach.YES)


def _failures(session: Session, project: str, model: str) -> dict[str, Failure]:
    """Target to what its newest ended build with default options failed of, where that was not the farm's fault."""
    query = (
        select(Build)
        .where(
            Build.project_id == project,
            Build.model_id == model,
            Build.state.in_([BuildState.SUCCEEDED.value, BuildState.FAILED.value]),
        )
        .order_by(Build.id.desc())
        .limit(_REMEMBERED)
    )
    newest: dict[str, Failure | None] = {}
    for row in session.scalars(query):
        target = Recipe.model_validate(row.recipe).target
        if not target.options:
            failure = Failure.model_validate(row.failure) if row.failure else None
            newest.setdefault(f"{target.backend}:{target.precision}", failure)
    lasting = (Fault.MODEL, Fault.TOOLCHAIN)
    return {target: failure for target, failure in newest.items() if failure and failure.fault in lasting}

"""Never built twice: results found again, and builds that join one in flight."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, exists, select
from sqlalchemy.orm import Session

from enginehouse.errors import Failure, Fault
from enginehouse.gates import Gates, judge
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.states import ENDED, BuildState, Origin
from scheduler import quarantine, transitions
from scheduler.cachekey import cache_key
from scheduler.farm import wake_after
from scheduler.placement import PoolState
from scheduler.registry.tables import Artifact, Build, Model
from scheduler.retention import last_use

_IN_FLIGHT = [BuildState.WAITING.value, BuildState.DISPATCHED.value, BuildState.RUNNING.value]


def find(session: Session, project: str, recipe: Recipe, pools: Sequence[PoolState]) -> Artifact | None:
    """The newest artifact that one of these pools would build, unless its outputs disagreed (no failure is cached).

    Only what was built for the project itself, or for one that shares the model: how soon an answer comes would tell
    that somebody else has it.
    """
    keys = [
        cache_key(recipe, capability, pool.hardware_class, pool.pipeline, pool.capabilities)
        for pool in pools
        if (capability := pool.capability(recipe.target.backend)) is not None
    ]
    if not keys:
        return None
    query = select(Artifact).where(Artifact.cache_key.in_(keys), Artifact.agrees.is_(True), Artifact.evicted.is_(None))
    query = query.where(exists().where(Build.artifact_id == Artifact.id, _may_answer(project)))
    return session.scalar(query.order_by(Artifact.serial.desc()).limit(1))


def leader(session: Session, build: Build) -> Build | None:
    """The oldest build in flight that does what this one asks for; only an older one, so that none wait in a circle."""
    query = (
        select(Build)
        .where(Build.request_key == build.request_key, Build.state.in_(_IN_FLIGHT))
        .where(Build.joined_to.is_(None), Build.id < build.id, _may_answer(build.project_id))
    )
    return session.scalar(query.order_by(Build.id).limit(1))


def _may_answer(project: str) -> ColumnElement[bool]:
    """Builds whose result may be given to a project: its own, and those of models that their project shares."""
    shared = exists().where(Model.project_id == Build.project_id, Model.id == Build.model_id, Model.shared.is_(True))
    return (Build.project_id == project) | shared


def join(session: Session, build: Build, to: Build) -> None:
    """Wait for the other build's end instead of being dispatched."""
    build.joined_to = to.id
    transitions.explain(session, build, f"the same build is in flight as {to.id}; its result will be shared")


def verdict(session: Session, build: Build, artifact: Artifact, origin: Origin) -> None:
    """End a build with an artifact: succeeded, or failed because outputs disagree or a gate of its own is missed."""
    last_use.note(session, artifact)
    failure = judge(Gates.model_validate(build.gates), Report.model_validate(artifact.report))
    if failure is None:
        transitions.succeeded(session, build, artifact, origin)
    else:
        build.origin = origin.value
        transitions.failed(session, build, failure, evidence=artifact)


def settle_followers(session: Session, build: Build) -> None:
    """The build has ended: share its artifact with those that joined it, or let the oldest of them go on.

    A failure of the model or the request would only repeat itself, so it is shared as well.
    """
    if build.state not in ENDED:
        return
    session.flush()
    followers = list(session.scalars(select(Build).where(Build.joined_to == build.id).order_by(Build.id)))
    if not followers:
        return
    artifact = session.get(Artifact, build.artifact_id) if build.artifact_id else None
    failure = Failure.model_validate(build.failure) if build.failure else None
    if (quarantined := quarantine.shared(session, build, followers[0])) is not None:
        for follower in followers:
            transitions.failed(session, follower, quarantine.shared(session, build, follower) or quarantined)
            settle_followers(session, follower)
    elif artifact is not None and (artifact.agrees or build.state == BuildState.FAILED):
        for follower in followers:
            verdict(session, follower, artifact, Origin.JOINED)
            settle_followers(session, follower)
    elif (
        failure is not None
        and failure.fault in {Fault.MODEL, Fault.REQUEST, Fault.TOOLCHAIN}
        and not _by_limits(failure)
    ):
        for follower in followers:
            transitions.failed(session, follower, failure)
            settle_followers(session, follower)
    else:
        first, *others = followers
        first.joined_to = None
        transitions.explain(session, first, f"build {build.id}, which it had joined, ended without a result")
        for other in others:
            join(session, other, first)
        wake_after(session)


def _by_limits(failure: Failure) -> bool:
    """Whether the failure came from the limits of the other job, which are not part of the recipe."""
    return failure.code in {"build.time_exceeded", "build.memory_exceeded"}

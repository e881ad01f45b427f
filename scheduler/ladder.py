"""Ladders: the build that takes the place of one that was not good enough."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.baselines import against
from enginehouse.capability import Capability
from enginehouse.errors import EnginehouseError, Failure, InvalidOption
from enginehouse.ladder import MIXED, below, described, goes_on
from enginehouse.request import Recipe
from enginehouse.signature import ModelSignature
from enginehouse.states import BuildState, Priority
from enginehouse.targets import Target
from scheduler import ids, line, models, pools
from scheduler.cachekey import request_key
from scheduler.placement import PoolState, place
from scheduler.registry.engine import now
from scheduler.registry.tables import Build, Dataset, Job
from scheduler.requirements import Given, check_target, without_unknown


@dataclass(frozen=True)
class Step:
    """Where a ladder goes on. ``target`` is None where it ends. ``note``: what a person should know of it."""

    target: Target | None
    note: str


def next_step(
    target: Target,
    given: Given,
    known: Sequence[PoolState],
    online: Sequence[PoolState],
    baselines: Sequence[Target] = (),
) -> Step:
    """The first rung under ``target`` that somebody offers: of those online, else of all that were ever known. Pure.

    ``baselines``: what the rung is measured against, too.
    """
    found: list[Step] = []
    passed: list[str] = []
    for wanted in below(target):
        try:
            fitting = _fitting(wanted, given, known)
        except EnginehouseError as error:
            passed.append(f"{described(wanted)} passed over: {error.detail}")
            continue
        gone = sorted(set(target.options) - set(fitting.options))
        left_out = [f"left out: the option{'s' if len(gone) > 1 else ''} {', '.join(gone)}"] if gone else []
        found.append(Step(fitting, "; ".join([*left_out, *passed])))
    if not found:
        why = passed or [f"there is nothing above {target.precision}"]
        return Step(None, "; ".join(["the ladder ends here", *why]))
    away: list[str] = []
    for step in found:
        assert step.target is not None
        placement = place(step.target, given.signature.format, online, against(step.target, baselines))
        if placement.pools:
            return Step(step.target, "; ".join(filter(None, [step.note, *away])))
        away.append(f"{described(step.target)} passed over: {placement.reason}")
    return found[0]


def go_on(session: Session, build: Build, failure: Failure) -> Build | None:
    """The row of the build that takes the place of one that failed, or None. It is the caller's to add.

    Where the ladder ends for want of a rung, the failed build's note says so.
    """
    job = session.get_one(Job, build.job_id)
    if not job.ladder or not goes_on(failure):
        return None
    recipe = Recipe.model_validate(build.recipe)
    signature = ModelSignature.model_validate(models.row(session, build.project_id, build.model_id).signature)
    given = Given(signature, _samples(session, build, recipe), recipe.shapes, recipe.profiles)
    step = next_step(recipe.target, given, pools.ever(session), pools.online(session), recipe.baselines)
    if step.target is None:
        build.note = "; ".join(filter(None, [build.note, step.note]))
        return None
    wanted = recipe.model_copy(update={"target": step.target})
    rung = new_build(job, build.position, wanted, build.gates, signature.format)
    rung.ladder_of = build.ladder_of or build.id
    rung.rung = build.rung + 1
    rung.created = rung.not_before = now(session)
    rung.note = "; ".join(filter(None, [f"in the place of {described(recipe.target)} ({failure.code})", step.note]))
    return rung


def new_build(job: Job, position: int, recipe: Recipe, gates: dict[str, object], model_format: str) -> Build:
    """A build's row, before anything has happened to it."""
    return Build(
        id=ids.new("build"),
        job_id=job.id,
        project_id=job.project_id,
        position=position,
        rung=0,
        model_id=job.model_id,
        recipe=recipe.model_dump(mode="json"),
        gates=gates,
        state=BuildState.WAITING.value,
        reason="",
        note="",
        demand=line.demand(model_format, recipe.target, recipe.against()),
        due=line.due(job.created, Priority(job.priority)),
        request_key=request_key(recipe),
        attempt=0,
        tries=0,
        fence=0,
        not_before=job.created,
        created=job.created,
    )


def newest_rung(session: Session, build: Build) -> Build:
    """The build of its ladder that decides: itself, where it has none."""
    query = select(Build).where(Build.ladder_of == (build.ladder_of or build.id)).order_by(Build.rung.desc()).limit(1)
    return session.scalar(query) or build


def replaced_by(session: Session, build: Build) -> str | None:
    """The id of the rung after this one."""
    after = (Build.ladder_of == (build.ladder_of or build.id)) & (Build.rung == build.rung + 1)
    return session.scalar(select(Build.id).where(after))


def _fitting(wanted: Target, given: Given, known: Sequence[PoolState]) -> Target:
    """The rung as one of the pools takes it. Raises the reason why none does."""
    hardware = [pool for pool in known if pool.meets(wanted)]
    offers = [offer for pool in hardware if (offer := pool.capability(wanted.backend))]
    complaint: EnginehouseError | None = None
    for offer in offers:
        target = wanted.model_copy(update={"options": without_unknown(wanted.options, offer.options_schema)})
        try:
            _check_mixed(wanted, target, offer)
            check_target(target, given, [offer])
        except EnginehouseError as error:
            complaint = complaint or error
        else:
            return target
    raise complaint or InvalidOption(f"no worker that was ever announced offers {wanted.backend} there")


def _check_mixed(wanted: Target, target: Target, offer: Capability) -> None:
    if wanted.options.get(MIXED) and not target.options.get(MIXED):
        raise InvalidOption(f"{offer.backend} has no option '{MIXED}'")


def _samples(session: Session, build: Build, recipe: Recipe) -> int | None:
    if recipe.dataset is None:
        return None
    mine = (Dataset.project_id == build.project_id) & (Dataset.sha256 == recipe.dataset)
    return session.scalar(select(Dataset.samples).where(mine).limit(1))

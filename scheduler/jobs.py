"""Jobs: a submission becomes builds; what was built before is answered at once, what is in flight is joined."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.bundle import canonical_json
from enginehouse.errors import Conflict, InvalidShapes, NotFound
from enginehouse.gates import Gates
from enginehouse.request import JobRequest, Limits, Recipe
from enginehouse.shapes import Profile, check_profile, check_shapes, profile_of
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.states import JobState, Origin, Priority
from enginehouse.targets import Target
from enginehouse.views import JobView, Page
from scheduler import (
    audit,
    builds,
    cache,
    datasets,
    ids,
    ladder,
    models,
    ownership,
    pools,
    projects,
    quarantine,
    transitions,
)
from scheduler.again import Again
from scheduler.auto import targets_of
from scheduler.farm import Farm
from scheduler.paging import page
from scheduler.placement import PoolState, place
from scheduler.registry.engine import now
from scheduler.registry.tables import Build, Dataset, Job, Project
from scheduler.requirements import Given, check_baselines, check_target
from scheduler.tokens import Principal
from scheduler.waiting import Waiting


def submit(
    farm: Farm,
    principal: Principal,
    request: JobRequest,
    idempotency_key: str | None = None,
    request_id: str = "",
    again: Again | None = None,
) -> tuple[JobView, bool]:
    """Accept a job. Returns it and whether it is new (False: the idempotency key was seen before).

    Job, builds and event are written in one transaction; the answer already shows what the cache had.
    """
    with farm.write() as session:
        seen = _seen(session, principal.project, idempotency_key, _digest(request, again))
        if seen is not None:
            return view(session, seen), False
        return view(session, accept(farm, session, principal, request, idempotency_key, request_id, again=again)), True


def accept(
    farm: Farm,
    session: Session,
    principal: Principal,
    request: JobRequest,
    idempotency_key: str | None = None,
    request_id: str = "",
    batch: str | None = None,
    again: Again | None = None,
) -> Job:
    """The job in a transaction that the caller has begun. Raises what is wrong with the request."""
    drawn = draft(session, principal, request, idempotency_key, request_id, again=again)
    job, rows = drawn.job, drawn.rows
    job.batch_id = batch
    if again is not None:
        again.mark(rows)
    projects.check_room(session, farm.settings, principal.project, len(rows))
    session.add(job)
    session.flush()
    session.add_all(rows)
    session.flush()
    audit.concerns(f"job {job.id} ({job.name})" if job.name else f"job {job.id}")
    transitions.created(session, job, rows, **({"cloned_from": again.job} if again else {}))
    for row in rows:
        _answer(session, row, drawn.model_format, drawn.online)
    session.flush()
    return job


@dataclass(frozen=True)
class Draft:
    """A job that could be accepted: its rows, which are in no session yet, and what placement needs to know."""

    job: Job
    rows: list[Build]
    model_format: str
    online: list[PoolState]


def draft(
    session: Session,
    principal: Principal,
    request: JobRequest,
    idempotency_key: str | None = None,
    request_id: str = "",
    *,
    again: Again | None = None,
) -> Draft:
    """The job as it would be accepted; nothing is written. Raises what is wrong with the request."""
    signature = ModelSignature.model_validate(models.row(session, principal.project, request.model).signature)
    known = pools.ever(session)
    announced = [found for pool in known for found in pool.capabilities]
    given, dataset = brought_along(session, principal, request, signature)
    online = pools.online(session)
    targets = targets_of(request, signature.format, online)
    for target in targets:
        check_target(target, given, announced)
        check_baselines(target, request.baselines_of(target), given, known)
    job = _job(session, principal, request, dataset, idempotency_key, _digest(request, again), request_id)
    rows = _builds_of(job, request, _recipes(request, targets, dataset, given.profiles), signature.format)
    return Draft(job, rows, signature.format, online)


def brought_along(
    session: Session, principal: Principal, request: JobRequest, signature: ModelSignature
) -> tuple[Given, Dataset | None]:
    """What the request gives its targets, and its dataset. Raises what of them does not fit the model."""
    check_shapes(signature.inputs, request.shapes)
    profiles = _profiles(request, signature)
    dataset = None
    if request.dataset is not None:
        dataset = datasets.find(session, principal.project, request.dataset)
        specs = [TensorSpec.model_validate(spec) for spec in dataset.inputs]
        datasets.check_fits(specs, signature, dataset.name)
    return Given(signature, dataset.samples if dataset else None, request.shapes, profiles), dataset


def get(session: Session, principal: Principal, job: str, waiting: Waiting | None = None) -> JobView:
    """One of the project's jobs; with the line, also where in it the builds stand."""
    return view(session, _row(session, principal, job), waiting)


def name_of(session: Session, job: str) -> str:
    """A job's name, for whoever may see one of its builds."""
    return session.get_one(Job, job).name


def list_(
    session: Session,
    principal: Principal,
    state: JobState | None = None,
    model: str | None = None,
    limit: int = 50,
    after: str | None = None,
) -> Page[JobView]:
    """The project's jobs, newest first."""
    query = select(Job).where(Job.project_id == principal.project)
    if state is not None:
        query = query.where(Job.state == state.value)
    if model is not None:
        query = query.where(Job.model_id == model)
    rows, following = page(session, query, Job.id, limit, after)
    return Page(items=[view(session, row) for row in rows], next=following)


def cancel(farm: Farm, principal: Principal, job: str) -> JobView:
    """Cancel every build of the job that has not ended; those already ended stay as they are."""
    with farm.write() as session:
        row = _row(session, principal, job)
        ownership.check(principal, row.submitted_by, f"job {job}")
        stop(session, row)
        session.flush()
        return view(session, row)


def stop(session: Session, job: Job) -> None:
    """Cancel its builds in a transaction that the caller has begun."""
    for build in _builds(session, job):
        transitions.cancel(session, build)
        cache.settle_followers(session, build)


def view(session: Session, row: Job, waiting: Waiting | None = None) -> JobView:
    """What the API shows; with the line, also where in it the builds stand."""
    return JobView(
        id=row.id,
        name=row.name,
        project=session.get_one(Project, row.project_id).name,
        model=row.model_id,
        dataset=row.dataset_name,
        state=JobState(row.state),
        priority=Priority(row.priority),
        gates=Gates.model_validate(row.gates),
        ladder=row.ladder,
        limits=Limits.model_validate(row.limits),
        builds=[builds.view(session, build, waiting) for build in _builds(session, row)],
        submitted_by=ownership.name_of(session, row.submitted_by),
        created=row.created,
        ended=row.ended,
    )


def _digest(request: JobRequest, again: Again | None) -> str:
    asked = request.model_dump(mode="json") | ({"again": again.job} if again else {})
    return hashlib.sha256(canonical_json(asked)).hexdigest()


def _seen(session: Session, project: str, key: str | None, digest: str) -> Job | None:
    if key is None:
        return None
    job = session.scalar(select(Job).where(Job.project_id == project, Job.idempotency_key == key))
    if job is not None and job.request_digest != digest:
        raise Conflict("this Idempotency-Key was used for another request", advice="Use a new key.", job=job.id)
    return job


def _profiles(request: JobRequest, signature: ModelSignature) -> list[Profile]:
    """The profiles that were given, or the one that the observed shapes lie in."""
    if not request.observed_shapes:
        for number, profile in enumerate(request.profiles):
            check_profile(signature.inputs, profile, f"profiles.{number}")
        return request.profiles
    if request.profiles:
        raise InvalidShapes("give 'profiles' or 'observed_shapes', not both", field="observed_shapes")
    for number, shapes in enumerate(request.observed_shapes):
        check_shapes(signature.inputs, shapes, f"observed_shapes.{number}")
    derived = profile_of(request.observed_shapes)
    check_profile(signature.inputs, derived, "observed_shapes")
    return [derived]


def _recipes(
    request: JobRequest, targets: Sequence[Target], dataset: Dataset | None, profiles: Sequence[Profile]
) -> list[Recipe]:
    common: dict[str, Any] = {
        "model": request.model,
        "dataset": dataset.sha256 if dataset else None,
        "verify": request.verify,
        "benchmark": request.benchmark,
        "seed": request.seed,
        "shapes": request.shapes,
        "profiles": tuple(profiles),
        "metric": request.metric,
    }
    return [Recipe(target=target, baselines=request.baselines_of(target), **common) for target in targets]


def _job(
    session: Session,
    principal: Principal,
    request: JobRequest,
    dataset: Dataset | None,
    key: str | None,
    digest: str,
    request_id: str,
) -> Job:
    return Job(
        id=ids.new("job"),
        project_id=principal.project,
        name=request.name,
        model_id=request.model,
        dataset_id=dataset.sha256 if dataset else None,
        dataset_name=f"{dataset.name}@{dataset.version}" if dataset else None,
        state=transitions.initial_job_state(),
        priority=request.priority.value,
        gates=request.gates.model_dump(mode="json"),
        ladder=request.ladder,
        limits=request.limits.model_dump(mode="json"),
        request_id=request_id,
        submitted_by=ownership.submitter(principal),
        idempotency_key=key,
        request_digest=digest,
        created=now(session),
    )


def _builds_of(job: Job, request: JobRequest, recipes: Sequence[Recipe], model_format: str) -> list[Build]:
    return [
        ladder.new_build(job, number, recipe, request.gates_of(recipe.target).model_dump(mode="json"), model_format)
        for number, recipe in enumerate(recipes)
    ]


def _answer(session: Session, build: Build, model_format: str, online: list[PoolState]) -> None:
    """From the cache, by what is in quarantine, by joining, or by waiting for the dispatcher with the reason."""
    recipe = Recipe.model_validate(build.recipe)
    placement = place(recipe.target, model_format, online, recipe.against())
    artifact = cache.find(session, build.project_id, recipe, placement.pools)
    if artifact is not None:
        cache.verdict(session, build, artifact, Origin.CACHE)
    elif (refused := quarantine.refusal(session, build, online)) is not None:
        transitions.failed(session, build, refused)
    elif (leader := cache.leader(session, build)) is not None:
        cache.join(session, build, leader)
    else:
        transitions.explain(session, build, placement.waits_for)


def _row(session: Session, principal: Principal, job: str) -> Job:
    row = session.get(Job, job)
    if row is None or row.project_id != principal.project:
        raise NotFound(f"there is no job {job}", job=job)
    return row


def _builds(session: Session, job: Job) -> list[Build]:
    return list(session.scalars(select(Build).where(Build.job_id == job.id).order_by(Build.position, Build.rung)))

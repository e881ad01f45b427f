"""Batches: jobs accepted in one transaction, shown and cancelled as one; artifacts built again."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from pydantic import BaseModel
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from enginehouse.batch import BatchJob, BatchRequest, BatchView, RebuildRequest
from enginehouse.bundle import canonical_json
from enginehouse.errors import Conflict, EnginehouseError, NotFound
from enginehouse.gates import Gates
from enginehouse.report import Report
from enginehouse.request import JobRequest, Recipe, fields_of
from enginehouse.states import JOB_ENDED, JobState
from enginehouse.targets import read_requirement
from enginehouse.views import Page
from scheduler import audit, ids, jobs, ownership
from scheduler.farm import Farm
from scheduler.paging import page
from scheduler.registry.engine import now
from scheduler.registry.tables import Artifact, Batch, Build, Job
from scheduler.tokens import Principal

_ENOUGH_DB = 100.0
"""Above it nothing that anybody could see differs, so a new build need not reach it."""


def submit(
    farm: Farm, principal: Principal, request: BatchRequest, key: str | None = None, request_id: str = ""
) -> tuple[BatchView, bool]:
    """Accept all of the jobs, or none. Returns the batch and whether it is new.

    What is wrong with a job is raised as it would be for the job alone, with its number.
    """
    with farm.write() as session:
        seen = _seen(session, principal, key, request)
        if seen is not None:
            return _view(session, seen), False
        return _accept(farm, session, principal, request, request.name, request.jobs, key, request_id), True


def rebuild(
    farm: Farm, principal: Principal, request: RebuildRequest, key: str | None = None, request_id: str = ""
) -> tuple[BatchView, bool]:
    """Build artifacts of the project again, under gates from their own reports. Returns the batch, and if it is new."""
    with farm.write() as session:
        seen = _seen(session, principal, key, request)
        if seen is not None:
            return _view(session, seen), False
        wanted = [_again(session, principal, artifact, request) for artifact in dict.fromkeys(request.artifacts)]
        return _accept(farm, session, principal, request, request.name, wanted, key, request_id), True


def get(session: Session, principal: Principal, batch: str) -> BatchView:
    """One of the project's batches, with its jobs."""
    return _view(session, _row(session, principal, batch))


def list_(session: Session, principal: Principal, limit: int = 50, after: str | None = None) -> Page[BatchView]:
    """The project's batches, newest first, without their jobs."""
    query = select(Batch).where(Batch.project_id == principal.project)
    rows, following = page(session, query, Batch.id, limit, after)
    return Page(items=[_view(session, row).model_copy(update={"jobs": []}) for row in rows], next=following)


def cancel(farm: Farm, principal: Principal, batch: str) -> BatchView:
    """Cancel every job of the batch that has not ended."""
    with farm.write() as session:
        row = _row(session, principal, batch)
        for job in _jobs(session, row):
            if JobState(job.state) not in JOB_ENDED:
                ownership.check(principal, job.submitted_by, f"batch {batch}")
                jobs.stop(session, job)
        session.flush()
        return _view(session, row)


def state_of(states: Sequence[JobState]) -> JobState:
    """A batch's state from its jobs': ended when all have, and then by the worst. Pure."""
    found = set(states)
    if found <= JOB_ENDED:
        return next(one for one in (JobState.FAILED, JobState.CANCELLED, JobState.SUCCEEDED) if one in found)
    if JobState.CANCELLING in found:
        return JobState.CANCELLING
    return JobState.WAITING if found == {JobState.WAITING} else JobState.RUNNING


def gates_of(report: Report, request: RebuildRequest) -> Gates:
    """What a new build must reach to be no worse than the one that this report is of. Pure."""
    found: dict[str, float] = {}
    if report.verification is not None:
        signal = [output.sqnr_db for output in report.verification.outputs if output.sqnr_db is not None]
        if signal:
            found["min_sqnr_db"] = min(min(signal), _ENOUGH_DB) - request.max_sqnr_loss_db
    if report.benchmark is not None and report.benchmark.speedup_low is not None:
        found["min_speedup"] = report.benchmark.speedup_low * (1 - request.max_slowdown)
    return Gates.model_validate(found)


def _accept(
    farm: Farm,
    session: Session,
    principal: Principal,
    request: BaseModel,
    name: str,
    wanted: Sequence[JobRequest],
    key: str | None,
    request_id: str,
) -> BatchView:
    row = Batch(
        id=ids.new("batch"), project_id=principal.project, name=name, idempotency_key=key,
        request_digest=_digest(request), created=now(session),
    )  # fmt: skip
    session.add(row)
    session.flush()
    named = f"batch {row.id} ({name})" if name else f"batch {row.id}"
    for number, one in enumerate(wanted):
        try:
            jobs.accept(farm, session, principal, one, request_id=request_id, batch=row.id)
        except EnginehouseError as error:
            error.detail = f"jobs.{number}: {error.detail}"
            error.args = (error.detail,)
            error.where = {"job": number, **error.where}
            raise
    audit.concerns(named)
    session.flush()
    return _view(session, row)


def _again(session: Session, principal: Principal, artifact: str, request: RebuildRequest) -> JobRequest:
    mine = (Build.artifact_id == artifact) & (Build.project_id == principal.project)
    build = session.scalar(select(Build).where(mine).order_by(Build.id.desc()).limit(1))
    if build is None:
        raise NotFound(f"there is no artifact {artifact}", artifact=artifact)
    recipe = Recipe.model_validate(build.recipe)
    requires = sorted({*recipe.target.requires, *request.requires})
    target = recipe.target.model_copy(update={"requires": read_requirement(requires)})
    gates = gates_of(Report.model_validate(session.get_one(Artifact, artifact).report), request)
    job = session.get_one(Job, build.job_id)
    return JobRequest.model_validate(
        {
            **fields_of(recipe.model_copy(update={"target": target})),
            "gates": gates.model_dump(mode="json", exclude_none=True),
            "priority": request.priority,
            "limits": request.limits,
            "name": job.name,
        }
    )


def _seen(session: Session, principal: Principal, key: str | None, request: BaseModel) -> Batch | None:
    if key is None:
        return None
    mine = (Batch.project_id == principal.project) & (Batch.idempotency_key == key)
    row = session.scalar(select(Batch).where(mine))
    if row is not None and row.request_digest != _digest(request):
        raise Conflict("this Idempotency-Key was used for another request", advice="Use a new key.", batch=row.id)
    return row


def _digest(request: BaseModel) -> str:
    return hashlib.sha256(canonical_json(request.model_dump(mode="json"))).hexdigest()


def _row(session: Session, principal: Principal, batch: str) -> Batch:
    row = session.get(Batch, batch)
    if row is None or row.project_id != principal.project:
        raise NotFound(f"there is no batch {batch}", batch=batch)
    return row


def _jobs(session: Session, row: Batch) -> list[Job]:
    return list(session.scalars(select(Job).where(Job.batch_id == row.id).order_by(Job.id)))


def _view(session: Session, row: Batch) -> BatchView:
    found = _jobs(session, row)
    query = select(Job.state, func.count()).where(Job.batch_id == row.id).group_by(Job.state)
    counts = {JobState(state): count for state, count in session.execute(query)}
    return BatchView(
        id=row.id,
        name=row.name,
        state=state_of(list(counts)),
        counts=counts,
        jobs=[BatchJob(id=job.id, name=job.name, model=job.model_id, state=JobState(job.state)) for job in found],
        created=row.created,
    )

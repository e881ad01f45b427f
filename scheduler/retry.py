"""Retry, clone, and another priority. An end is final: what is built again is a new job that says where it is from."""

from __future__ import annotations

from collections.abc import Sequence

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import Conflict, NotFound
from enginehouse.request import JobChanges, JobRequest
from enginehouse.states import ENDED, JOB_ENDED, BuildState, Priority
from enginehouse.views import JobView
from scheduler import events, jobs, line, ownership
from scheduler.again import Again, changed, fields_again, request_from
from scheduler.farm import Farm, wake_after
from scheduler.registry.tables import Attempt, Build, Job, Pool
from scheduler.tokens import Principal

log = structlog.get_logger(__name__)

_RETRIED = frozenset({BuildState.FAILED, BuildState.CANCELLED})


def retry_build(
    farm: Farm, principal: Principal, build: str, *, elsewhere: bool = False, key: str | None = None, request: str = ""
) -> tuple[JobView, bool]:
    """A build that failed or was cancelled, again, as a job of its own. Returns it and whether it is new."""
    with farm.read() as session:
        row = session.get(Build, build)
        if row is None or row.project_id != principal.project:
            raise NotFound(f"there is no build {build}", build=build)
        of = session.get_one(Job, row.job_id)
        ownership.check(principal, of.submitted_by, f"build {build}")
        if row.state not in _RETRIED:
            raise Conflict(
                f"build {build} is {row.state}; only what failed or was cancelled is built again",
                advice="'enginehouse job clone JOB' builds a whole job again.",
                build=build,
                state=row.state,
            )
        wanted, again = _wanted(session, of, [row], elsewhere)
    return jobs.submit(farm, principal, wanted, key, request, again)


def retry_job(
    farm: Farm, principal: Principal, job: str, *, elsewhere: bool = False, key: str | None = None, request: str = ""
) -> tuple[JobView, bool]:
    """Those of a job's builds that failed or were cancelled, again, as a new job."""
    with farm.read() as session:
        row = _job(session, principal, job)
        ownership.check(principal, row.submitted_by, f"job {job}")
        newest = {build.position: build for build in _builds(session, row)}
        ended = [build for build in newest.values() if build.state in _RETRIED]
        if not ended:
            raise Conflict(
                f"no build of job {job} has failed or was cancelled",
                advice="'enginehouse job clone JOB' builds a whole job again.",
                job=job,
            )
        wanted, again = _wanted(session, row, ended, elsewhere)
    return jobs.submit(farm, principal, wanted, key, request, again)


def clone(
    farm: Farm, principal: Principal, job: str, changes: JobChanges, *, key: str | None = None, request: str = ""
) -> tuple[JobView, bool]:
    """The whole job again, with other fields where some are given. Returns it and whether it is new."""
    with farm.read() as session:
        wanted = request_of(session, principal, job, changes)
    return jobs.submit(farm, principal, wanted, key, request, Again(job))


def request_of(session: Session, principal: Principal, job: str, changes: JobChanges | None = None) -> JobRequest:
    """What the whole job asked for, with other fields where some are given."""
    row = _job(session, principal, job)
    asked = [build for build in _builds(session, row) if build.rung == 0]
    known = session.scalars(select(Pool.name)).all()
    return request_from(changed(fields_again(row, asked, known), changes or JobChanges()))


def prioritise(farm: Farm, principal: Principal, job: str, priority: Priority) -> JobView:
    """Put what the job still has to build elsewhere in the line. What runs is not disturbed."""
    with farm.write() as session:
        row = _job(session, principal, job)
        ownership.check(principal, row.submitted_by, f"job {job}")
        if row.state in JOB_ENDED:
            raise Conflict(f"job {job} is {row.state}; its priority means nothing any more", job=job, state=row.state)
        if row.priority != priority:
            events.emit(session, "job.priority", job=row, priority=priority.value, came_from=row.priority)
            log.info("job.priority", job=row.id, priority=priority.value, came_from=row.priority, by=principal.name)
            row.priority = priority.value
            for build in _builds(session, row):
                if build.state not in ENDED:  # one that runs may come back into the line
                    build.due = line.due(row.created, priority)
            wake_after(session)
            session.flush()
        return jobs.view(session, row)


def _wanted(session: Session, job: Job, builds: Sequence[Build], elsewhere: bool) -> tuple[JobRequest, Again]:
    again = Again(
        job=job.id,
        notes={build.request_key: f"in the place of {build.id} ({_ended_by(build)})" for build in builds},
        avoid={build.request_key: _had_it(session, build) for build in builds} if elsewhere else {},
    )
    return request_from(fields_again(job, builds)), again


def _ended_by(build: Build) -> str:
    return str(build.failure["code"]) if build.failure else build.state


def _had_it(session: Session, build: Build) -> list[str]:
    query = select(Attempt.worker_id).where(Attempt.build_id == build.id, Attempt.worker_id.is_not(None)).distinct()
    return sorted({*(worker for worker in session.scalars(query) if worker is not None), *build.avoid})


def _job(session: Session, principal: Principal, job: str) -> Job:
    row = session.get(Job, job)
    if row is None or row.project_id != principal.project:
        raise NotFound(f"there is no job {job}", job=job)
    return row


def _builds(session: Session, job: Job) -> list[Build]:
    return list(session.scalars(select(Build).where(Build.job_id == job.id).order_by(Build.position, Build.rung)))

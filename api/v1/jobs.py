"""Jobs: one model, one or more targets."""

from __future__ import annotations

from pydantic import Field

from api.auth import Scope
from api.routing import Call, Reply, Router
from api.v1.headers import SubmitHeaders
from api.v1.paging import PageQuery
from enginehouse.errors import (
    BoundsRequired,
    Conflict,
    DatasetMismatch,
    DatasetRequired,
    DatasetTooSmall,
    FarmFull,
    InvalidOption,
    InvalidShapes,
    NotFound,
    QuotaExceeded,
    UnknownBackend,
    UnknownPrecision,
    UnsupportedFormat,
)
from enginehouse.operations import Prioritise, Retry
from enginehouse.request import JobChanges, JobRequest, Sha256
from enginehouse.states import JobState
from enginehouse.views import JobView, Page
from scheduler import jobs, retry
from scheduler.waiting import Waiting

router = Router("jobs")

SUBMIT_ERRORS = (
    DatasetRequired,
    DatasetTooSmall,
    InvalidShapes,
    BoundsRequired,
    NotFound,
    Conflict,
    UnknownBackend,
    UnknownPrecision,
    InvalidOption,
    UnsupportedFormat,
    DatasetMismatch,
    QuotaExceeded,
    FarmFull,
)
SUBMIT_AGAIN = {200: "The Idempotency-Key was seen before: the job that it made"}


class JobsQuery(PageQuery):
    """What to list."""

    state: JobState | None = Field(default=None, description="only jobs in this state")
    model: Sha256 | None = Field(default=None, description="only jobs of this model")


@router.route(
    "POST",
    "/v1/jobs",
    Scope.SUBMIT,
    "Submit a job",
    status=201,
    also=SUBMIT_AGAIN,
    errors=SUBMIT_ERRORS,
    counted=True,
)
def submit(call: Call, body: JobRequest, headers: SubmitHeaders) -> Reply[JobView]:
    """A build that was made before is answered at once; one that is in flight is joined."""
    job, created = jobs.submit(call.farm, call.principal, body, headers.idempotency_key, call.request_id)
    return Reply(job, 201 if created else 200, {"Location": f"/v1/jobs/{job.id}"})


@router.route("GET", "/v1/jobs", Scope.READ, "The project's jobs, newest first")
def list_(call: Call, query: JobsQuery) -> Page[JobView]:
    """One page."""
    with call.farm.read() as session:
        return jobs.list_(session, call.principal, query.state, query.model, query.limit, query.after)


@router.route("GET", "/v1/jobs/<job>", Scope.READ, "A job with its builds")
def show(call: Call, job: str) -> JobView:
    """By its id."""
    with call.farm.read() as session:
        return jobs.get(session, call.principal, job, Waiting(session, call.farm.settings))


@router.route(
    "POST",
    "/v1/jobs/<job>/cancel",
    Scope.SUBMIT,
    "Cancel all of a job's builds that have not ended",
    others=Scope.MAINTAIN,
)
def cancel(call: Call, job: str) -> JobView:
    """Running builds are stopped by their workers; the answer shows them as cancelling."""
    return jobs.cancel(call.farm, call.principal, job)


@router.route(
    "PATCH",
    "/v1/jobs/<job>",
    Scope.SUBMIT,
    "Change the priority of a job that has not ended",
    errors=(NotFound, Conflict),
    others=Scope.MAINTAIN,
)
def change(call: Call, job: str, body: Prioritise) -> JobView:
    """What it still has to build takes the place in the line that it would have had; what runs is not disturbed."""
    return retry.prioritise(call.farm, call.principal, job, body.priority)


@router.route(
    "POST",
    "/v1/jobs/<job>/retry",
    Scope.SUBMIT,
    "Build again those of a job's builds that failed or were cancelled, as a new job",
    status=201,
    also=SUBMIT_AGAIN,
    errors=(NotFound, Conflict),
    others=Scope.MAINTAIN,
    counted=True,
)
def retry_(call: Call, job: str, body: Retry, headers: SubmitHeaders) -> Reply[JobView]:
    """Of a ladder, the last rung. Each build's note names the one in whose place it is."""
    made, new = retry.retry_job(
        call.farm, call.principal, job, elsewhere=body.elsewhere, key=headers.idempotency_key, request=call.request_id
    )
    return Reply(made, 201 if new else 200, {"Location": f"/v1/jobs/{made.id}"})


@router.route(
    "POST",
    "/v1/jobs/<job>/clone",
    Scope.SUBMIT,
    "Submit a job again, with other fields where some are given",
    status=201,
    also=SUBMIT_AGAIN,
    errors=SUBMIT_ERRORS,
    counted=True,
)
def clone(call: Call, job: str, body: JobChanges, headers: SubmitHeaders) -> Reply[JobView]:
    """What was built before is answered at once, as for any job."""
    made, new = retry.clone(call.farm, call.principal, job, body, key=headers.idempotency_key, request=call.request_id)
    return Reply(made, 201 if new else 200, {"Location": f"/v1/jobs/{made.id}"})

"""Jobs: one model, one or more targets."""

from __future__ import annotations

from pydantic import BaseModel, Field

from api.auth import Scope
from api.routing import Call, Reply, Router
from api.v1.paging import PageQuery
from enginehouse.errors import (
    BoundsRequired,
    Conflict,
    DatasetMismatch,
    DatasetRequired,
    DatasetTooSmall,
    InvalidOption,
    InvalidShapes,
    NotFound,
    UnknownBackend,
    UnknownPrecision,
    UnsupportedFormat,
)
from enginehouse.request import JobRequest, Sha256
from enginehouse.states import JobState
from enginehouse.views import JobView, Page
from scheduler import jobs

router = Router("jobs")


class JobsQuery(PageQuery):
    """What to list."""

    state: JobState | None = Field(default=None, description="only jobs in this state")
    model: Sha256 | None = Field(default=None, description="only jobs of this model")


class SubmitHeaders(BaseModel):
    """How to submit once, however often the request is sent."""

    idempotency_key: str | None = Field(
        default=None,
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="a text of the caller's own; the same key answers the same job again",
    )


@router.route(
    "POST",
    "/v1/jobs",
    Scope.SUBMIT,
    "Submit a job",
    status=201,
    also={200: "The Idempotency-Key was seen before: the job that it made"},
    errors=(
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
    ),
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
        return jobs.get(session, call.principal, job)


@router.route("POST", "/v1/jobs/<job>/cancel", Scope.SUBMIT, "Cancel all of a job's builds that have not ended")
def cancel(call: Call, job: str) -> JobView:
    """Running builds are stopped by their workers; the answer shows them as cancelling."""
    return jobs.cancel(call.farm, call.principal, job)

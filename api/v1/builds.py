"""Builds: one (model, target) of a job."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.routing import Call, Reply, Router
from api.v1.headers import SubmitHeaders
from enginehouse.errors import Conflict, NotFound
from enginehouse.operations import Retry
from enginehouse.views import AttachmentView, BuildView, JobView, LogPage
from scheduler import builds, retry
from scheduler.waiting import Waiting

router = Router("builds")


class LogQuery(BaseModel):
    """Which lines."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0, le=2**31 - 1, description="only lines with a greater number")
    attempt: int | None = Field(default=None, ge=1, le=2**31 - 1, description="of this attempt; else of the newest")


@router.route("GET", "/v1/builds/<build>", Scope.READ, "A build with its attempts")
def show(call: Call, build: str) -> BuildView:
    """By its id."""
    with call.farm.read() as session:
        return builds.get(session, call.principal, build, Waiting(session, call.farm.settings))


@router.route("GET", "/v1/builds/<build>/log", Scope.READ, "A build's log, from a line on")
def log(call: Call, build: str, query: LogQuery) -> LogPage:
    """``ended``: no further lines will come for this attempt."""
    with call.farm.read() as session:
        return builds.log(session, call.principal, build, query.after, query.attempt)


class AttemptQuery(BaseModel):
    """Which attempt."""

    model_config = ConfigDict(extra="forbid")

    attempt: int | None = Field(default=None, ge=1, le=2**31 - 1, description="of this attempt; else of the newest")


@router.route("GET", "/v1/builds/<build>/attachments/<name>", Scope.READ, "A file that a failed attempt left")
def attachment(call: Call, build: str, name: str, query: AttemptQuery) -> AttachmentView:
    """The names stand in the build's attempts; ``reproduce.py`` repeats the failing step outside the farm."""
    with call.farm.read() as session:
        return builds.attachment(session, call.principal, build, name, query.attempt)


@router.route(
    "POST", "/v1/builds/<build>/cancel", Scope.SUBMIT, "Cancel a build that has not ended", others=Scope.MAINTAIN
)
def cancel(call: Call, build: str) -> BuildView:
    """A running build is stopped by its worker; the answer shows it as cancelling."""
    return builds.cancel(call.farm, call.principal, build)


@router.route(
    "POST",
    "/v1/builds/<build>/retry",
    Scope.SUBMIT,
    "Build again what failed or was cancelled, as a new job",
    status=201,
    also={200: "The Idempotency-Key was seen before: the job that it made"},
    errors=(NotFound, Conflict),
    others=Scope.MAINTAIN,
    counted=True,
)
def retry_(call: Call, build: str, body: Retry, headers: SubmitHeaders) -> Reply[JobView]:
    """The end of a build is final, so it is a job of its own; its build's note names the one in whose place it is."""
    job, new = retry.retry_build(
        call.farm,
        call.principal,
        build,
        elsewhere=body.elsewhere,
        key=headers.idempotency_key,
        request=call.request_id,
    )
    return Reply(job, 201 if new else 200, {"Location": f"/v1/jobs/{job.id}"})

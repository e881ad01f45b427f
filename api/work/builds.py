"""What a worker says of the attempt that it holds. Every call carries the fencing number."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api import downloads
from api.auth import Scope
from api.bodies import OCTETS
from api.routing import Call, Router
from enginehouse.errors import AttemptStale, DigestMismatch, NotFound, RangeNotSatisfiable, UploadIncomplete
from enginehouse.views import BuildView
from enginehouse.work import Claim, ClaimRequest, Complete, Fail, LogBatch, PhaseUpdate, PublishReply, PublishRequest
from scheduler import attempts

router = Router("work")


class InputQuery(BaseModel):
    """Under which fencing number."""

    model_config = ConfigDict(extra="forbid")

    fence: int = Field(ge=0, le=2**31 - 1, description="the fencing number that the claim gave")


_ERRORS = (AttemptStale, NotFound)


@router.route(
    "POST", "/v1/work/builds/<build>/claim", Scope.WORK, "Take the attempt that a message named", errors=_ERRORS
)
def claim(call: Call, build: str, body: ClaimRequest) -> Claim:
    """All that the pipeline needs; a duplicate delivery is refused."""
    return attempts.claim(call.farm, build, body)


@router.route(
    "GET",
    "/v1/work/builds/<build>/inputs/<sha256>",
    Scope.WORK,
    "A file that the claim named, whole or in part",
    also={206: "The range that was asked for", 302: "The store serves it at this address", 304: "Unchanged"},
    errors=(*_ERRORS, RangeNotSatisfiable),
    produces=OCTETS,
)
def input_file(call: Call, build: str, sha256: str, query: InputQuery) -> Response:
    """Only while the fencing number holds the build."""
    return downloads.send(attempts.input_file(call.farm, build, query.fence, sha256))


@router.route("POST", "/v1/work/builds/<build>/phase", Scope.WORK, "The build has entered a phase", errors=_ERRORS)
def phase(call: Call, build: str, body: PhaseUpdate) -> None:
    """Recorded and told to listeners."""
    attempts.phase(call.farm, build, body)


@router.route("POST", "/v1/work/builds/<build>/log", Scope.WORK, "Captured lines, in order", errors=_ERRORS)
def log(call: Call, build: str, body: LogBatch) -> None:
    """A line that was sent before is harmless."""
    attempts.log(call.farm, build, body)


@router.route("POST", "/v1/work/builds/<build>/publish", Scope.WORK, "Ask where the bundle's files go", errors=_ERRORS)
def publish(call: Call, build: str, body: PublishRequest) -> PublishReply:
    """One slot for each file; what the farm holds already need not be sent."""
    return attempts.publish(call.farm, build, body)


@router.route(
    "POST",
    "/v1/work/builds/<build>/complete",
    Scope.WORK,
    "The bundle is up: make it the build's artifact",
    errors=(*_ERRORS, UploadIncomplete, DigestMismatch),
)
def complete(call: Call, build: str, body: Complete) -> BuildView:
    """Blobs first, manifest last; until here nothing of the artifact can be seen."""
    return attempts.complete(call.farm, build, body)


@router.route(
    "POST", "/v1/work/builds/<build>/fail", Scope.WORK, "The attempt ended without an artifact", errors=_ERRORS
)
def fail(call: Call, build: str, body: Fail) -> BuildView:
    """Failed, cancelled or released."""
    return attempts.fail(call.farm, build, body)

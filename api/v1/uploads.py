"""Uploads in parts: any size, resumable after a kill, each part and the whole with its SHA-256."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.bodies import BodyStream
from api.routing import Call, Router
from enginehouse.errors import Conflict, DigestMismatch, Forbidden, QuotaExceeded, TooLarge, UploadIncomplete
from enginehouse.request import Sha256
from enginehouse.uploads import PartsRequest, UploadRequest
from enginehouse.views import PartUrl, PartView, UploadView
from scheduler import uploads

router = Router("uploads")


class PartUrls(BaseModel):
    """Where to PUT each part, in the order asked."""

    parts: list[PartUrl]


class SignedPart(BaseModel):
    """The query of a part's address: what was signed, and the signature."""

    model_config = ConfigDict(extra="forbid")

    sha256: Sha256
    expires: int = Field(ge=0, le=2**62, description="Unix time")
    signature: str = Field(pattern=r"^[0-9a-f]{1,128}$")


@router.route(
    "POST",
    "/v1/uploads",
    Scope.SUBMIT,
    "Open an upload, or find the open one of the same bytes",
    status=201,
    errors=(QuotaExceeded, TooLarge),
)
def open_(call: Call, body: UploadRequest) -> UploadView:
    """``state`` is 'complete', and there is no id, when the project has sent these bytes before."""
    return uploads.open_(call.farm, call.principal, body)


@router.route("GET", "/v1/uploads/<upload>", Scope.SUBMIT, "An upload with the parts that have arrived")
def show(call: Call, upload: str) -> UploadView:
    """What is missing is what is not listed."""
    return uploads.view(call.farm, call.principal, upload)


@router.route("DELETE", "/v1/uploads/<upload>", Scope.SUBMIT, "Forget an unfinished upload", errors=(Conflict,))
def abort(call: Call, upload: str) -> None:
    """Its bytes are deleted."""
    uploads.abort(call.farm, call.principal, upload)


@router.route("POST", "/v1/uploads/<upload>/parts", Scope.SUBMIT, "Ask where to PUT these parts", errors=(Conflict,))
def part_urls(call: Call, upload: str, body: PartsRequest) -> PartUrls:
    """An address of the store where that is S3, else a signed one of this API."""
    return PartUrls(parts=uploads.part_urls(call.farm, call.principal, upload, body))


@router.route(
    "PUT",
    "/v1/uploads/<upload>/parts/<int:number>",
    Scope.SIGNED,
    "Send a part to the address that was given for it",
    errors=(Conflict, DigestMismatch, Forbidden),
    any_type=True,
)
def receive_part(call: Call, upload: str, number: int, query: SignedPart, stream: BodyStream) -> PartView:
    """The address carries its own signature and expiry; no token is needed."""
    return uploads.receive_part(call.farm, upload, number, query.sha256, query.expires, query.signature, stream)


@router.route(
    "POST",
    "/v1/uploads/<upload>/complete",
    Scope.SUBMIT,
    "Put the parts together and check the whole SHA-256",
    errors=(UploadIncomplete, DigestMismatch),
)
def complete(call: Call, upload: str) -> UploadView:
    """Repeating it is harmless."""
    return uploads.complete(call.farm, call.principal, upload)

"""Source models: pushed as one stream, or made from completed uploads."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api import downloads
from api.auth import Scope
from api.bodies import OCTETS, BodyStream
from api.routing import Call, Reply, Router
from api.v1.paging import PageQuery
from enginehouse.errors import (
    Conflict,
    DigestMismatch,
    ExternalDataMissing,
    ExternalDataOutside,
    ModelExecutesCode,
    ModelFormatUnsupported,
    ModelUnreadable,
    QuotaExceeded,
    RangeNotSatisfiable,
)
from enginehouse.request import Sha256
from enginehouse.uploads import ModelRequest
from enginehouse.views import ModelView, Page, ReachView
from scheduler import models, reach

router = Router("models")


class ModelQuery(BaseModel):
    """The name of a model that comes as a stream (a JSON body brings its own)."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(default="", max_length=200, description="for people; with an octet-stream body")


class DigestHeader(BaseModel):
    """What the sender says that the bytes are."""

    sha256: Sha256 | None = Field(
        default=None, alias="X-Content-SHA256", description="SHA-256 (hex) of an octet-stream body, checked on arrival"
    )


@router.route(
    "POST",
    "/v1/models",
    Scope.SUBMIT,
    "Push a model as one stream, or make one from completed uploads",
    status=201,
    also={200: "The project has this model already"},
    errors=(
        DigestMismatch,
        ModelUnreadable,
        ModelFormatUnsupported,
        ModelExecutesCode,
        ExternalDataOutside,
        ExternalDataMissing,
        QuotaExceeded,
    ),
)
def create(
    call: Call, body: ModelRequest | None, stream: BodyStream | None, query: ModelQuery, headers: DigestHeader
) -> Reply[ModelView]:
    """A stream is one self-contained file; external data comes as uploads, named in the JSON body."""
    if stream is not None:
        view, created = models.receive(call.farm, call.principal, query.name, stream, headers.sha256)
    else:
        assert body is not None
        view, created = models.create(call.farm, call.principal, body)
    return Reply(view, 201 if created else 200)


@router.route("GET", "/v1/models", Scope.READ, "The project's models, newest first")
def list_(call: Call, query: PageQuery) -> Page[ModelView]:
    """One page."""
    with call.farm.read() as session:
        return models.list_(session, call.principal, query.limit, query.after)


@router.route("GET", "/v1/models/<model>", Scope.READ, "A model with its inspected signature")
def show(call: Call, model: str) -> ModelView:
    """By its id, a SHA-256."""
    with call.farm.read() as session:
        return models.get(session, call.principal, model)


@router.route(
    "PUT",
    "/v1/models/<model>/shared",
    Scope.SUBMIT,
    "Share what is built of a model with other projects",
    others=Scope.MAINTAIN,
)
def share(call: Call, model: str) -> ModelView:
    """With those that send the same bytes themselves: they are answered from this project's builds."""
    return models.share(call.farm, call.principal, model, True)


@router.route(
    "DELETE",
    "/v1/models/<model>/shared",
    Scope.SUBMIT,
    "Keep what is built of a model to the project",
    others=Scope.MAINTAIN,
)
def unshare(call: Call, model: str) -> ModelView:
    """What other projects were given already stays theirs."""
    return models.share(call.farm, call.principal, model, False)


@router.route(
    "DELETE",
    "/v1/models/<model>",
    Scope.SUBMIT,
    "Forget a model",
    errors=(Conflict,),
    others=Scope.MAINTAIN,
)
def delete(call: Call, model: str) -> None:
    """Refused while a build in flight needs it. Jobs and artifacts stay; its bytes go when nothing needs them."""
    models.delete(call.farm, call.principal, model)


@router.route("GET", "/v1/models/<model>/targets", Scope.READ, "Where the model can go, and why not elsewhere")
def targets(call: Call, model: str) -> Page[ReachView]:
    """Every backend and precision that workers have announced."""
    with call.farm.read() as session:
        return Page(items=reach.of_model(session, call.principal, model))


@router.route(
    "GET",
    "/v1/models/<model>/files/<path:path>",
    Scope.READ,
    "A file of a model, whole or in part",
    also={206: "The range that was asked for", 302: "The store serves it at this address", 304: "Unchanged"},
    errors=(RangeNotSatisfiable,),
    produces=OCTETS,
)
def file(call: Call, model: str, path: str) -> Response:
    """ETag and X-Content-SHA256 are the file's SHA-256."""
    return downloads.send(models.file(call.farm, call.principal, model, path))

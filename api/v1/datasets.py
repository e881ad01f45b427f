"""Datasets: named, versioned sample inputs."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.bodies import BodyStream
from api.routing import Call, Reply, Router
from api.v1.models import DigestHeader
from api.v1.paging import PageQuery
from enginehouse.errors import (
    Conflict,
    DatasetNotFinite,
    DatasetUnreadable,
    DigestMismatch,
    QuotaExceeded,
    RequestError,
    TooLarge,
)
from enginehouse.uploads import DatasetRequest
from enginehouse.views import DatasetView, Page
from scheduler import datasets

router = Router("datasets")


class DatasetQuery(BaseModel):
    """The name of a dataset that comes as a stream (a JSON body brings its own)."""

    model_config = ConfigDict(extra="forbid")

    name: str | None = Field(
        default=None, pattern=r"^[a-z0-9][a-z0-9_.-]{0,99}$", description="needed with an octet-stream body"
    )


@router.route(
    "POST",
    "/v1/datasets",
    Scope.SUBMIT,
    "Push a dataset as one stream, or make one from a completed upload",
    status=201,
    also={200: "The dataset's newest version has these bytes already"},
    errors=(DigestMismatch, DatasetUnreadable, DatasetNotFinite, QuotaExceeded, TooLarge),
)
def create(
    call: Call, body: DatasetRequest | None, stream: BodyStream | None, query: DatasetQuery, headers: DigestHeader
) -> Reply[DatasetView]:
    """The bytes are a zip of one of three kinds: INPUT.npy arrays whose first axis counts the samples (a .npz file),
    INPUT/NAME.npy arrays of one sample each, or pictures with a recipe.json. 'labels' holds labels and is no input.
    """
    if stream is not None:
        if query.name is None:
            fields = [{"place": "query.name", "says": "Field required"}]
            raise RequestError("query.name: a dataset that comes as a stream needs a name", fields=fields)
        view, created = datasets.receive(call.farm, call.principal, query.name, stream, headers.sha256)
    else:
        assert body is not None
        view, created = datasets.create(call.farm, call.principal, body)
    return Reply(view, 201 if created else 200)


@router.route("GET", "/v1/datasets", Scope.READ, "The project's datasets, newest version first")
def list_(call: Call, query: PageQuery) -> Page[DatasetView]:
    """One page."""
    with call.farm.read() as session:
        return datasets.list_(session, call.principal, query.limit, query.after)


@router.route("GET", "/v1/datasets/<dataset>", Scope.READ, "A dataset version")
def show(call: Call, dataset: str) -> DatasetView:
    """By its id (SHA-256), NAME or NAME@VERSION."""
    with call.farm.read() as session:
        return datasets.get(session, call.principal, dataset)


@router.route(
    "DELETE",
    "/v1/datasets/<dataset>",
    Scope.SUBMIT,
    "Forget a dataset version",
    errors=(Conflict, RequestError),
    others=Scope.MAINTAIN,
)
def delete(call: Call, dataset: str) -> None:
    """By NAME@VERSION, whose number is not given again. Refused while a job that has not ended needs its bytes."""
    datasets.delete(call.farm, call.principal, dataset)

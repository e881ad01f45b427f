"""Datasets: named, versioned samples, what is in them, and what they were used for."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.pages import page, see
from api.routing import Call, Router
from enginehouse.errors import Conflict, NotFound, RequestError
from scheduler import datasets, lineage

router = Router("page_datasets", pages=True)

_JOBS = 20


class DatasetsQuery(BaseModel):
    """Which page of a list."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(default=None, max_length=200)


@router.route("GET", "/datasets", Scope.READ, "The project's datasets", produces="text/html")
def list_(call: Call, query: DatasetsQuery) -> Response:
    """Every version, the newest first; and the box to upload one."""
    with call.farm.read() as session:
        found = datasets.list_(session, call.principal, after=query.after)
    return page(call, "datasets/list.html", datasets=found.items, following=found.next, after=query.after)


@router.route("GET", "/datasets/<dataset>", Scope.READ, "A dataset", produces="text/html", errors=(NotFound,))
def show(call: Call, dataset: str, query: DatasetsQuery) -> Response:
    """By NAME, NAME@VERSION or id."""
    with call.farm.read() as session:
        found = datasets.get(session, call.principal, dataset)
        versions = lineage.versions_of_dataset(session, call.principal, found.name)
        used = lineage.jobs_with_dataset(session, call.principal, found.id, _JOBS, query.after)
    return page(
        call,
        "datasets/show.html",
        dataset=found,
        versions=versions,
        jobs=used.items,
        following=used.next,
        after=query.after,
    )


@router.route(
    "POST",
    "/datasets/<dataset>/delete",
    Scope.SUBMIT,
    "Forget a dataset version",
    produces="text/html",
    errors=(NotFound, Conflict, RequestError),
    others=Scope.MAINTAIN,
)
def delete(call: Call, dataset: str) -> Response:
    """By NAME@VERSION, whose number is not given again."""
    datasets.delete(call.farm, call.principal, dataset)
    return see("/datasets")

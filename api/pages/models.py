"""Models: what the project has uploaded, what came of it, and its graph."""

from __future__ import annotations

from urllib.parse import quote, urlencode

from flask import Response
from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy.orm import Session

from api.auth import Scope
from api.pages import page, see
from api.routing import Call, Router
from api.v1.paging import PageQuery
from enginehouse.errors import Conflict, NotFound
from enginehouse.views import ArtifactView, JobView, ModelView
from scheduler import artifacts, jobs, lineage, models, reach

router = Router("page_models", pages=True)

_JOBS = 20
_DRAWN = (".onnx", ".xml", ".tflite", ".pt", ".pt2", ".pth", ".keras", ".h5", ".pb", ".prototxt", ".caffemodel", ".zip")
"""Endings of what the graph viewer opens."""

_LARGE = 300 * 2**20
"""Bytes from which the viewer is opened only when it is asked for: it holds the whole file."""


class ModelsQuery(BaseModel):
    """Which page of the list."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(default=None, max_length=200)


class GraphQuery(BaseModel):
    """What is shown beside the source."""

    model_config = ConfigDict(extra="forbid")

    artifact: str | None = Field(default=None, max_length=64)


@router.route("GET", "/models", Scope.READ, "The project's models", produces="text/html")
def list_(call: Call, query: ModelsQuery) -> Response:
    """Newest first."""
    with call.farm.read() as session:
        found = models.list_(session, call.principal, after=query.after)
    return page(call, "models/list.html", models=found.items, following=found.next, after=query.after)


@router.route("GET", "/models/<model>", Scope.READ, "A model", produces="text/html", errors=(NotFound,))
def show(call: Call, model: str, query: PageQuery) -> Response:
    """What it is, where it can go, and what came of it."""
    with call.farm.read() as session:
        found = models.get(session, call.principal, model)
        theirs = jobs.list_(session, call.principal, model=model, limit=_JOBS, after=query.after)
        tally = lineage.tally_of_model(session, call.principal, model)
        targets = reach.of_model(session, call.principal, model)
        made = _artifacts(call, session, theirs.items)
    return page(
        call,
        "models/show.html",
        model=found,
        jobs=theirs.items,
        following=theirs.next,
        after=query.after,
        tally=tally,
        targets=targets,
        made=made,
    )


@router.route("GET", "/models/<model>/graph", Scope.READ, "A model's graph", produces="text/html", errors=(NotFound,))
def graph(call: Call, model: str, query: GraphQuery) -> Response:
    """In the graph viewer; with an artifact, source and result side by side."""
    with call.farm.read() as session:
        found = models.get(session, call.principal, model)
        recent = jobs.list_(session, call.principal, model=model, limit=_JOBS).items
        made = _artifacts(call, session, recent)
        if query.artifact and query.artifact not in made:
            made[query.artifact] = artifacts.get(session, call.principal, query.artifact)
    chosen = made.get(query.artifact or "")
    return page(
        call,
        "models/graph.html",
        model=found,
        source=_viewer_of_model(found),
        made=[one for one in made.values() if one.evicted is None and _entry(one)],
        chosen=chosen,
        result=_viewer_of_artifact(chosen) if chosen and chosen.evicted is None else None,
        large=found.size > _LARGE,
    )


@router.route(
    "POST",
    "/models/<model>/share",
    Scope.SUBMIT,
    "Share a model",
    produces="text/html",
    errors=(NotFound,),
    others=Scope.MAINTAIN,
)
def share(call: Call, model: str) -> Response:
    """What is built of it may answer other projects that have the same bytes."""
    models.share(call.farm, call.principal, model, True)
    return see(f"/models/{model}")


@router.route(
    "POST",
    "/models/<model>/unshare",
    Scope.SUBMIT,
    "Keep a model",
    produces="text/html",
    errors=(NotFound,),
    others=Scope.MAINTAIN,
)
def unshare(call: Call, model: str) -> Response:
    """What is built of it stays with the project."""
    models.share(call.farm, call.principal, model, False)
    return see(f"/models/{model}")


@router.route(
    "POST",
    "/models/<model>/delete",
    Scope.SUBMIT,
    "Forget a model",
    produces="text/html",
    errors=(NotFound, Conflict),
    others=Scope.MAINTAIN,
)
def delete(call: Call, model: str) -> Response:
    """Jobs and artifacts stay."""
    models.delete(call.farm, call.principal, model)
    return see("/models")


def _artifacts(call: Call, session: Session, found: list[JobView]) -> dict[str, ArtifactView]:
    """What these jobs' builds ended with, each once."""
    ids = dict.fromkeys(build.artifact for job in found for build in job.builds if build.artifact)
    return {one: artifacts.get(session, call.principal, one) for one in ids}


def _viewer_of_model(model: ModelView) -> str | None:
    first = model.files[0].path
    path = next((file.path for file in model.files if file.path.endswith(_DRAWN)), first)
    return _viewer(f"files/models/{model.id}/{quote(path)}") if path.endswith(_DRAWN) else None


def _viewer_of_artifact(artifact: ArtifactView) -> str | None:
    entry = _entry(artifact)
    return _viewer(f"files/artifacts/{artifact.id}/{quote(entry)}") if entry else None


def _entry(artifact: ArtifactView) -> str | None:
    entry = artifact.manifest.entry
    return entry if entry.endswith(_DRAWN) else None


def _viewer(address: str) -> str:
    return "/netron/?" + urlencode({"url": address})

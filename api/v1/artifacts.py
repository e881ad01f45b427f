"""Artifacts: bundles with manifest and report, and their files."""

from __future__ import annotations

from flask import Response
from pydantic import Field

from api import downloads
from api.auth import Scope
from api.bodies import OCTETS
from api.routing import Call, Router
from api.v1.paging import PageQuery
from enginehouse.errors import ArtifactEvicted, RangeNotSatisfiable
from enginehouse.request import Sha256
from enginehouse.views import ArtifactView, Page
from scheduler import artifacts

router = Router("artifacts")


class ArtifactsQuery(PageQuery):
    """What to list."""

    model: Sha256 | None = Field(default=None, description="only artifacts of this model")


@router.route("GET", "/v1/artifacts", Scope.READ, "The project's artifacts, newest first")
def list_(call: Call, query: ArtifactsQuery) -> Page[ArtifactView]:
    """One page."""
    with call.farm.read() as session:
        return artifacts.list_(session, call.principal, query.model, query.limit, query.after)


@router.route("GET", "/v1/artifacts/<artifact>", Scope.READ, "An artifact with manifest and report")
def show(call: Call, artifact: str) -> ArtifactView:
    """By its id, the SHA-256 of its manifest."""
    with call.farm.read() as session:
        return artifacts.get(session, call.principal, artifact)


@router.route(
    "GET",
    "/v1/artifacts/<artifact>/files/<path:path>",
    Scope.READ,
    "A file of an artifact (manifest.json and provenance.dsse.json included), whole or in part",
    also={206: "The range that was asked for", 302: "The store serves it at this address", 304: "Unchanged"},
    errors=(ArtifactEvicted, RangeNotSatisfiable),
    produces=OCTETS,
)
def file(call: Call, artifact: str, path: str) -> Response:
    """ETag and X-Content-SHA256 are the file's SHA-256."""
    return downloads.send(artifacts.file(call.farm, call.principal, artifact, path))

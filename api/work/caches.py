"""What toolchains keep from one build to the next: a worker fetches it before a build and sends it merged after."""

from __future__ import annotations

from flask import Response

from api import downloads
from api.auth import Scope
from api.bodies import OCTETS, BodyStream
from api.routing import Call, Router
from enginehouse.errors import Conflict, DigestMismatch, RangeNotSatisfiable, TooLarge
from enginehouse.work import KeptUpdate, KeptView
from scheduler import toolchain_caches

router = Router("work")


@router.route("GET", "/v1/work/caches/<key>", Scope.WORK, "A toolchain's cache: its version, and where its bytes are")
def show(call: Call, key: str) -> KeptView:
    """The key is the SHA-256 of the label that says for whom it is."""
    return toolchain_caches.find(call.farm, key)


@router.route(
    "GET",
    "/v1/work/caches/<key>/content",
    Scope.WORK,
    "A toolchain's cache, whole or in part",
    also={206: "The range that was asked for", 302: "The store serves it at this address", 304: "Unchanged"},
    errors=(RangeNotSatisfiable,),
    produces=OCTETS,
)
def content(call: Call, key: str) -> Response:
    """Its bytes are the toolchain's own."""
    return downloads.send(toolchain_caches.content(call.farm, key))


@router.route(
    "PUT",
    "/v1/work/caches/<key>",
    Scope.WORK,
    "Replace a toolchain's cache by one that was made from its newest version",
    errors=(Conflict, DigestMismatch, TooLarge),
)
def replace(call: Call, key: str, query: KeptUpdate, stream: BodyStream) -> KeptView:
    """Conflict says that another worker was quicker: merge with what it sent, next time."""
    return toolchain_caches.replace(call.farm, key, query, stream)

"""Quarantine: builds that ended their attempts by the farm's fault, and are not tried again until they are released."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Router
from api.v1.paging import PageQuery
from enginehouse.errors import NotFound
from enginehouse.views import Page, QuarantineView
from scheduler import quarantine

router = Router("quarantine")


@router.route("GET", "/v1/quarantine", Scope.OPERATE, "What is in quarantine, of every project, newest first")
def list_(call: Call, query: PageQuery) -> Page[QuarantineView]:
    """One page."""
    with call.farm.read() as session:
        return quarantine.list_(session, query.limit, query.after)


@router.route(
    "POST", "/v1/builds/<build>/release", Scope.OPERATE, "Release a build from quarantine", errors=(NotFound,)
)
def release(call: Call, build: str) -> QuarantineView:
    """The same may be asked for again. Nothing is built by this: retry the build, or submit it."""
    return quarantine.release(call.farm, call.principal, build)

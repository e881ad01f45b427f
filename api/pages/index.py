"""The first page: jobs with their builds in words, and the workers."""

from __future__ import annotations

from datetime import UTC, datetime

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.pages import ASSETS, page
from api.routing import Call, Router
from enginehouse import __version__
from enginehouse.errors import NotFound
from enginehouse.states import ENDED, JOB_ENDED, BuildState
from enginehouse.views import BuildView
from scheduler import jobs, workers

router = Router("pages")
_JOBS = 50
_FRESH_S = 5


class IndexQuery(BaseModel):
    """Which page of jobs."""

    model_config = ConfigDict(extra="forbid")

    after: str | None = Field(default=None, max_length=200, description="cursor of the page before")


@router.route("GET", "/", Scope.READ, "The first page, for people", produces="text/html")
def index(call: Call, query: IndexQuery) -> Response:
    """It looks again by itself while something runs."""
    with call.farm.read() as session:
        found = jobs.list_(session, call.principal, None, None, _JOBS, query.after)
        present = workers.list_(session)
    busy = any(job.state not in JOB_ENDED for job in found.items)
    return page(
        "index.html",
        jobs=found.items,
        following=found.next,
        workers=present,
        refresh_s=_FRESH_S if busy else None,
        version=__version__,
        words=words,
        ago=ago,
    )


@router.route("GET", "/assets/<name>", Scope.READ, "The pages' style sheet", produces="text/css")
def asset(_call: Call, name: str) -> Response:
    """There is one, style.css."""
    if name != "style.css":
        raise NotFound(f"there is no asset {name}")
    return Response((ASSETS / name).read_bytes(), content_type="text/css; charset=utf-8")


def words(build: BuildView) -> str:
    """What a person should know of a build's state now."""
    if build.state is BuildState.RUNNING:
        return f"running: {build.phase}" if build.phase else "running"
    if build.state is BuildState.SUCCEEDED and build.origin is not None:
        return {"built": "succeeded", "cache": "succeeded, from the cache", "joined": "succeeded, joined"}[build.origin]
    if build.state is BuildState.FAILED and build.failure is not None:
        return f"failed: {build.failure.title} ({build.failure.detail})"
    if build.state not in ENDED and build.reason:
        return f"{build.state}: {build.reason}"
    return str(build.state)


def ago(moment: datetime) -> str:
    """How long ago, in one unit."""
    seconds = max(0, int((datetime.now(UTC) - moment).total_seconds()))
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= length:
            return f"{seconds // length} {unit} ago"
    return f"{seconds} s ago"

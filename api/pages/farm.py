"""The farm as a whole: queue, throughput, failures, the cache, waits and storage."""

from __future__ import annotations

from typing import Literal

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.pages import page
from api.pages.bars import bars
from api.routing import Call, Router
from enginehouse.errors import codes
from scheduler import control, projects, statistics
from scheduler.registry.tables import Project
from scheduler.retention import usage

router = Router("page_farm", pages=True)


class FarmQuery(BaseModel):
    """Which stretch of time, and whose builds."""

    model_config = ConfigDict(extra="forbid")

    window: Literal["day", "week", "month"] = Field(default="day")
    of: Literal["project", "farm"] | None = Field(default=None, description="'farm': of every project, for operators")


@router.route("GET", "/farm", Scope.READ, "The farm in numbers", produces="text/html")
def show(call: Call, query: FarmQuery) -> Response:
    """Others than operators see their own project's builds."""
    operator = call.principal.may(Scope.OPERATE)
    whole = operator and query.of != "project"
    project = None if whole else call.principal.project
    with call.farm.read() as session:
        within = statistics.window(session, query.window)
        done = statistics.throughput(session, within, project)
        failures = statistics.failures(session, within, project)
        waits = statistics.waits(session, within, project)
        pools = control.list_pools(session)
        own = session.get_one(Project, call.principal.project)
        view = projects.get(session, own.name)
        stored = usage.stored_bytes(session, call.principal.project)
        objects, total = usage.farm_bytes(session) if operator else (0, 0)
        kept = usage.artifact_bytes(session) if operator else 0
    known = codes()
    return page(
        call,
        "farm/show.html",
        within=within,
        whole=whole,
        operator=operator,
        done=done,
        chart=bars(done.steps, within),
        failures=[(code, known[code].title if code in known else "", count) for code, count in failures],
        waits=waits,
        pools=pools,
        quota=view,
        stored=stored,
        objects=objects,
        total=total,
        kept=kept,
        windows=list(statistics.WINDOWS),
    )

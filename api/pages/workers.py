"""Workers and pools: what they are, what each does now, and what operators let them do."""

from __future__ import annotations

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.pages import live, page, see
from api.routing import Call, Router
from enginehouse.errors import NotFound
from enginehouse.states import PoolMode, WorkerMode
from enginehouse.versions import runtime_of
from enginehouse.views import WorkerView
from scheduler import control, doing, statistics, workers

router = Router("page_workers", pages=True)


class ReasonForm(BaseModel):
    """An operator's words."""

    model_config = ConfigDict(extra="forbid")

    reason: str = Field(default="", max_length=200)


@router.route("GET", "/workers", Scope.READ, "The workers and pools", produces="text/html")
def show(call: Call) -> Response:
    """What they do now is drawn again as it changes."""
    with call.farm.read() as session:
        within = statistics.window(session, "day")
        found = workers.list_(session)
        pools = control.list_pools(session)
        tasks = doing.of_workers(session, call.principal)
        use = statistics.utilisation(session, within)
        events = live(session)
    return page(
        call,
        "workers/show.html",
        workers=found,
        versions=_versions(found),
        pools=pools,
        tasks=tasks,
        use=use,
        events=events,
        within=within,
    )


@router.route(
    "POST", "/workers/<worker>/drain", Scope.OPERATE, "Drain a worker", produces="text/html", errors=(NotFound,)
)
def drain(call: Call, worker: str, form: ReasonForm) -> Response:
    """It finishes what it holds, and nothing else."""
    control.set_worker(call.farm, call.principal, worker, WorkerMode.DRAINING, form.reason)
    return see("/workers")


@router.route(
    "POST", "/workers/<worker>/pause", Scope.OPERATE, "Pause a worker", produces="text/html", errors=(NotFound,)
)
def pause(call: Call, worker: str, form: ReasonForm) -> Response:
    """It takes nothing new."""
    control.set_worker(call.farm, call.principal, worker, WorkerMode.PAUSED, form.reason)
    return see("/workers")


@router.route(
    "POST", "/workers/<worker>/resume", Scope.OPERATE, "Resume a worker", produces="text/html", errors=(NotFound,)
)
def resume(call: Call, worker: str) -> Response:
    """It takes work again."""
    control.set_worker(call.farm, call.principal, worker, WorkerMode.OPEN)
    return see("/workers")


@router.route("POST", "/pools/<pool>/pause", Scope.OPERATE, "Pause a pool", produces="text/html", errors=(NotFound,))
def pause_pool(call: Call, pool: str, form: ReasonForm) -> Response:
    """Nothing is dispatched to it; what runs goes on."""
    control.set_pool(call.farm, call.principal, pool, PoolMode.PAUSED, form.reason)
    return see("/workers#pools")


@router.route("POST", "/pools/<pool>/resume", Scope.OPERATE, "Resume a pool", produces="text/html", errors=(NotFound,))
def resume_pool(call: Call, pool: str) -> Response:
    """It is dispatched to again."""
    control.set_pool(call.farm, call.principal, pool, PoolMode.OPEN)
    return see("/workers#pools")


@router.route("GET", "/pools", Scope.READ, "The pools", produces="text/html", status=303)
def pools(_call: Call) -> Response:
    """They are a part of the page of workers."""
    return see("/workers#pools")


def _versions(found: list[WorkerView]) -> dict[tuple[str, str], str]:
    """Worker's id and backend to the runtime's version, of which the toolchain's other packages only say how."""
    told = {}
    for worker in found:
        for one in worker.capabilities:
            runtime = runtime_of(one.backend, one.toolchain)
            told[worker.id, one.backend] = runtime[1] if runtime else ""
    return told

"""The farm's workers, as clients see them."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.errors import NotFound
from enginehouse.operations import Drain, Reasoned
from enginehouse.states import WorkerMode
from enginehouse.views import Page, WorkerView
from scheduler import control, workers

router = Router("workers")


@router.route("GET", "/v1/workers", Scope.READ, "The workers with hardware and capabilities")
def list_(call: Call) -> Page[WorkerView]:
    """All of them; there is no further page."""
    with call.farm.read() as session:
        return Page[WorkerView](items=workers.list_(session))


@router.route(
    "POST",
    "/v1/workers/<worker>/drain",
    Scope.OPERATE,
    "Let a worker finish what it holds and nothing else",
    errors=(NotFound,),
)
def drain(call: Call, worker: str, body: Drain) -> WorkerView:
    """By its name or id. It stays drained until it is resumed, also over a restart; with ``leave`` its process ends."""
    mode = WorkerMode.LEAVING if body.leave else WorkerMode.DRAINING
    return control.set_worker(call.farm, call.principal, worker, mode, body.reason)


@router.route("POST", "/v1/workers/<worker>/pause", Scope.OPERATE, "Let a worker take nothing new", errors=(NotFound,))
def pause(call: Call, worker: str, body: Reasoned) -> WorkerView:
    """By its name or id. What it holds it finishes."""
    return control.set_worker(call.farm, call.principal, worker, WorkerMode.PAUSED, body.reason)


@router.route("POST", "/v1/workers/<worker>/resume", Scope.OPERATE, "Let a worker take work again", errors=(NotFound,))
def resume(call: Call, worker: str) -> WorkerView:
    """By its name or id. Harmless where it was open."""
    return control.set_worker(call.farm, call.principal, worker, WorkerMode.OPEN)

"""The farm's workers, as clients see them."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.views import Page, WorkerView
from scheduler import workers

router = Router("workers")


@router.route("GET", "/v1/workers", Scope.READ, "The workers with hardware and capabilities")
def list_(call: Call) -> Page[WorkerView]:
    """All of them; there is no further page."""
    with call.farm.read() as session:
        return Page[WorkerView](items=workers.list_(session))

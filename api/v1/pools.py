"""The farm's pools: what they are, how busy they are, and whether they are paused."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.errors import NotFound
from enginehouse.operations import Reasoned
from enginehouse.states import PoolMode
from enginehouse.views import Page, PoolView
from scheduler import control

router = Router("pools")


@router.route("GET", "/v1/pools", Scope.READ, "The pools with their slots and what waits for them")
def list_(call: Call) -> Page[PoolView]:
    """Those with workers online and those that are paused, by name; there is no further page."""
    with call.farm.read() as session:
        return Page[PoolView](items=control.list_pools(session))


@router.route("POST", "/v1/pools/<pool>/pause", Scope.OPERATE, "Dispatch nothing to a pool", errors=(NotFound,))
def pause(call: Call, pool: str, body: Reasoned) -> PoolView:
    """What runs there goes on; what is on its way there waits again."""
    return control.set_pool(call.farm, call.principal, pool, PoolMode.PAUSED, body.reason)


@router.route("POST", "/v1/pools/<pool>/resume", Scope.OPERATE, "Dispatch to a pool again", errors=(NotFound,))
def resume(call: Call, pool: str) -> PoolView:
    """Harmless where it was not paused."""
    return control.set_pool(call.farm, call.principal, pool, PoolMode.OPEN)

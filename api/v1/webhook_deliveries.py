"""Deliveries of webhooks: the log, the dead letters, and one of them once more."""

from __future__ import annotations

from pydantic import Field

from api.auth import Scope
from api.routing import Call, Reply, Router
from api.v1.paging import PageQuery
from enginehouse.errors import Conflict, NotFound
from enginehouse.views import Page
from enginehouse.webhooks import DeliveryDetail, DeliveryState, DeliveryView
from scheduler.webhooks import deliveries

router = Router("webhook-deliveries")


class DeliveriesQuery(PageQuery):
    """Which deliveries."""

    webhook: str | None = Field(default=None, max_length=100, description="only this webhook's")
    state: DeliveryState | None = Field(default=None, description="only those; 'dead' are the dead letters")


@router.route(
    "GET",
    "/v1/webhook-deliveries",
    Scope.ADMIN,
    "Deliveries of the project's webhooks, newest first",
    errors=(NotFound,),
)
def list_(call: Call, query: DeliveriesQuery) -> Page[DeliveryView]:
    """Each with its last answer. Those that have ended are kept for ENGINEHOUSE_KEEP_DELIVERIES_DAYS."""
    with call.farm.read() as session:
        return deliveries.list_(session, call.principal, query.webhook, query.state, query.limit, query.after)


@router.route("GET", "/v1/webhook-deliveries/<delivery>", Scope.ADMIN, "One delivery: what is sent, and every answer")
def get(call: Call, delivery: str) -> DeliveryDetail:
    """The body is what is sent, to the byte."""
    with call.farm.read() as session:
        return deliveries.get(session, call.farm.settings, call.principal, delivery)


@router.route(
    "POST",
    "/v1/webhook-deliveries/<delivery>/replay",
    Scope.ADMIN,
    "Send one once more",
    status=202,
    errors=(Conflict,),
)
def replay(call: Call, delivery: str) -> Reply[DeliveryView]:
    """One that was delivered, or that is dead. Its webhook-id is the same as before."""
    return Reply(deliveries.replay(call.farm, call.principal, delivery), status=202)

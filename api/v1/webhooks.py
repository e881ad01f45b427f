"""Webhooks: addresses that are told of a project's events. One may hold a secret, so only administrators see them."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Reply, Router
from api.v1.paging import PageQuery
from enginehouse.errors import Conflict, QuotaExceeded, WebhookAddressRefused
from enginehouse.views import Page
from enginehouse.webhooks import (
    DeliveryView,
    NewWebhook,
    Replay,
    Replayed,
    Rotate,
    WebhookChange,
    WebhookRequest,
    WebhookView,
)
from scheduler.webhooks import deliveries, registry

router = Router("webhooks")


@router.route("GET", "/v1/webhooks", Scope.ADMIN, "The project's webhooks, without their secrets, newest first")
def list_(call: Call, query: PageQuery) -> Page[WebhookView]:
    """One page."""
    with call.farm.read() as session:
        return registry.list_(session, call.principal, query.limit, query.after)


@router.route(
    "POST",
    "/v1/webhooks",
    Scope.ADMIN,
    "Make a webhook; its secret is shown this once",
    status=201,
    errors=(WebhookAddressRefused, QuotaExceeded),
)
def create(call: Call, body: WebhookRequest) -> NewWebhook:
    """It is told of what is committed from now on, by requests signed after Standard Webhooks."""
    return registry.create(call.farm, call.principal, body)


@router.route("GET", "/v1/webhooks/<webhook>", Scope.ADMIN, "One webhook")
def get(call: Call, webhook: str) -> WebhookView:
    """With how many deliveries are on their way, and how many are dead."""
    with call.farm.read() as session:
        return registry.get(session, call.principal, webhook)


@router.route(
    "PATCH", "/v1/webhooks/<webhook>", Scope.ADMIN, "Change, disable or enable", errors=(WebhookAddressRefused,)
)
def change(call: Call, webhook: str, body: WebhookChange) -> WebhookView:
    """What is on its way when it is disabled is dead; what happens until it is enabled again can be replayed."""
    return registry.change(call.farm, call.principal, webhook, body)


@router.route("DELETE", "/v1/webhooks/<webhook>", Scope.ADMIN, "Delete a webhook and its log")
def delete(call: Call, webhook: str) -> None:
    """Nothing is sent to it from now on, but for a request that is under way."""
    registry.remove(call.farm, call.principal, webhook)


@router.route("POST", "/v1/webhooks/<webhook>/rotate", Scope.ADMIN, "A new secret, shown this once")
def rotate(call: Call, webhook: str, body: Rotate) -> NewWebhook:
    """Until the overlap is over, requests carry a signature by each of the two secrets."""
    return registry.rotate(call.farm, call.principal, webhook, body.overlap_s)


@router.route(
    "POST",
    "/v1/webhooks/<webhook>/test",
    Scope.ADMIN,
    "Send an event of the kind 'webhook.test'",
    status=202,
    errors=(Conflict,),
)
def test(call: Call, webhook: str) -> Reply[DeliveryView]:
    """Nobody else is told of it. The delivery says what became of it."""
    return Reply(registry.test(call.farm, call.principal, webhook), status=202)


@router.route(
    "POST",
    "/v1/webhooks/<webhook>/replay",
    Scope.ADMIN,
    "Send the events of a stretch of time once more",
    status=202,
    errors=(Conflict,),
)
def replay(call: Call, webhook: str, body: Replay) -> Reply[Replayed]:
    """What was not delivered, or all; also what it was not told of, since it was disabled or did not exist."""
    return Reply(deliveries.replay_range(call.farm, call.principal, webhook, body), status=202)

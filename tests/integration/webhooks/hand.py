"""Turning a courier by hand: one round at a time, without its threads; and events to hand on."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from integration.webhooks.receiver import Receiver
from sqlalchemy import select

from enginehouse.webhooks import DeliveryView, NewWebhook, WebhookRequest, WebhookView
from scheduler import events, tokens
from scheduler.farm import Farm
from scheduler.registry.tables import Base, Webhook, WebhookDelivery
from scheduler.tokens import Principal
from scheduler.webhooks import deliveries, line, registry
from scheduler.webhooks.courier import Courier
from scheduler.webhooks.fanout import fan_out

_MOMENTS: dict[type[Base], tuple[str, ...]] = {
    Webhook: ("old_until", "failing_since", "not_before", "held_until"),
    WebhookDelivery: ("due", "created", "ended"),
}


class Hand:
    """A farm with one courier."""

    def __init__(self, farm: Farm) -> None:
        self.farm = farm
        self.courier = Courier(farm)

    @property
    def me(self) -> Principal:
        with self.farm.read() as session:
            return tokens.loopback_principal(session)

    def webhook(self, receiver: Receiver, *kinds: str) -> NewWebhook:
        """A webhook that goes to the receiver, which knows its secret."""
        made = registry.create(self.farm, self.me, WebhookRequest(url=receiver.url, kinds=list(kinds) or ["*"]))
        receiver.secret = made.secret
        return made

    def tell(self, *kinds: str, project: str | None = "default", **data: Any) -> list[int]:
        """Commit one event of each kind; their cursors."""
        found = []
        for kind in kinds:
            with self.farm.write() as session:
                row = events.emit(session, kind, project=project, **data)
                session.flush()
                found.append(row.id)
        return found

    def round(self, courier: Courier | None = None) -> int:
        """Hand on, and serve every webhook that something waits for once; returns the number of requests."""
        courier = courier or self.courier
        fan_out(self.farm)
        with self.farm.read() as session:
            found = line.waiting(session, 100)
        with self.farm.write() as session:
            taken = line.take(session, courier.who, found, 30)
        sent = 0
        for webhook in taken:
            sent += courier.serve(webhook)
            with self.farm.write() as session:
                line.release(session, courier.who, webhook)
        return sent

    def wait(self, **how_long: float) -> int:
        """Let time pass, then a round."""
        self.pass_time(**how_long)
        return self.round()

    def pass_time(self, **how_long: float) -> None:
        """Every moment of webhooks and deliveries lies further back, but not those of events: ids hold them."""
        by = timedelta(**how_long)
        with self.farm.write() as session:
            for table, names in _MOMENTS.items():
                for row in session.scalars(select(table)):
                    for name in names:
                        if getattr(row, name) is not None:
                            setattr(row, name, getattr(row, name) - by)

    def view(self, webhook: str) -> WebhookView:
        with self.farm.read() as session:
            return registry.get(session, self.me, webhook)

    def log(self, webhook: str | None = None) -> list[DeliveryView]:
        """The deliveries in the order of their events."""
        with self.farm.read() as session:
            page = deliveries.list_(session, self.me, webhook, None, 200, None)
        return sorted(page.items, key=lambda each: each.event)

    def states(self, webhook: str | None = None) -> list[str]:
        return [str(each.state) for each in self.log(webhook)]

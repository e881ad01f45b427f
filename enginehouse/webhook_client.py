"""``Client.webhooks``: addresses that are told of the project's events; needs the scope 'admin'."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from enginehouse.connection import Connection, parsed
from enginehouse.errors import RequestError
from enginehouse.views import Page
from enginehouse.webhooks import (
    DeliveryDetail,
    DeliveryState,
    DeliveryView,
    NewWebhook,
    Replay,
    Replayed,
    Rotate,
    WebhookChange,
    WebhookRequest,
    WebhookView,
)

Body = TypeVar("Body", bound=BaseModel)

_LOG = "/v1/webhook-deliveries"


class Webhooks:
    """Webhooks and their deliveries."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, url: str, kinds: Sequence[str] | None = None, description: str = "") -> NewWebhook:
        """Make one; ``secret`` is shown this once. Without ``kinds`` it is told of the ends of jobs.

        One try: a repeated request would make a second webhook.
        """
        given: dict[str, Any] = {"url": url, "description": description}
        if kinds is not None:
            given["kinds"] = list(kinds)
        body = _checked(WebhookRequest, given)
        return self._connection.post("/v1/webhooks", NewWebhook, body=body, tries=1)

    def list(self, limit: int = 50, after: str | None = None) -> Page[WebhookView]:
        """Webhooks, newest first."""
        params = {"limit": limit, "after": after}
        return self._connection.get("/v1/webhooks", Page[WebhookView], params=params)

    def get(self, webhook: str) -> WebhookView:
        """One."""
        return self._connection.get(f"/v1/webhooks/{webhook}", WebhookView)

    def change(self, webhook: str, **fields: Any) -> WebhookView:
        """Change what is given of ``url``, ``kinds``, ``description`` and ``enabled``."""
        content = _checked(WebhookChange, fields).model_dump_json(exclude_unset=True).encode()
        sent = {"Content-Type": "application/json"}
        answer = self._connection.send("PATCH", f"/v1/webhooks/{webhook}", headers=sent, body=content)
        return parsed(answer, WebhookView)

    def rotate(self, webhook: str, overlap_s: int = 86_400) -> NewWebhook:
        """A new secret, shown this once; the old one signs as well until the overlap is over. One try."""
        body = _checked(Rotate, {"overlap_s": overlap_s})
        return self._connection.post(f"/v1/webhooks/{webhook}/rotate", NewWebhook, body=body, tries=1)

    def delete(self, webhook: str) -> None:
        """Delete it, with its log."""
        self._connection.send("DELETE", f"/v1/webhooks/{webhook}", tries=1)

    def test(self, webhook: str) -> DeliveryView:
        """Send it an event of the kind 'webhook.test'; ``delivery`` says what became of it."""
        return self._connection.post(f"/v1/webhooks/{webhook}/test", DeliveryView, tries=1)

    def replay_range(
        self, webhook: str, since: datetime, until: datetime | None = None, *, delivered: bool = False
    ) -> Replayed:
        """Send the events of a stretch of time once more: what was not delivered, or with ``delivered`` all."""
        body = _checked(Replay, {"since": since, "until": until, "delivered": delivered})
        return self._connection.post(f"/v1/webhooks/{webhook}/replay", Replayed, body=body)

    def deliveries(
        self,
        webhook: str | None = None,
        state: DeliveryState | str | None = None,
        limit: int = 50,
        after: str | None = None,
    ) -> Page[DeliveryView]:
        """Deliveries, newest first; those in the state 'dead' are the dead letters."""
        params = {"webhook": webhook, "state": str(state) if state else None, "limit": limit, "after": after}
        return self._connection.get(_LOG, Page[DeliveryView], params=params)

    def delivery(self, delivery: str) -> DeliveryDetail:
        """One, with what is sent and every answer."""
        return self._connection.get(f"{_LOG}/{delivery}", DeliveryDetail)

    def replay(self, delivery: str) -> DeliveryView:
        """Send one once more. Raises Conflict while it is on its way."""
        return self._connection.post(f"{_LOG}/{delivery}/replay", DeliveryView, tries=1)


def _checked(cls: type[Body], fields: dict[str, Any]) -> Body:
    """A request's body. Raises RequestError, which names every field that is wrong."""
    try:
        return cls.model_validate(fields)
    except ValidationError as error:
        found = [
            {"place": ".".join(map(str, item["loc"])), "says": item["msg"]}
            for item in error.errors(include_url=False, include_input=False)
        ]
        raise RequestError("; ".join(f"{item['place']}: {item['says']}" for item in found), fields=found) from None

"""Webhooks are disabled and enabled: by somebody, or by their failures."""

from __future__ import annotations

import structlog
from sqlalchemy import update
from sqlalchemy.orm import Session

from enginehouse.webhooks import DeliveryState
from scheduler import events
from scheduler.registry.engine import now
from scheduler.registry.tables import Webhook, WebhookDelivery

log = structlog.get_logger(__name__)


def off(session: Session, hook: Webhook, reason: str) -> None:
    """It is told of nothing any more, and what it was not told of is dead. Says so as an event."""
    if not hook.enabled:
        return
    moment = now(session)
    hook.enabled, hook.disabled, hook.disabled_reason = False, moment, reason
    session.flush()
    pending = WebhookDelivery.webhook_id == hook.id, WebhookDelivery.state == DeliveryState.PENDING.value
    dead = {"state": DeliveryState.DEAD.value, "ended": moment, "note": f"the webhook was disabled: {reason}"}
    session.execute(update(WebhookDelivery).where(*pending).values(**dead))
    events.emit(session, "webhook.disabled", project=hook.project_id, webhook=hook.id, reason=reason)
    log.warning("webhook.disabled", webhook=hook.id, reason=reason)


def reset(hook: Webhook) -> None:
    """Its failures are forgotten, and it is tried at once."""
    hook.failures = 0
    hook.failing_since = hook.not_before = None
    hook.probing = False

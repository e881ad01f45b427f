"""The webhooks of a project: made, listed, changed, given new secrets, tried out and deleted."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from enginehouse.errors import Conflict, QuotaExceeded
from enginehouse.views import Page
from enginehouse.webhooks import (
    DeliveryState,
    DeliveryView,
    NewWebhook,
    WebhookChange,
    WebhookRequest,
    WebhookView,
    dumped,
)
from scheduler import events, ids, paging
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Webhook, WebhookDelivery
from scheduler.tokens import Principal
from scheduler.webhooks import deliveries, fanout, sealing, switch
from scheduler.webhooks.lookup import mine
from scheduler.webhooks.reach import Reach
from scheduler.webhooks.sealing import Seal

MOST = 50
"""Webhooks of a project."""

_PURGED = 1000

log = structlog.get_logger(__name__)


def create(farm: Farm, principal: Principal, request: WebhookRequest) -> NewWebhook:
    """A new webhook and its secret. Raises WebhookAddressRefused or QuotaExceeded."""
    Reach.of(farm.settings).check_url(request.url)
    secret = sealing.mint()
    with farm.write() as session:
        count = select(func.count()).where(Webhook.project_id == principal.project, Webhook.deleted.is_(None))
        if (session.scalar(count) or 0) >= MOST:
            advice = "Delete one that is not needed, or let one webhook be told of more kinds."
            raise QuotaExceeded(f"the project has {MOST} webhooks, and may have no more", advice=advice, most=MOST)
        row = Webhook(
            id=ids.new("webhook"),
            project_id=principal.project,
            url=request.url,
            kinds=request.kinds,
            description=request.description,
            secret=Seal(farm.settings).close(secret),
            since=0,
            enabled=True,
            disabled_reason="",
            failures=0,
            probing=False,
            created=now(session),
            created_by=principal.name,
        )
        events.emit(session, "webhook.created", project=row.project_id, webhook=row.id, by=principal.name)
        session.flush()
        fanout.begin(session, row)
        session.add(row)
        session.flush()
        view = _views(session, [row])[0]
    log.info("webhook.created", webhook=row.id, by=principal.name)
    return NewWebhook(**view.model_dump(), secret=secret)


def list_(session: Session, principal: Principal, limit: int, after: str | None) -> Page[WebhookView]:
    """The project's webhooks, newest first."""
    query = select(Webhook).where(Webhook.project_id == principal.project, Webhook.deleted.is_(None))
    rows, following = paging.page(session, query, Webhook.id, limit, after)
    return Page[WebhookView](items=_views(session, rows), next=following)


def get(session: Session, principal: Principal, webhook: str) -> WebhookView:
    """One. Raises NotFound."""
    return _views(session, [mine(session, principal, webhook)])[0]


def change(farm: Farm, principal: Principal, webhook: str, wanted: WebhookChange) -> WebhookView:
    """Change what is given. What is enabled again is told of what comes from now on."""
    given = dumped(wanted)
    if "url" in given:
        Reach.of(farm.settings).check_url(given["url"])
    enabled = given.pop("enabled", None)
    with farm.write() as session:
        found = mine(session, principal, webhook)
        changed = sorted(name for name, value in given.items() if getattr(found, name) != value)
        for name in changed:
            setattr(found, name, given[name])
        if "url" in changed:
            switch.reset(found)
        if changed:
            said: dict[str, Any] = {"webhook": found.id, "changed": changed, "by": principal.name}
            events.emit(session, "webhook.changed", project=found.project_id, **said)
        if enabled is False:
            switch.off(session, found, f"by {principal.name}")
        elif enabled and not found.enabled:
            _enable(session, found, principal)
        session.flush()
        return _views(session, [found])[0]


def rotate(farm: Farm, principal: Principal, webhook: str, overlap_s: int) -> NewWebhook:
    """A new secret; the one before it signs as well until the overlap is over, and one before that no more."""
    secret = sealing.mint()
    with farm.write() as session:
        found = mine(session, principal, webhook)
        found.old_secret = found.secret if overlap_s else None
        found.old_until = now(session) + timedelta(seconds=overlap_s) if overlap_s else None
        found.secret = Seal(farm.settings).close(secret)
        events.emit(
            session, "webhook.rotated", project=found.project_id, webhook=found.id, by=principal.name,
            overlap_s=overlap_s,
        )  # fmt: skip
        switch.reset(found)  # what failed for the old one is tried at once
        session.flush()
        view = _views(session, [found])[0]
    log.info("webhook.rotated", webhook=webhook, by=principal.name)
    return NewWebhook(**view.model_dump(), secret=secret)


def test(farm: Farm, principal: Principal, webhook: str) -> DeliveryView:
    """Send it an event of the kind 'webhook.test', which nobody else is told of. Raises Conflict if it is disabled."""
    with farm.write() as session:
        found = mine(session, principal, webhook)
        if not found.enabled:
            raise Conflict(f"webhook {webhook} is disabled", advice="Enable it first.", webhook=webhook)
        said: dict[str, Any] = {"webhook": found.id, "by": principal.name}
        event = events.emit(session, fanout.TEST, project=found.project_id, **said)
        session.flush()
        made = fanout.delivery(found, event, session)
        session.add(made)
        session.flush()
        return deliveries.views(session, [made])[0]


def remove(farm: Farm, principal: Principal, webhook: str) -> None:
    """It is told of nothing any more, and its log goes with it."""
    with farm.write() as session:
        found = mine(session, principal, webhook)
        found.enabled, found.deleted = False, now(session)
        events.emit(session, "webhook.deleted", project=found.project_id, webhook=found.id, by=principal.name)
    log.info("webhook.deleted", webhook=webhook, by=principal.name)
    purge(farm, webhook)


def purge(farm: Farm, webhook: str) -> None:
    """Remove what is on record of a deleted webhook, a part at a time. Who dies in between leaves it to retention."""
    while True:
        with farm.write(durable=False) as session:
            theirs = select(WebhookDelivery.id).where(WebhookDelivery.webhook_id == webhook).limit(_PURGED)
            found = list(session.scalars(theirs))
            session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(found)))
            if len(found) < _PURGED:
                session.execute(delete(Webhook).where(Webhook.id == webhook, Webhook.deleted.is_not(None)))
                return


def _enable(session: Session, found: Webhook, principal: Principal) -> None:
    found.enabled, found.disabled, found.disabled_reason = True, None, ""
    switch.reset(found)
    events.emit(session, "webhook.enabled", project=found.project_id, webhook=found.id, by=principal.name)
    session.flush()
    fanout.begin(session, found)


def _views(session: Session, rows: Sequence[Webhook]) -> list[WebhookView]:
    moment = now(session)
    counts = {state: _counts(session, rows, state) for state in (DeliveryState.PENDING, DeliveryState.DEAD)}
    return [
        WebhookView(
            id=each.id,
            url=each.url,
            kinds=each.kinds,
            description=each.description,
            enabled=each.enabled,
            disabled=each.disabled,
            disabled_reason=each.disabled_reason,
            failing_since=each.failing_since,
            next_try=each.not_before if each.enabled else None,
            last_delivered=each.last_delivered,
            old_secret_until=_future(each.old_until, moment),
            pending=counts[DeliveryState.PENDING].get(each.id, 0),
            dead=counts[DeliveryState.DEAD].get(each.id, 0),
            created=each.created,
            created_by=each.created_by,
        )
        for each in rows
    ]


def _future(until: datetime | None, moment: datetime) -> datetime | None:
    return until if until is not None and until > moment else None


def _counts(session: Session, rows: Sequence[Webhook], state: DeliveryState) -> dict[str, int]:
    theirs = WebhookDelivery.webhook_id.in_([each.id for each in rows]), WebhookDelivery.state == state.value
    query = select(WebhookDelivery.webhook_id, func.count()).where(*theirs).group_by(WebhookDelivery.webhook_id)
    return dict(session.execute(query).all())

"""The line of each webhook: who delivers to it, what comes next, and what an answer makes of it.

One process at a time holds a webhook, under a lease, and sends it one delivery after the other, in the order of events.
What fails is tried again, and what is behind waits with it: mostly the receiver is away. Where the first one has failed
for a while, another one is tried: once that is accepted, what failed is put aside, to be tried on its own, and the line
goes on. So a receiver that was away gets everything in order, and one event that it cannot take holds up no others.
"""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import structlog
from sqlalchemy import ColumnElement, exists, select, update
from sqlalchemy.orm import Session

from enginehouse.webhooks import DeliveryState
from scheduler.registry.engine import now
from scheduler.registry.tables import EventRow, Project, Webhook, WebhookAttempt, WebhookDelivery
from scheduler.settings import Settings
from scheduler.webhooks import message, switch
from scheduler.webhooks.schedule import MOST_TRIES, PATIENCE, line_wait_s, wait_s
from scheduler.webhooks.sending import Answer

GONE = 410
"""The status by which a receiver says that it wants no more."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Parcel:
    """What is to be sent next. ``secrets`` are sealed; the first is the present one."""

    webhook: str
    delivery: str
    url: str
    kind: str
    message: str
    body: str
    secrets: tuple[str, ...]
    aside: bool
    probe: bool


# --- who delivers --------------------------------------------------------------------------------


def waiting(session: Session, limit: int) -> list[str]:
    """Webhooks that something can be sent to now and that nobody holds, those first that were served least lately."""
    moment = now(session)
    mine = WebhookDelivery.webhook_id == Webhook.id, _pending(), WebhookDelivery.due <= moment
    query = select(Webhook.id).where(_free(moment), exists().where(*mine))
    return list(session.scalars(query.order_by(Webhook.served.asc().nulls_first(), Webhook.id).limit(limit)))


def take(session: Session, who: str, wanted: Collection[str], lease_s: float) -> list[str]:
    """Hold these webhooks; returns those that nobody else has taken meanwhile."""
    moment = now(session)
    rows = list(session.scalars(select(Webhook).where(Webhook.id.in_(wanted), _free(moment))))
    for row in rows:
        row.held_by, row.held_until, row.served = who, moment + timedelta(seconds=lease_s), moment
    taken = {row.id for row in rows}
    return [each for each in wanted if each in taken]


def renew(session: Session, who: str, held: Collection[str], lease_s: float) -> None:
    """Hold them for longer."""
    until = now(session) + timedelta(seconds=lease_s)
    mine = Webhook.held_by == who, Webhook.id.in_(held)
    session.execute(update(Webhook).where(*mine).values(held_until=until))


def release(session: Session, who: str, webhook: str) -> None:
    """Let others have it."""
    mine = Webhook.held_by == who, Webhook.id == webhook
    session.execute(update(Webhook).where(*mine).values(held_by=None, held_until=None))


def _free(moment: datetime) -> ColumnElement[bool]:
    held = Webhook.held_until.is_not(None) & (Webhook.held_until > moment)
    open_ = Webhook.not_before.is_(None) | (Webhook.not_before <= moment)
    return Webhook.enabled & Webhook.deleted.is_(None) & ~held & open_


def _pending() -> ColumnElement[bool]:
    return WebhookDelivery.state == DeliveryState.PENDING.value


# --- what comes next -----------------------------------------------------------------------------


def next_(session: Session, who: str, webhook: str, settings: Settings, *, aside_first: bool) -> Parcel | None:
    """What this webhook, which ``who`` holds, is to be sent now. ``aside_first``: rather of what was put aside."""
    hook = session.get(Webhook, webhook)
    moment = now(session)
    if hook is None or hook.held_by != who or not hook.enabled or hook.deleted is not None:
        return None
    if hook.not_before is not None and hook.not_before > moment:
        return None
    mine = select(WebhookDelivery).where(WebhookDelivery.webhook_id == hook.id, _pending())
    late = mine.where(WebhookDelivery.aside, WebhookDelivery.due <= moment).order_by(WebhookDelivery.due).limit(1)
    chosen = session.scalar(late) if aside_first else None
    probe = False
    if chosen is None:
        chosen, probe = _of_line(session, hook)
    if chosen is None and not aside_first:
        chosen = session.scalar(late)
    if chosen is None:
        return None
    event = session.get_one(EventRow, chosen.event_id)
    project = session.get_one(Project, event.project_id).name if event.project_id else None
    old = hook.old_secret if hook.old_until is not None and hook.old_until > moment else None
    return Parcel(
        webhook=hook.id,
        delivery=chosen.id,
        url=hook.url,
        kind=chosen.kind,
        message=message.id_of(event),
        body=message.body_of(event, project, message.source_of(settings)),
        secrets=(hook.secret, old) if old is not None else (hook.secret,),
        aside=chosen.aside,
        probe=probe,
    )


def _of_line(session: Session, hook: Webhook) -> tuple[WebhookDelivery | None, bool]:
    """The first of the line; where it has failed for a while, the one of the others that was tried least."""
    line = select(WebhookDelivery).where(
        WebhookDelivery.webhook_id == hook.id, _pending(), WebhookDelivery.aside.is_(False)
    )
    first = session.scalar(line.order_by(WebhookDelivery.place, WebhookDelivery.event_id).limit(1))
    if first is None or not hook.probing:
        return first, False
    others = line.where(WebhookDelivery.id != first.id)
    order = WebhookDelivery.tries, WebhookDelivery.place, WebhookDelivery.event_id
    other = session.scalar(others.order_by(*order).limit(1))
    return (other, True) if other is not None else (first, False)


# --- what an answer makes of it ------------------------------------------------------------------


def finish(session: Session, who: str, parcel: Parcel, started: datetime, answer: Answer, settings: Settings) -> bool:
    """Record an answer and what follows from it. False: the webhook is not held any more, and somebody else tries."""
    hook = session.get(Webhook, parcel.webhook)
    row = session.get(WebhookDelivery, parcel.delivery)
    if hook is None or row is None or hook.held_by != who or row.state == DeliveryState.DELIVERED:
        return False
    row.attempts += 1
    row.tries += 1
    session.add(
        WebhookAttempt(
            delivery_id=row.id,
            number=row.attempts,
            started=started,
            ms=answer.ms,
            outcome=answer.outcome.value,
            status=answer.status,
            error=answer.error,
            address=answer.address,
            response=answer.response,
        )
    )
    moment = now(session)
    if answer.accepted:
        _accepted(session, hook, row, moment, probe=parcel.probe)
    elif row.state == DeliveryState.PENDING:  # and not dead, since the webhook was disabled meanwhile
        _failed(session, hook, row, moment, parcel, answer, settings)
    session.flush()
    said = {"webhook": hook.id, "delivery": row.id, "cursor": row.event_id, "ms": answer.ms, "status": answer.status}
    if answer.accepted:
        log.info("webhook.delivered", **said)
    else:
        log.warning("webhook.failed", **said, outcome=answer.outcome.value, tries=row.tries, state=row.state)
    return True


def _accepted(session: Session, hook: Webhook, row: WebhookDelivery, moment: datetime, *, probe: bool) -> None:
    row.state, row.ended, row.aside, row.note = DeliveryState.DELIVERED.value, moment, False, ""
    hook.last_delivered = moment
    if probe:  # then it is not the receiver: what it refused again and again waits on its own
        stuck = select(WebhookDelivery).where(
            WebhookDelivery.webhook_id == hook.id,
            _pending(),
            WebhookDelivery.aside.is_(False),
            WebhookDelivery.tries >= PATIENCE,
        )
        for each in session.scalars(stuck):
            _put_aside(each, moment)
    switch.reset(hook)


def _failed(
    session: Session,
    hook: Webhook,
    row: WebhookDelivery,
    moment: datetime,
    parcel: Parcel,
    answer: Answer,
    settings: Settings,
) -> None:
    if answer.status == GONE:
        switch.off(session, hook, "its receiver answered 410: it wants no more")
        return
    if row.aside:
        _put_aside(row, moment)
        return
    hook.failing_since = hook.failing_since or moment
    failing_s = (moment - hook.failing_since).total_seconds()
    if failing_s >= settings.webhook_disable_after_s:
        switch.off(session, hook, f"every try failed for {_span(failing_s)}; the last: {answer.error}")
        return
    hook.failures += 0 if parcel.probe else 1
    chance = random.random()  # noqa: S311 - jitter, not a secret
    patient = parcel.probe or row.tries < PATIENCE or answer.asked_s is not None
    hook.probing = not patient and _is_followed(session, row)
    wait = line_wait_s(hook.failures, chance, answer.asked_s)
    hook.not_before = None if hook.probing else moment + timedelta(seconds=wait)


def _put_aside(row: WebhookDelivery, moment: datetime) -> None:
    """It is tried on its own from now on, or is dead."""
    row.aside = True
    if row.tries >= MOST_TRIES:
        row.state, row.ended = DeliveryState.DEAD.value, moment
        row.note = f"refused {row.tries} times, while others were accepted"
    else:
        row.due = moment + timedelta(seconds=wait_s(row.tries, random.random()))  # noqa: S311 - jitter


def _is_followed(session: Session, row: WebhookDelivery) -> bool:
    others = select(WebhookDelivery.id).where(
        WebhookDelivery.webhook_id == row.webhook_id,
        _pending(),
        WebhookDelivery.aside.is_(False),
        WebhookDelivery.id != row.id,
    )
    return session.scalar(others.limit(1)) is not None


def _span(seconds: float) -> str:
    for unit, length in (("days", 86_400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"

"""Events become deliveries: read by a cursor, once, in the order in which they were committed.

The events are the outbox. They are written with the changes that they tell of, and numbered in the order of commits; a
delivery for each webhook that wants one is written in the transaction that moves the cursor on. So an event that is
committed is delivered, whatever dies when, and a change that nobody is told of costs nothing more than before.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from enginehouse.event_kinds import matches
from enginehouse.webhooks import DeliveryState
from scheduler import events, ids
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Cursor, EventRow, Webhook, WebhookDelivery
from scheduler.webhooks import switch

CURSOR = "webhooks"
TEST = "webhook.test"
MOST_PENDING = 100_000
"""Deliveries that may wait for a webhook whose receiver fails; one with more is disabled."""

_BATCH = 500
_BATCHES = 20


def fan_out(farm: Farm) -> int:
    """Hand on what was committed since the last time; returns how many deliveries that made.

    Any number of processes may call it: they take turns, and each goes on where the last one stopped.
    """
    made = 0
    for _ in range(_BATCHES):
        with farm.read() as session:
            if not _behind(session):
                return made
        with farm.write(durable=False) as session:
            made += _batch(session)
    return made


def begin(session: Session, hook: Webhook) -> None:
    """From this transaction on the webhook is told of events; of none before."""
    hook.since = events.newest(session)
    cursor = session.get(Cursor, CURSOR)
    if cursor is None:
        session.add(Cursor(name=CURSOR, value=hook.since))
    elif not _anybody(session, but=hook.id):
        cursor.value = hook.since


def kept_from(session: Session) -> int | None:
    """Events after this one have still to be handed on, and must not be forgotten; None: nobody waits for any."""
    cursor = session.get(Cursor, CURSOR)
    return cursor.value if cursor is not None and _anybody(session) else None


def delivery(hook: Webhook, event: EventRow, session: Session, place: int | None = None) -> WebhookDelivery:
    """A new delivery, last in the webhook's line."""
    moment = now(session)
    return WebhookDelivery(
        id=ids.new("delivery"),
        webhook_id=hook.id,
        project_id=hook.project_id,
        event_id=event.id,
        kind=event.kind,
        state=DeliveryState.PENDING.value,
        aside=False,
        place=event.id if place is None else place,
        due=moment,
        attempts=0,
        tries=0,
        note="",
        created=moment,
    )


def wants(hook: Webhook, event: EventRow) -> bool:
    """Whether the event is for this webhook: of its project or of the whole farm, and of a kind that it names."""
    mine = event.project_id is None or event.project_id == hook.project_id
    return mine and event.kind != TEST and matches(hook.kinds, event.kind)


def _behind(session: Session) -> bool:
    cursor = session.get(Cursor, CURSOR)
    return cursor is not None and _anybody(session) and events.newest(session) > cursor.value


def _anybody(session: Session, but: str = "") -> bool:
    listening = Webhook.enabled, Webhook.deleted.is_(None), Webhook.id != but
    return session.scalar(select(Webhook.id).where(*listening).limit(1)) is not None


def _batch(session: Session) -> int:
    cursor = session.get_one(Cursor, CURSOR)
    query = select(EventRow).where(EventRow.id > cursor.value).order_by(EventRow.id).limit(_BATCH)
    rows = list(session.scalars(query))
    if not rows:
        return 0
    hooks = list(session.scalars(select(Webhook).where(Webhook.enabled, Webhook.deleted.is_(None))))
    made: dict[str, list[WebhookDelivery]] = defaultdict(list)
    for event in rows:
        for hook in hooks:
            if event.id > hook.since and wants(hook, event):
                made[hook.id].append(delivery(hook, event, session))
    session.add_all(each for batch in made.values() for each in batch)
    cursor.value = rows[-1].id
    session.flush()
    _bound(session, [hook for hook in hooks if hook.failures and hook.id in made])
    return sum(map(len, made.values()))


def _bound(session: Session, failing: Iterable[Webhook]) -> None:
    for hook in failing:
        mine = WebhookDelivery.webhook_id == hook.id, WebhookDelivery.state == DeliveryState.PENDING.value
        if (session.scalar(select(func.count()).where(*mine)) or 0) > MOST_PENDING:
            switch.off(session, hook, f"more than {MOST_PENDING} deliveries waited while its receiver failed")

"""The log of deliveries, the dead letters among them, and replays."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import structlog
from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.errors import Conflict, NotFound, RequestError
from enginehouse.views import Page
from enginehouse.webhooks import (
    AttemptView,
    DeliveryDetail,
    DeliveryState,
    DeliveryView,
    Outcome,
    Replay,
    Replayed,
)
from scheduler import events, paging
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import EventRow, Project, Webhook, WebhookAttempt, WebhookDelivery
from scheduler.settings import Settings
from scheduler.tokens import Principal
from scheduler.webhooks import fanout, message
from scheduler.webhooks.lookup import mine

MOST_REPLAYED = 10_000
"""Events that one replay looks at."""

_TRIES_SHOWN = 100
_BATCH = 500

log = structlog.get_logger(__name__)


def list_(
    session: Session,
    principal: Principal,
    webhook: str | None,
    state: DeliveryState | None,
    limit: int,
    after: str | None,
) -> Page[DeliveryView]:
    """The project's deliveries, newest first; of one webhook, in one state. The dead ones are the dead letters."""
    theirs = Webhook.project_id == principal.project, Webhook.deleted.is_(None)
    query = select(WebhookDelivery).where(WebhookDelivery.project_id == principal.project)
    if webhook is not None:
        query = query.where(WebhookDelivery.webhook_id == mine(session, principal, webhook).id)
    else:
        query = query.where(WebhookDelivery.webhook_id.in_(select(Webhook.id).where(*theirs)))
    if state is not None:
        query = query.where(WebhookDelivery.state == state.value)
    rows, following = paging.page(session, query, WebhookDelivery.id, limit, after)
    return Page[DeliveryView](items=views(session, rows), next=following)


def get(session: Session, settings: Settings, principal: Principal, delivery: str) -> DeliveryDetail:
    """One, with what is sent and every answer. Raises NotFound."""
    row = _row(session, principal, delivery)
    event = session.get_one(EventRow, row.event_id)
    project = session.get_one(Project, event.project_id).name if event.project_id else None
    newest = WebhookAttempt.number.desc()
    tries = select(WebhookAttempt).where(WebhookAttempt.delivery_id == row.id).order_by(newest).limit(_TRIES_SHOWN)
    return DeliveryDetail(
        **views(session, [row])[0].model_dump(),
        body=message.body_of(event, project, message.source_of(settings)),
        tries=[_attempt(each) for each in session.scalars(tries)],
    )


def replay(farm: Farm, principal: Principal, delivery: str) -> DeliveryView:
    """Send one once more, whether it was delivered or is dead. Raises NotFound or Conflict."""
    with farm.write() as session:
        row = _row(session, principal, delivery)
        hook = _listening(session, principal, row.webhook_id)
        if row.state == DeliveryState.PENDING:
            advice = "Wait for what becomes of it; it is tried again by itself."
            raise Conflict(f"delivery {delivery} is on its way", advice=advice, delivery=delivery)
        _again(row, hook, events.newest(session), now(session))
        session.flush()
        log.info("webhook.replayed", webhook=hook.id, deliveries=1, by=principal.name)
        return views(session, [row])[0]


def replay_range(farm: Farm, principal: Principal, webhook: str, wanted: Replay) -> Replayed:
    """Send the events of a stretch of time: what was not delivered, or all of it.

    Also those that the webhook was not told of since it did not exist, was disabled, or named other kinds. Raises
    NotFound, Conflict or RequestError.
    """
    with farm.read() as session:
        _listening(session, principal, webhook)
        until = _aware(wanted.until) if wanted.until is not None else now(session)
        first = events.before(session, _aware(wanted.since))
        last = events.before(session, until, including=True)
    if _aware(wanted.since) > until:
        raise RequestError("'until' lies before 'since'", field="until")
    made = seen = 0
    cursor, reached = first, until
    while cursor < last and seen < MOST_REPLAYED:
        with farm.write() as session:
            hook = _listening(session, principal, webhook)
            stretch = EventRow.id > cursor, EventRow.id <= last
            rows = list(session.scalars(select(EventRow).where(*stretch).order_by(EventRow.id).limit(_BATCH)))
            if not rows:
                cursor = last
                break
            made += _replayed(session, hook, rows, delivered=wanted.delivered)
            cursor, reached = rows[-1].id, rows[-1].time
            seen += len(rows)
    whole = cursor >= last
    log.info("webhook.replayed", webhook=webhook, deliveries=made, by=principal.name)
    return Replayed(deliveries=made, until=until if whole else reached, whole=whole)


def views(session: Session, rows: Sequence[WebhookDelivery]) -> list[DeliveryView]:
    """Deliveries with their newest attempts."""
    events_ = {
        event.id: event
        for event in session.scalars(select(EventRow).where(EventRow.id.in_({row.event_id for row in rows})))
    }
    newest = select(WebhookAttempt).join(
        WebhookDelivery,
        (WebhookDelivery.id == WebhookAttempt.delivery_id) & (WebhookDelivery.attempts == WebhookAttempt.number),
    )
    last = {
        each.delivery_id: _attempt(each)
        for each in session.scalars(newest.where(WebhookDelivery.id.in_([row.id for row in rows])))
    }
    return [
        DeliveryView(
            id=row.id,
            webhook=row.webhook_id,
            event=row.event_id,
            message=message.id_of(events_[row.event_id]),
            kind=row.kind,
            job=events_[row.event_id].job_id,
            build=events_[row.event_id].build_id,
            state=DeliveryState(row.state),
            aside=row.aside,
            note=row.note,
            attempts=row.attempts,
            due=row.due,
            last=last.get(row.id),
            created=row.created,
            ended=row.ended,
        )
        for row in rows
    ]


def _replayed(session: Session, hook: Webhook, rows: Sequence[EventRow], *, delivered: bool) -> int:
    wanted = [event for event in rows if fanout.wants(hook, event)]
    theirs = WebhookDelivery.webhook_id == hook.id, WebhookDelivery.event_id.in_([event.id for event in wanted])
    there = {row.event_id: row for row in session.scalars(select(WebhookDelivery).where(*theirs))}
    place, moment, cursor = events.newest(session), now(session), fanout.kept_from(session) or 0
    made = 0
    for event in wanted:
        row = there.get(event.id)
        if row is None:
            if event.id > cursor and event.id > hook.since:
                continue  # it is about to be handed on anyway
            session.add(fanout.delivery(hook, event, session, place))
        elif row.state == DeliveryState.DEAD or (delivered and row.state == DeliveryState.DELIVERED):
            _again(row, hook, place, moment)
        else:
            continue
        made += 1
    return made


def _again(row: WebhookDelivery, hook: Webhook, place: int, moment: datetime) -> None:
    """Into the line once more, behind what waits there."""
    row.state, row.note, row.aside, row.tries = DeliveryState.PENDING.value, "", False, 0
    row.place, row.due, row.ended = max(place, row.event_id), moment, None
    hook.not_before = None  # who replays wants to see now what becomes of it


def _listening(session: Session, principal: Principal, webhook: str) -> Webhook:
    hook = mine(session, principal, webhook)
    if not hook.enabled:
        raise Conflict(f"webhook {webhook} is disabled", advice="Enable it first.", webhook=webhook)
    return hook


def _row(session: Session, principal: Principal, delivery: str) -> WebhookDelivery:
    found = session.get(WebhookDelivery, delivery)
    hook = session.get(Webhook, found.webhook_id) if found is not None else None
    if found is None or hook is None or hook.deleted is not None or found.project_id != principal.project:
        advice = "'enginehouse webhook deliveries' shows them; they are kept for ENGINEHOUSE_KEEP_DELIVERIES_DAYS."
        raise NotFound(f"there is no delivery {delivery}", advice=advice, delivery=delivery)
    return found


def _aware(moment: datetime) -> datetime:
    if moment.tzinfo is None:
        raise RequestError("times need a zone, for example 2026-11-22T01:00:00Z", field="since")
    return moment


def _attempt(each: WebhookAttempt) -> AttemptView:
    return AttemptView(
        number=each.number,
        started=each.started,
        ms=each.ms,
        outcome=Outcome(each.outcome),
        status=each.status,
        error=each.error,
        address=each.address,
        response=each.response,
    )

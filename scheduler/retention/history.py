"""Events, logs and deliveries that are older than they are kept."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import delete, exists, func, select, update

from enginehouse.collection import Collection
from enginehouse.states import ENDED, JOB_ENDED
from scheduler import events, sessions
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, AuditRow, Build, EventRow, Job, LogRow, Webhook, WebhookDelivery
from scheduler.webhooks import fanout, registry

_EVENTS = 2000
_BUILDS = 50
_ENDED = [state.value for state in ENDED]
_JOB_ENDED = [state.value for state in JOB_ENDED]


def forget(farm: Farm, done: Collection) -> None:
    """Remove what is due, and count it in ``done``; where that is a dry run, only count it."""
    _deliveries(farm, done)
    if farm.settings.keep_events_days:
        done.events = _events(farm, farm.settings.keep_events_days, dry_run=done.dry_run)
    if farm.settings.keep_logs_days:
        done.logs = _logs(farm, farm.settings.keep_logs_days, dry_run=done.dry_run)
    if farm.settings.keep_audit_days:
        done.audit = _audit(farm, farm.settings.keep_audit_days, dry_run=done.dry_run)
    if not done.dry_run:
        with farm.write(durable=False) as session:
            sessions.sweep(session, farm.settings)


def _events(farm: Farm, days: int, *, dry_run: bool) -> int:
    """Events of jobs that have ended, and of the farm. The newest one of all stays: it is where cursors begin.

    So do those that webhooks have still to be told of, or whose deliveries are on record.
    """
    with farm.read() as session:
        last = min(events.before(session, now(session) - timedelta(days=days)), events.newest(session) - 1)
        handed_on = fanout.kept_from(session)
        last = last if handed_on is None else min(last, handed_on)
        unfinished = exists().where(Job.id == EventRow.job_id, Job.state.not_in(_JOB_ENDED))
        on_record = exists().where(WebhookDelivery.event_id == EventRow.id)
        due = select(EventRow.id).where(EventRow.id <= last, ~unfinished, ~on_record)
        if dry_run:
            return session.scalar(select(func.count()).select_from(due.subquery())) or 0
    removed = 0
    while True:
        with farm.write(durable=False) as session:
            ids = list(session.scalars(due.order_by(EventRow.id).limit(_EVENTS)))
            session.execute(delete(EventRow).where(EventRow.id.in_(ids)))
        removed += len(ids)
        if len(ids) < _EVENTS:
            return removed


def _audit(farm: Farm, days: int, *, dry_run: bool) -> int:
    """Lines of the audit log."""
    with farm.read() as session:
        due = select(AuditRow.id).where(AuditRow.time < now(session) - timedelta(days=days))
        if dry_run:
            return session.scalar(select(func.count()).select_from(due.subquery())) or 0
    removed = 0
    while True:
        with farm.write(durable=False) as session:
            ids = list(session.scalars(due.order_by(AuditRow.time).limit(_EVENTS)))
            session.execute(delete(AuditRow).where(AuditRow.id.in_(ids)))
        removed += len(ids)
        if len(ids) < _EVENTS:
            return removed


def _deliveries(farm: Farm, done: Collection) -> None:
    """Deliveries that ended long ago with their attempts, and what a deletion that was cut short left."""
    with farm.read() as session:
        gone = list(session.scalars(select(Webhook.id).where(Webhook.deleted.is_not(None))))
        before = now(session) - timedelta(days=farm.settings.keep_deliveries_days)
        due = select(WebhookDelivery.id).where(WebhookDelivery.ended < before)
        if farm.settings.keep_deliveries_days and done.dry_run:
            done.deliveries = session.scalar(select(func.count()).select_from(due.subquery())) or 0
    if done.dry_run:
        return
    for webhook in gone:
        registry.purge(farm, webhook)
    while farm.settings.keep_deliveries_days:
        with farm.write(durable=False) as session:
            ids = list(session.scalars(due.limit(_EVENTS)))
            session.execute(delete(WebhookDelivery).where(WebhookDelivery.id.in_(ids)))
        done.deliveries += len(ids)
        if len(ids) < _EVENTS:
            return


def _logs(farm: Farm, days: int, *, dry_run: bool) -> int:
    """All lines of builds that ended long ago, and what their attempts left. Returns how many builds had lines."""
    removed = 0
    last = ""
    while True:
        with farm.read() as session:
            has_lines = exists().where(LogRow.build_id == Build.id)
            due = select(Build.id).where(Build.state.in_(_ENDED), Build.ended < now(session) - timedelta(days=days))
            builds = list(session.scalars(due.where(has_lines, Build.id > last).order_by(Build.id).limit(_BUILDS)))
        if builds and not dry_run:
            with farm.write(durable=False) as session:
                session.execute(delete(LogRow).where(LogRow.build_id.in_(builds)))
                session.execute(update(Attempt).where(Attempt.build_id.in_(builds)).values(attachments={}))
        removed += len(builds)
        if len(builds) < _BUILDS:
            return removed
        last = builds[-1]

"""Events and logs that are older than they are kept."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy import delete, exists, func, select, update
from sqlalchemy.orm import Session

from enginehouse.collection import Collection
from enginehouse.states import ENDED, JOB_ENDED
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Build, EventRow, Job, LogRow

_EVENTS = 2000
_BUILDS = 50
_ENDED = [state.value for state in ENDED]
_JOB_ENDED = [state.value for state in JOB_ENDED]


def forget(farm: Farm, done: Collection) -> None:
    """Remove what is due, and count it in ``done``; where that is a dry run, only count it."""
    if farm.settings.keep_events_days:
        done.events = _events(farm, farm.settings.keep_events_days, dry_run=done.dry_run)
    if farm.settings.keep_logs_days:
        done.logs = _logs(farm, farm.settings.keep_logs_days, dry_run=done.dry_run)


def _events(farm: Farm, days: int, *, dry_run: bool) -> int:
    """Events of jobs that have ended, and of the farm. The newest one of all stays: it is where cursors begin."""
    with farm.read() as session:
        last = _before(session, now(session) - timedelta(days=days))
        unfinished = exists().where(Job.id == EventRow.job_id, Job.state.not_in(_JOB_ENDED))
        due = select(EventRow.id).where(EventRow.id <= last, ~unfinished)
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


def _before(session: Session, moment: datetime) -> int:
    """The greatest id, but for the newest, of the events before a moment: times ascend with ids, so it is bisected."""
    low = 0
    high = (session.scalar(select(func.max(EventRow.id))) or 1) - 1
    while low < high:
        middle = (low + high + 1) // 2
        time = session.scalar(select(EventRow.time).where(EventRow.id <= middle).order_by(EventRow.id.desc()).limit(1))
        if time is None or time < moment:
            low = middle
        else:
            high = middle - 1
    return low


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

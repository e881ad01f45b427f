"""Events: what changed, numbered in the order of commits; read by cursor."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, or_, select
from sqlalchemy.orm import Session

from enginehouse.views import Event, EventPage
from scheduler.registry.engine import now
from scheduler.registry.tables import Build, EventRow, Job


def emit(
    session: Session,
    kind: str,
    *,
    build: Build | None = None,
    job: Job | None = None,
    project: str | None = None,
    **data: Any,
) -> EventRow:
    """Record an event in the transaction of the change that it tells of."""
    row = EventRow(
        time=now(session),
        kind=kind,
        project_id=build.project_id if build else job.project_id if job else project,
        job_id=build.job_id if build else job.id if job else None,
        build_id=build.id if build else None,
        data=data,
    )
    session.add(row)
    return row


def after(
    session: Session, cursor: int, project: str | None = None, job: str | None = None, limit: int = 500
) -> list[Event]:
    """Events with a greater id, oldest first: a project's own and the farm's (which have no project)."""
    query = select(EventRow).where(EventRow.id > cursor).order_by(EventRow.id).limit(limit)
    if job is not None:
        query = query.where(EventRow.job_id == job)
    if project is not None:
        query = query.where((EventRow.project_id == project) | EventRow.project_id.is_(None))
    return [_view(row) for row in session.scalars(query)]


def page(
    session: Session, project: str, cursor: int, limit: int, kinds: list[str] | None = None, job: str | None = None
) -> EventPage:
    """One page of what ``after`` gives, of those kinds; the cursor moves also over what is not of them."""
    last = newest(session)  # first: what is committed in between is for the next page
    query = select(EventRow).where(EventRow.id > cursor, EventRow.id <= last)
    query = query.where((EventRow.project_id == project) | EventRow.project_id.is_(None))
    if job is not None:
        query = query.where(EventRow.job_id == job)
    if kinds is not None and "*" not in kinds:
        exact = [kind for kind in kinds if not kind.endswith(".*")]
        families = [EventRow.kind.startswith(kind[:-1], autoescape=True) for kind in kinds if kind.endswith(".*")]
        query = query.where(or_(EventRow.kind.in_(exact), *families))
    items = [_view(row) for row in session.scalars(query.order_by(EventRow.id).limit(limit))]
    reached = items[-1].id if len(items) == limit else max(cursor, last)
    return EventPage(items=items, next=reached, newest=last)


def before(session: Session, moment: datetime, *, including: bool = False) -> int:
    """The greatest id of the events before a moment (or at it), 0 where there is none.

    Times ascend with ids, so it is bisected.
    """
    low, high = 0, newest(session)
    while low < high:
        middle = (low + high + 1) // 2
        time = session.scalar(select(EventRow.time).where(EventRow.id <= middle).order_by(EventRow.id.desc()).limit(1))
        if time is None or time < moment or (including and time == moment):
            low = middle
        else:
            high = middle - 1
    return low


def newest(session: Session) -> int:
    """The greatest id so far, 0 when there is none."""
    return session.scalar(select(func.max(EventRow.id))) or 0


def _view(row: EventRow) -> Event:
    return Event(
        id=row.id,
        time=row.time,
        kind=row.kind,
        project=row.project_id,
        job=row.job_id,
        build=row.build_id,
        data=row.data,
    )

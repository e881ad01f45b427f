"""Events: what changed, numbered in the order of commits; read by cursor."""

from __future__ import annotations

from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from enginehouse.views import Event
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
) -> None:
    """Record an event in the transaction of the change that it tells of."""
    session.add(
        EventRow(
            time=now(session),
            kind=kind,
            project_id=build.project_id if build else job.project_id if job else project,
            job_id=build.job_id if build else job.id if job else None,
            build_id=build.id if build else None,
            data=data,
        )
    )


def after(
    session: Session, cursor: int, project: str | None = None, job: str | None = None, limit: int = 500
) -> list[Event]:
    """Events with a greater id, oldest first: a project's own and the farm's (which have no project)."""
    query = select(EventRow).where(EventRow.id > cursor).order_by(EventRow.id).limit(limit)
    if job is not None:
        query = query.where(EventRow.job_id == job)
    if project is not None:
        query = query.where((EventRow.project_id == project) | EventRow.project_id.is_(None))
    return [
        Event(
            id=row.id,
            time=row.time,
            kind=row.kind,
            project=row.project_id,
            job=row.job_id,
            build=row.build_id,
            data=row.data,
        )
        for row in session.scalars(query)
    ]


def newest(session: Session) -> int:
    """The greatest id so far, 0 when there is none."""
    return session.scalar(select(func.max(EventRow.id))) or 0

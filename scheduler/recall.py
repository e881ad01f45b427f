"""Dispatches that nobody will claim any more: taken back at once, at no cost, instead of expiring."""

from __future__ import annotations

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from enginehouse.states import AttemptState, WorkerMode
from scheduler import pools, transitions
from scheduler.registry.tables import Attempt, Build, Worker


def all_of_them(session: Session, why: str) -> None:
    """Everything that is on its way, to whatever pool."""
    _take_back(session, Attempt.state == AttemptState.DISPATCHED.value, why)


def from_pool(session: Session, pool: str, why: str) -> None:
    """What is on its way to the pool."""
    _take_back(session, Attempt.pool == pool, why)


def from_worker(session: Session, worker: Worker, why: str) -> None:
    """What was sent to the worker's own queue; and to its pool's, where nobody is left there who takes it."""
    session.flush()
    _take_back(session, Attempt.meant_for == worker.id, why)
    takers = select(Worker.id).where(Worker.pool == worker.pool, Worker.state == pools.ONLINE, Worker.id != worker.id)
    if session.scalar(takers.where(Worker.mode == WorkerMode.OPEN.value).limit(1)) is None:
        from_pool(session, worker.pool, why)


def _take_back(session: Session, which: ColumnElement[bool], why: str) -> None:
    sent = select(Attempt).where(Attempt.state == AttemptState.DISPATCHED.value, which)
    for attempt in session.scalars(sent.order_by(Attempt.build_id)).all():
        transitions.unclaimed(session, session.get_one(Build, attempt.build_id), f"{why}; it is sent again")

"""Pools: what workers of one kind share, and how many of their slots are free."""

from __future__ import annotations

import hashlib
import re

from sqlalchemy import case, func, select
from sqlalchemy.orm import Session

from enginehouse.bundle import canonical_json
from enginehouse.capability import Capability
from enginehouse.states import AttemptState, PoolMode, WorkerMode
from enginehouse.work import SignOn
from scheduler import switches
from scheduler.facts import facts_of
from scheduler.placement import PoolState
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Pool, Worker

ONLINE = "online"


def queue_of(pool: str) -> str:
    """The pool's Celery queue."""
    return f"pool.{pool}"


def pool_name(announced: SignOn) -> str:
    """Equal for workers that may stand in for each other: hardware class, tags, toolchains, pipeline, and all facts.

    A constraint holds for a whole pool or not at all, so that workers that differ in a fact are of different pools.
    """
    identity = {
        "hardware_class": announced.hardware.hardware_class,
        "tags": sorted(announced.hardware.tags),
        "capabilities": sorted(
            (c.model_dump(mode="json") for c in announced.capabilities), key=lambda c: str(c["backend"])
        ),
        "pipeline": announced.pipeline,
        "facts": facts_of(announced),
    }
    slug = re.sub(r"[^a-z0-9]+", "-", announced.hardware.hardware_class.lower()).strip("-")[:48]
    return f"{slug}-{hashlib.sha256(canonical_json(identity)).hexdigest()[:8]}"


def enter(session: Session, announced: SignOn) -> Pool:
    """The pool of this worker; made when it is the first of its kind."""
    name = pool_name(announced)
    row = session.get(Pool, name)
    if row is None:
        row = Pool(
            name=name,
            hardware_class=announced.hardware.hardware_class,
            tags=sorted(announced.hardware.tags),
            capabilities=[c.model_dump(mode="json") for c in announced.capabilities],
            pipeline=announced.pipeline,
            created=now(session),
        )
        session.add(row)
    row.facts = dict(facts_of(announced))  # also of a pool that was entered by a farm that knew fewer of them
    session.flush()
    return row


def online(session: Session) -> list[PoolState]:
    """Pools with workers online. Slots are counted from live attempts, never held in a counter that can leak.

    Only workers whose mode is open have slots. A pool that is paused has none free, and in maintenance none has any;
    they are there all the same, and say why they are closed.
    """
    openly = Worker.mode == WorkerMode.OPEN.value
    slots = (
        select(Worker.pool, func.sum(case((openly, Worker.slots), else_=0)).label("slots"))
        .where(Worker.state == ONLINE)
        .group_by(Worker.pool)
        .subquery()
    )
    on_its_way = Attempt.state == AttemptState.DISPATCHED.value
    taken = (
        select(Attempt.pool, func.count().label("taken"))
        .outerjoin(Worker, Worker.id == Attempt.worker_id)
        .where(Attempt.state.in_([AttemptState.DISPATCHED.value, AttemptState.RUNNING.value]), on_its_way | openly)
        .group_by(Attempt.pool)
        .subquery()
    )
    query = (
        select(Pool, slots.c.slots, func.coalesce(taken.c.taken, 0))
        .join(slots, slots.c.pool == Pool.name)
        .outerjoin(taken, taken.c.pool == Pool.name)
        .order_by(Pool.name)
    )
    stopped = switches.maintenance(session)
    found = []
    for row, total, used in session.execute(query):
        closed = stopped or _shut(row, int(total))
        found.append(_state(row, 0 if closed else max(0, int(total) - int(used)), int(total), closed))
    return found


def _shut(row: Pool, slots: int) -> str:
    if row.mode != PoolMode.OPEN:
        return switches.said(f"pool {row.name} is paused", row.mode_reason)
    return "" if slots else f"every worker of pool {row.name} is paused or drained"


def ever(session: Session) -> list[PoolState]:
    """Every pool that has ever signed on, with no free slots: what the farm has heard of."""
    return [_state(row, 0, 0) for row in session.scalars(select(Pool))]


def _state(row: Pool, free: int, slots: int, closed: str = "") -> PoolState:
    return PoolState(
        name=row.name,
        hardware_class=row.hardware_class,
        tags=frozenset(row.tags),
        capabilities=tuple(Capability.model_validate(c) for c in row.capabilities),
        pipeline=row.pipeline,
        free=free,
        slots=slots,
        closed=closed,
        facts=row.facts,
    )

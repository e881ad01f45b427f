"""Control: what operators let workers, pools and the farm do. Every change is an event, and logged with its author.

No change touches what runs. What was dispatched and not yet claimed is taken back where nobody may claim it any more.
"""

from __future__ import annotations

from typing import Any

import structlog
from sqlalchemy import Select, func, select, text
from sqlalchemy.orm import Session

from enginehouse.errors import NotFound
from enginehouse.states import AttemptState, PoolMode, WorkerMode
from enginehouse.views import MaintenanceView, PoolView, WorkerView
from scheduler import events, line, pools, recall, switches, workers
from scheduler.farm import Farm, wake_after
from scheduler.registry.engine import now
from scheduler.registry.tables import IN_LINE, Attempt, Build, Pool, Switch, Worker
from scheduler.tokens import Principal

log = structlog.get_logger(__name__)


def set_worker(farm: Farm, principal: Principal, worker: str, mode: WorkerMode, reason: str = "") -> WorkerView:
    """Pause, drain or resume a worker, named by its name or id. What it holds it finishes."""
    with farm.write() as session:
        row = session.scalar(select(Worker).where((Worker.id == worker) | (Worker.name == worker)))
        if row is None:
            advice = "'enginehouse worker list' shows the names."
            raise NotFound(f"there is no worker {worker}", advice=advice, worker=worker)
        mode = _arrived(session, row, mode)
        if (row.mode, row.mode_reason) != (mode.value, reason):
            row.mode, row.mode_reason = mode.value, reason
            kind = f"worker.{_word(mode.value)}"
            events.emit(session, kind, worker=row.name, pool=row.pool, reason=reason, by=principal.name)
            log.info(kind, worker=row.name, reason=reason, by=principal.name)
            if mode is not WorkerMode.OPEN:
                recall.from_worker(session, row, f"worker {row.name} takes nothing new")
            wake_after(session)
        return workers.view(session, row)


def set_pool(farm: Farm, principal: Principal, pool: str, mode: PoolMode, reason: str = "") -> PoolView:
    """Pause or resume a pool."""
    with farm.write() as session:
        row = session.get(Pool, pool)
        if row is None:
            advice = "'enginehouse pool list' shows the names."
            raise NotFound(f"there is no pool {pool}", advice=advice, pool=pool)
        if (row.mode, row.mode_reason) != (mode.value, reason):
            row.mode, row.mode_reason = mode.value, reason
            kind = f"pool.{_word(mode.value)}"
            events.emit(session, kind, pool=row.name, reason=reason, by=principal.name)
            log.info(kind, pool=row.name, reason=reason, by=principal.name)
            if mode is PoolMode.PAUSED:
                recall.from_pool(session, row.name, switches.said(f"pool {row.name} is paused", reason))
            wake_after(session)
        session.flush()
        return next(view for view in list_pools(session, everyone=True) if view.name == pool)


def set_maintenance(farm: Farm, principal: Principal, on: bool, reason: str = "") -> MaintenanceView:
    """Stop dispatching, or go on with it."""
    with farm.write() as session:
        row = session.get(Switch, switches.MAINTENANCE)
        if not on and row is None:
            return maintenance(session)
        if row is None:
            row = Switch(name=switches.MAINTENANCE, created=now(session))
            session.add(row)
        row.reason, row.by = reason, principal.name
        if on:
            recall.all_of_them(session, switches.said("the farm is in maintenance", reason))
        else:
            session.delete(row)
        events.emit(session, "farm.maintenance", on=on, reason=reason, by=principal.name)
        log.info("farm.maintenance", on=on, reason=reason, by=principal.name)
        wake_after(session)
        session.flush()
        return maintenance(session)


def maintenance(session: Session) -> MaintenanceView:
    """Whether the farm is in maintenance, since when, and who said so."""
    row = session.get(Switch, switches.MAINTENANCE)
    if row is None:
        return MaintenanceView(on=False)
    return MaintenanceView(on=True, reason=row.reason, by=row.by, since=row.created)


def list_pools(session: Session, *, everyone: bool = False) -> list[PoolView]:
    """The pools with workers online and those that are paused, by name; with ``everyone`` each that ever was."""
    online = Worker.state == pools.ONLINE
    present = _counted(session, select(Worker.pool, func.count()).where(online).group_by(Worker.pool))
    openly = online & (Worker.mode == WorkerMode.OPEN.value)
    slots = _counted(session, select(Worker.pool, func.sum(Worker.slots)).where(openly).group_by(Worker.pool))
    live = Attempt.state.in_([AttemptState.DISPATCHED.value, AttemptState.RUNNING.value])
    busy = _counted(session, select(Attempt.pool, func.count()).where(live).group_by(Attempt.pool))
    rows = [
        row
        for row in session.scalars(select(Pool).order_by(Pool.name))
        if everyone or row.name in present or row.mode != PoolMode.OPEN
    ]
    waiting = _waiting(session, {row.name for row in rows})
    return [
        PoolView(
            name=row.name,
            mode=PoolMode(row.mode),
            mode_reason=row.mode_reason,
            hardware_class=row.hardware_class,
            tags=row.tags,
            backends=sorted(capability["backend"] for capability in row.capabilities),
            workers=present.get(row.name, 0),
            slots=slots.get(row.name, 0),
            busy=busy.get(row.name, 0),
            waiting=waiting.get(row.name, 0),
        )
        for row in rows
    ]


def _counted(session: Session, query: Select[Any, Any]) -> dict[str, int]:
    return {name: int(number) for name, number in session.execute(query)}


def _waiting(session: Session, names: set[str]) -> dict[str, int]:
    """Builds in line by the pools that could build them; counted by demand, of which there are few."""
    known = [pool for pool in pools.ever(session) if pool.name in names]
    by_demand = select(Build.demand, func.count()).where(text(IN_LINE)).group_by(Build.demand)
    found: dict[str, int] = {}
    for demand, count in _counted(session, by_demand).items():
        for pool in line.placed(demand, known).pools:
            found[pool.name] = found.get(pool.name, 0) + count
    return found


def refuses(session: Session, build: Build, worker: Worker) -> str | None:
    """Why the worker does not get a build that it would claim, in words; None where it does.

    A worker that had it before gets it again only when nobody else of its pool can take it now.
    """
    if worker.mode != WorkerMode.OPEN:
        return switches.said(f"worker {worker.name} is {worker.mode}", worker.mode_reason)
    pool = session.get_one(Pool, worker.pool)
    if pool.mode != PoolMode.OPEN:
        return switches.said(f"pool {pool.name} is paused", pool.mode_reason)
    if (why := switches.maintenance(session)) is not None:
        return why
    if worker.id in build.avoid and _another_is_free(session, build, worker):
        return f"worker {worker.name} had it before, and another one is free"
    return None


def _another_is_free(session: Session, build: Build, worker: Worker) -> bool:
    running = (
        select(func.count())
        .where(Attempt.worker_id == Worker.id, Attempt.state == AttemptState.RUNNING.value)
        .correlate(Worker)
        .scalar_subquery()
    )
    others = select(Worker.id).where(
        Worker.pool == worker.pool,
        Worker.state == pools.ONLINE,
        Worker.mode == WorkerMode.OPEN.value,
        Worker.id.not_in(build.avoid),
        Worker.slots > running,
    )
    return session.scalar(others.limit(1)) is not None


def _arrived(session: Session, row: Worker, mode: WorkerMode) -> WorkerMode:
    """A worker that shall drain and holds nothing is drained already; one that is not there cannot leave."""
    leaves = mode is WorkerMode.LEAVING and row.state == pools.ONLINE
    if mode in {WorkerMode.DRAINING, WorkerMode.LEAVING} and not leaves and not workers.holding(session, row):
        return WorkerMode.DRAINED
    return mode


def _word(mode: str) -> str:
    return "resumed" if mode == WorkerMode.OPEN else mode

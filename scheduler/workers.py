"""Workers: sign-on, heartbeats with leases, sign-off, and those that vanished."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import ColumnElement, Select, func, select
from sqlalchemy.orm import Session

from enginehouse.capability import Capability, Hardware
from enginehouse.errors import WorkerLost
from enginehouse.states import AttemptState, BuildState, WorkerMode
from enginehouse.views import WorkerView
from enginehouse.work import Heartbeat, HeartbeatReply, SignedOn, SignOn
from scheduler import cache, ids, pools, projects, recall, transitions, uploads
from scheduler.affinity import Host
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Build, Pool, Worker
from scheduler.tokens import Principal

LOST, GONE = "lost", "gone"


def sign_on(farm: Farm, principal: Principal, announced: SignOn) -> SignedOn:
    """Enter a worker with what it can do. A new boot id ends the leases of the old one at once."""
    del principal  # workers serve the whole farm
    left: list[str] = []
    with farm.write() as session:
        pool = pools.enter(session, announced)
        row = session.scalar(select(Worker).where(Worker.name == announced.name))
        if row is None:
            row = Worker(id=ids.new("worker"), name=announced.name, state=GONE, signed_on=now(session))
            session.add(row)
        elif row.boot_id != announced.boot_id:
            left = _take_back(farm, session, row, f"worker {row.name} was started anew")
            row.state = GONE
            row.signed_on = now(session)
            if row.pool != pool.name:
                recall.from_worker(session, row, f"worker {row.name} has gone over to pool {pool.name}")
        row.boot_id = announced.boot_id
        row.pool = pool.name
        row.slots = announced.slots
        row.hardware = announced.hardware.model_dump(mode="json")
        row.last_seen = now(session)
        session.flush()
        transitions.worker_state(session, row, pools.ONLINE)
        worker, mode = row.id, WorkerMode(row.mode)
    uploads.forget(farm, left)
    return SignedOn(
        worker=worker,
        pool=pool.name,
        queue=pools.queue_of(pool.name),
        own_queue=queue_of(worker),
        heartbeat_s=farm.settings.heartbeat_s,
        lease_s=farm.settings.lease_s,
        mode=mode,
    )


def heartbeat(farm: Farm, beat: Heartbeat) -> HeartbeatReply:
    """Renew the leases of what the worker holds; say what it must stop, and whether it may take more.

    A worker that holds something beats often, so as to hear of a cancel soon. A beat that comes early writes nothing.
    """
    with farm.read() as session:
        row = session.get(Worker, beat.worker)
        if row is not None and _early(farm, session, row, beat):
            return _reply(session, row, beat)[0]
    with farm.write(durable=False) as session:
        row = session.get(Worker, beat.worker)
        if row is None or row.boot_id != beat.boot_id or row.state == GONE:
            return HeartbeatReply(known=False, drop=beat.held)
        moment = now(session)
        row.last_seen = moment
        row.files = sorted(beat.files)
        transitions.worker_state(session, row, pools.ONLINE)
        if row.mode == WorkerMode.DRAINING and not holding(session, row):
            row.mode = WorkerMode.DRAINED.value
            transitions.told_of_worker(session, row, "worker.drained")
        reply, renewed = _reply(session, row, beat)
        for attempt in renewed:
            attempt.until = moment + timedelta(seconds=farm.settings.lease_s)
        return reply


def _early(farm: Farm, session: Session, row: Worker, beat: Heartbeat) -> bool:
    if row.boot_id != beat.boot_id or row.state != pools.ONLINE:
        return False
    return now(session) - row.last_seen < timedelta(seconds=farm.settings.heartbeat_s / 2)


def _reply(session: Session, row: Worker, beat: Heartbeat) -> tuple[HeartbeatReply, list[Attempt]]:
    """The answer, and the attempts whose leases the beat renews."""
    mode = WorkerMode(row.mode)
    reply = HeartbeatReply(
        known=True,
        waiting=_dispatched_to(session, row) if mode is WorkerMode.OPEN else 0,
        mode=mode,
        mode_reason=row.mode_reason,
        leave=mode is WorkerMode.LEAVING and not holding(session, row),
    )
    renewed = []
    for held in beat.held:
        build = session.get(Build, held.build)
        attempt = transitions.current_attempt(session, build) if build else None
        if build is None or attempt is None or not holds(build, attempt, held.fence, beat.boot_id):
            reply.drop.append(held)
            continue
        renewed.append(attempt)
        if build.state == BuildState.CANCELLING:
            reply.cancel.append(held)
    return reply, renewed


def sign_off(farm: Farm, worker: str, boot_id: str) -> None:
    """The worker leaves; what it still held is built elsewhere. One that was to leave is drained if it comes back."""
    left: list[str] = []
    with farm.write() as session:
        row = session.get(Worker, worker)
        if row is not None and row.boot_id == boot_id:
            left = _take_back(farm, session, row, f"worker {row.name} signed off")
            transitions.worker_state(session, row, GONE)
            recall.from_worker(session, row, f"worker {row.name} signed off")
            if row.mode == WorkerMode.LEAVING:
                row.mode = WorkerMode.DRAINED.value
                transitions.told_of_worker(session, row, "worker.drained")
    uploads.forget(farm, left)


def reap(farm: Farm) -> None:
    """Take back what lost workers held, and what nobody claimed."""
    with farm.read() as session:  # a round with nothing to do takes no writer's turn
        silent, overdue = _silent(farm, session), _overdue(session)
        if session.scalar(silent.limit(1)) is None and session.scalar(overdue.limit(1)) is None:
            return
    left = []
    with farm.write(durable=False) as session:
        online, overdue = _silent(farm, session), _overdue(session)
        for worker in session.scalars(online).all():
            transitions.worker_state(session, worker, LOST)
        for attempt in session.scalars(overdue).all():
            build = session.get_one(Build, attempt.build_id)
            if attempt.state == AttemptState.DISPATCHED:
                transitions.unclaimed(session, build)
            else:
                lost = WorkerLost(f"no heartbeat for {farm.settings.lease_s:g} s", attempt=attempt.number)
                transitions.setback(session, build, lost.failure(), farm.settings.max_attempts, lost=True)
                cache.settle_followers(session, build)
                left += _uploads_of(attempt)
    uploads.forget(farm, left)


def queue_of(worker: str) -> str:
    """The worker's own Celery queue, for what shall go to it and nobody else."""
    return f"worker.{worker}"


def hosts(session: Session, pool: str) -> list[Host]:
    """The pool's workers that take builds, with the slots that nobody holds or is on the way to."""
    theirs = func.coalesce(Attempt.worker_id, Attempt.meant_for)
    taken = (
        select(theirs.label("worker"), func.count().label("taken"))
        .where(Attempt.pool == pool, Attempt.state.in_(projects.LIVE))
        .group_by(theirs)
        .subquery()
    )
    query = (
        select(Worker.id, Worker.slots - func.coalesce(taken.c.taken, 0), Worker.files)
        .outerjoin(taken, taken.c.worker == Worker.id)
        .where(Worker.pool == pool, Worker.state == pools.ONLINE, Worker.mode == WorkerMode.OPEN.value)
        .order_by(Worker.id)
    )
    return [Host(worker, int(free), frozenset(files)) for worker, free, files in session.execute(query)]


def list_(session: Session) -> list[WorkerView]:
    """Every worker that the farm knows, those that left excepted; by name."""
    return _views(session, Worker.state != GONE)


def view(session: Session, row: Worker) -> WorkerView:
    """What the API shows of one."""
    session.flush()
    (found,) = _views(session, Worker.id == row.id)
    return found


def _views(session: Session, which: ColumnElement[bool]) -> list[WorkerView]:
    busy = (
        select(Attempt.worker_id, func.count().label("busy"))
        .where(Attempt.state == AttemptState.RUNNING.value)
        .group_by(Attempt.worker_id)
        .subquery()
    )
    query = (
        select(Worker, Pool, func.coalesce(busy.c.busy, 0))
        .join(Pool, Pool.name == Worker.pool)
        .outerjoin(busy, busy.c.worker_id == Worker.id)
        .where(which)
        .order_by(Worker.name)
    )
    return [
        WorkerView(
            id=row.id,
            name=row.name,
            pool=row.pool,
            state=row.state,
            mode=WorkerMode(row.mode),
            mode_reason=row.mode_reason,
            slots=row.slots,
            busy=int(count),
            hardware=Hardware.model_validate(row.hardware),
            facts=pool.facts,
            capabilities=[Capability.model_validate(c) for c in pool.capabilities],
            signed_on=row.signed_on,
            last_seen=row.last_seen,
        )
        for row, pool, count in session.execute(query)
    ]


def holding(session: Session, worker: Worker) -> bool:
    """Whether an attempt runs under this worker's lease."""
    running = (Attempt.worker_id == worker.id) & (Attempt.state == AttemptState.RUNNING.value)
    return session.scalar(select(Attempt.number).where(running).limit(1)) is not None


def holds(build: Build, attempt: Attempt, fence: int, boot_id: str | None = None) -> bool:
    """Whether this fencing number is the one that holds the build now."""
    current = attempt.state == AttemptState.RUNNING and attempt.fence == fence == build.fence
    return current and (boot_id is None or attempt.boot_id == boot_id)


def _silent(farm: Farm, session: Session) -> Select[Worker]:
    since = now(session) - timedelta(seconds=farm.settings.lease_s)
    return select(Worker).where(Worker.state == pools.ONLINE, Worker.last_seen < since)


def _overdue(session: Session) -> Select[Attempt]:
    live = [AttemptState.DISPATCHED.value, AttemptState.RUNNING.value]
    return select(Attempt).where(Attempt.until < now(session), Attempt.state.in_(live))


def _take_back(farm: Farm, session: Session, worker: Worker, why: str) -> list[str]:
    """End what the worker held; returns whose uploads are to be forgotten."""
    left = []
    running = select(Attempt).where(Attempt.worker_id == worker.id, Attempt.state == AttemptState.RUNNING.value)
    for attempt in session.scalars(running).all():
        build = session.get_one(Build, attempt.build_id)
        transitions.setback(session, build, WorkerLost(why).failure(), farm.settings.max_attempts, lost=True)
        cache.settle_followers(session, build)
        left += _uploads_of(attempt)
    return left


def _uploads_of(attempt: Attempt) -> list[str]:
    return [uploads.owner_of(attempt.build_id, attempt.fence)] if attempt.fence is not None else []


def _dispatched_to(session: Session, worker: Worker) -> int:
    mine = (Attempt.pool == worker.pool) & (Attempt.state == AttemptState.DISPATCHED.value)
    mine &= Attempt.meant_for.is_(None) | (Attempt.meant_for == worker.id)
    return session.scalar(select(func.count()).select_from(Attempt).where(mine)) or 0

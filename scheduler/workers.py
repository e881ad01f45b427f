"""Workers: sign-on, heartbeats with leases, sign-off, and those that vanished."""

from __future__ import annotations

from datetime import timedelta

from sqlalchemy import Select, func, select
from sqlalchemy.orm import Session

from enginehouse.capability import Capability, Hardware
from enginehouse.errors import WorkerLost
from enginehouse.states import AttemptState, BuildState
from enginehouse.views import WorkerView
from enginehouse.work import Heartbeat, HeartbeatReply, SignedOn, SignOn
from scheduler import cache, ids, pools, transitions
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Build, Pool, Worker
from scheduler.tokens import Principal

LOST, GONE = "lost", "gone"


def sign_on(farm: Farm, principal: Principal, announced: SignOn) -> SignedOn:
    """Enter a worker with what it can do. A new boot id ends the leases of the old one at once."""
    del principal  # workers serve the whole farm
    with farm.write() as session:
        pool = pools.enter(session, announced)
        row = session.scalar(select(Worker).where(Worker.name == announced.name))
        if row is None:
            row = Worker(id=ids.new("worker"), name=announced.name, state=GONE, signed_on=now(session))
            session.add(row)
        elif row.boot_id != announced.boot_id:
            _take_back(farm, session, row, f"worker {row.name} was started anew")
            row.state = GONE
            row.signed_on = now(session)
        row.boot_id = announced.boot_id
        row.pool = pool.name
        row.slots = announced.slots
        row.hardware = announced.hardware.model_dump(mode="json")
        row.last_seen = now(session)
        session.flush()
        transitions.worker_state(session, row, pools.ONLINE)
        worker = row.id
    return SignedOn(
        worker=worker,
        pool=pool.name,
        queue=pools.queue_of(pool.name),
        heartbeat_s=farm.settings.heartbeat_s,
        lease_s=farm.settings.lease_s,
    )


def heartbeat(farm: Farm, beat: Heartbeat) -> HeartbeatReply:
    """Renew the leases of what the worker holds; say what it must stop."""
    with farm.write(durable=False) as session:
        row = session.get(Worker, beat.worker)
        if row is None or row.boot_id != beat.boot_id or row.state == GONE:
            return HeartbeatReply(known=False, drop=beat.held)
        moment = now(session)
        row.last_seen = moment
        transitions.worker_state(session, row, pools.ONLINE)
        reply = HeartbeatReply(known=True, waiting=_dispatched_to(session, row.pool))
        for held in beat.held:
            build = session.get(Build, held.build)
            attempt = transitions.current_attempt(session, build) if build else None
            if build is None or attempt is None or not holds(build, attempt, held.fence, beat.boot_id):
                reply.drop.append(held)
                continue
            attempt.until = moment + timedelta(seconds=farm.settings.lease_s)
            if build.state == BuildState.CANCELLING:
                reply.cancel.append(held)
        return reply


def sign_off(farm: Farm, worker: str, boot_id: str) -> None:
    """The worker leaves; what it still held is built elsewhere."""
    with farm.write() as session:
        row = session.get(Worker, worker)
        if row is not None and row.boot_id == boot_id:
            _take_back(farm, session, row, f"worker {row.name} signed off")
            transitions.worker_state(session, row, GONE)


def reap(farm: Farm) -> None:
    """Take back what lost workers held, and what nobody claimed."""
    with farm.read() as session:  # a round with nothing to do takes no writer's turn
        silent, overdue = _silent(farm, session), _overdue(session)
        if session.scalar(silent.limit(1)) is None and session.scalar(overdue.limit(1)) is None:
            return
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


def list_(session: Session) -> list[WorkerView]:
    """Every worker that the farm knows, those that left excepted; by name."""
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
        .where(Worker.state != GONE)
        .order_by(Worker.name)
    )
    return [
        WorkerView(
            id=row.id,
            name=row.name,
            pool=row.pool,
            state=row.state,
            slots=row.slots,
            busy=int(count),
            hardware=Hardware.model_validate(row.hardware),
            capabilities=[Capability.model_validate(c) for c in pool.capabilities],
            signed_on=row.signed_on,
            last_seen=row.last_seen,
        )
        for row, pool, count in session.execute(query)
    ]


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


def _take_back(farm: Farm, session: Session, worker: Worker, why: str) -> None:
    running = select(Attempt).where(Attempt.worker_id == worker.id, Attempt.state == AttemptState.RUNNING.value)
    for attempt in session.scalars(running).all():
        build = session.get_one(Build, attempt.build_id)
        transitions.setback(session, build, WorkerLost(why).failure(), farm.settings.max_attempts, lost=True)
        cache.settle_followers(session, build)


def _dispatched_to(session: Session, pool: str) -> int:
    state = AttemptState.DISPATCHED.value
    count = select(func.count()).select_from(Attempt).where(Attempt.pool == pool, Attempt.state == state)
    return session.scalar(count) or 0

"""What the farm did within a time window: throughput, failures by code, waits by pool, use of the workers.

Sums are made by the database over an index of when builds and attempts ended, so that they cost what the window holds,
not what the farm ever did.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from sqlalchemy import ColumnElement, case, func, literal, select
from sqlalchemy.orm import Session

from enginehouse.states import AttemptState, BuildState, Origin
from scheduler.registry.durations import epoch, seconds_between
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Build, UtcDateTime, Worker

WINDOWS = {"day": (24, 3600), "week": (7 * 24, 6 * 3600), "month": (30 * 24, 24 * 3600)}
"""Name to the hours that it reaches back, and the seconds of one step of its chart."""


@dataclass(frozen=True)
class Window:
    """A stretch of time that ends now. It begins with a whole step, so that no bar of a chart is cut."""

    name: str
    since: datetime
    until: datetime
    step_s: int

    @property
    def steps(self) -> list[datetime]:
        """When each step begins."""
        count = -(-int((self.until - self.since).total_seconds()) // self.step_s)
        return [self.since + timedelta(seconds=self.step_s * number) for number in range(max(1, count))]


@dataclass
class Step:
    """How many builds ended within one step, by how they did."""

    begins: datetime
    built: int = 0
    reused: int = 0
    """answered from the cache, or joined to the same build in flight"""
    failed: int = 0
    cancelled: int = 0

    @property
    def ended(self) -> int:
        """All of them."""
        return self.built + self.reused + self.failed + self.cancelled


@dataclass(frozen=True)
class Throughput:
    """The steps of a window, and their sums."""

    steps: list[Step] = field(default_factory=list)

    def total(self, name: str) -> int:
        """The sum of one kind: 'built', 'reused', 'failed', 'cancelled' or 'ended'."""
        return sum(getattr(step, name) for step in self.steps)

    @property
    def hit_rate(self) -> float | None:
        """Share of the builds with a result that nobody had to build; None where there was none."""
        good = self.total("built") + self.total("reused")
        return self.total("reused") / good if good else None

    @property
    def failure_rate(self) -> float | None:
        """Share of the builds that ended by themselves and failed; None where there was none."""
        ended = self.total("ended") - self.total("cancelled")
        return self.total("failed") / ended if ended else None


@dataclass(frozen=True)
class PoolWait:
    """How long builds waited before a worker of this pool began them, seconds."""

    pool: str
    builds: int
    median_s: float
    p90_s: float
    most_s: float


def window(session: Session, name: str = "day") -> Window:
    """The window of that name, up to now."""
    hours, step_s = WINDOWS[name]
    until = now(session)
    oldest = int((until - timedelta(hours=hours)).timestamp())
    since = datetime.fromtimestamp(oldest - oldest % step_s, UTC)
    return Window(name, since, until, step_s)


def throughput(session: Session, within: Window, project: str | None = None) -> Throughput:
    """Builds that ended in each step; of one project, where it is named."""
    seconds = epoch(Build.ended)
    begins = (seconds - seconds % literal(within.step_s)).label("begins")
    query = select(begins, Build.state, Build.origin, func.count()).where(*_ended(within, project))
    query = query.group_by(begins, Build.state, Build.origin)
    steps = {int(moment.timestamp()): Step(moment) for moment in within.steps}
    last = max(steps)
    for start, state, origin, count in session.execute(query):
        step = steps[min(int(start), last)]
        if state == BuildState.FAILED:
            step.failed += count
        elif state == BuildState.CANCELLED:
            step.cancelled += count
        elif origin == Origin.BUILT:
            step.built += count
        else:
            step.reused += count
    return Throughput(list(steps.values()))


def failures(session: Session, within: Window, project: str | None = None) -> list[tuple[str, int]]:
    """Error code to how many builds failed of it, the commonest first."""
    code = Build.failure["code"].as_string().label("code")
    query = select(code, func.count()).where(*_ended(within, project), Build.state == BuildState.FAILED.value)
    found = [(name or "", int(count)) for name, count in session.execute(query.group_by(code))]
    return sorted(found, key=lambda one: (-one[1], one[0]))


def waits(session: Session, within: Window, project: str | None = None) -> list[PoolWait]:
    """By pool, from when a build came to when its first attempt began; of those that were built and ended."""
    waited = seconds_between(Build.created, Build.started)
    ranked = (
        select(
            Build.pool.label("pool"),
            waited.label("waited"),
            func.row_number().over(partition_by=Build.pool, order_by=waited).label("place"),
            func.count().over(partition_by=Build.pool).label("count"),
        )
        .where(*_ended(within, project), Build.started.is_not(None), Build.pool.is_not(None))
        .subquery()
    )
    query = select(
        ranked.c.pool,
        func.count(),
        func.min(case((ranked.c.place * 2 >= ranked.c.count, ranked.c.waited))),
        func.min(case((ranked.c.place * 10 >= ranked.c.count * 9, ranked.c.waited))),
        func.max(ranked.c.waited),
    )
    rows = session.execute(query.group_by(ranked.c.pool).order_by(ranked.c.pool))
    return [PoolWait(pool, int(count), *(max(0.0, float(s)) for s in told)) for pool, count, *told in rows]


def utilisation(session: Session, within: Window) -> dict[str, float]:
    """Worker id to the share of its slots' time that attempts took, since it signed on or the window began."""
    moment = literal(within.until, UtcDateTime())
    since = literal(within.since, UtcDateTime())
    begins = case((Worker.signed_on > since, Worker.signed_on), else_=since)
    ends = func.coalesce(Attempt.ended, moment)
    took = seconds_between(case((Attempt.started > begins, Attempt.started), else_=begins), ends)
    busy: dict[str, float] = {}
    over = (Attempt.ended.is_not(None)) & (Attempt.ended >= within.since)
    for which in (over, Attempt.state == AttemptState.RUNNING.value):
        query = (
            select(Worker.id, func.sum(took))
            .join(Attempt, Attempt.worker_id == Worker.id)
            .where(which, Attempt.started.is_not(None), ends > begins)
        )
        for worker, seconds in session.execute(query.group_by(Worker.id)):
            busy[worker] = busy.get(worker, 0.0) + float(seconds)
    found = {}
    for worker, slots, signed_on in session.execute(select(Worker.id, Worker.slots, Worker.signed_on)):
        seconds = (within.until - max(within.since, signed_on)).total_seconds() * slots
        found[worker] = min(1.0, busy.get(worker, 0.0) / seconds) if seconds > 0 else 0.0
    return found


def _ended(within: Window, project: str | None) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [Build.ended.is_not(None), Build.ended >= within.since]
    if project is not None:
        found.append(Build.project_id == project)
    return found

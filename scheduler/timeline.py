"""When a build waited and what it did, piece by piece: from its events, else from its attempts."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.report import PhaseTiming
from enginehouse.states import AttemptState, BuildState, Phase
from enginehouse.views import AttemptView, BuildView
from scheduler.registry.tables import EventRow

WAITING, DISPATCHED, CANCELLING, RUNNING = "waiting", "dispatched", "cancelling", "running"
"""What a piece is, where it is no phase. 'running': what it did meanwhile is not known any more."""

_MOVES = ("waiting", "dispatched", "running", "cancelling", "succeeded", "failed", "cancelled")
_KINDS = [f"build.{move}" for move in _MOVES] + ["build.phase"]


@dataclass(frozen=True)
class Piece:
    """A stretch of time. ``attempt`` is 0 before the first dispatch; ``ended`` is None while it goes on."""

    kind: str
    attempt: int
    began: datetime
    ended: datetime | None

    def seconds(self, now: datetime) -> float:
        """How long it took, so far."""
        return max(0.0, ((self.ended or now) - self.began).total_seconds())


def of_job(session: Session, job: str, builds: Iterable[BuildView]) -> dict[str, list[Piece]]:
    """The pieces of each of a job's builds. Whether the job may be seen was asked before."""
    query = select(EventRow).where(EventRow.job_id == job, EventRow.kind.in_(_KINDS)).order_by(EventRow.id)
    told: dict[str, list[EventRow]] = defaultdict(list)
    for row in session.scalars(query):
        if row.build_id is not None:
            told[row.build_id].append(row)
    return {build.id: _from_events(build, told[build.id]) or _from_attempts(build) for build in builds}


def with_phases(pieces: list[Piece], phases: Iterable[PhaseTiming]) -> list[Piece]:
    """The last attempt in phases, as its report has them, where the events of it are gone."""
    timings = list(phases)
    if not timings or not pieces or pieces[-1].kind != RUNNING:
        return pieces
    *before, last = pieces
    at, found = last.began, []
    for one in timings:
        end = at + timedelta(seconds=one.seconds)
        found.append(Piece(one.phase.value, last.attempt, at, end))
        at = end
    return [*before, *found]


def _from_events(build: BuildView, rows: list[EventRow]) -> list[Piece]:
    """Every event ends a piece and begins the next. Empty where its first events were not kept."""
    if build.started is not None and not any(row.kind == "build.running" for row in rows):
        return []
    found: list[Piece] = []
    kind, attempt, began = WAITING, 0, build.created
    for row in rows:
        move = row.kind.removeprefix("build.")
        found.append(Piece(kind, attempt, began, row.time))
        began = row.time
        if move == DISPATCHED:
            kind, attempt = DISPATCHED, attempt + 1
        elif move == RUNNING:
            kind = Phase.FETCH.value
        elif move == "phase":
            kind = str(row.data.get("phase", RUNNING))
        elif move in (WAITING, CANCELLING):
            kind = move
        else:
            return _solid(found)
    return _solid([*found, Piece(kind, attempt, began, build.ended)])


def _from_attempts(build: BuildView) -> list[Piece]:
    found: list[Piece] = []
    at = build.created
    for one in build.attempts:
        found.append(Piece(WAITING, one.number - 1, at, one.created))
        found += _of_attempt(one)
        at = one.ended or one.created
    if build.state is BuildState.WAITING or not build.attempts:
        found.append(Piece(WAITING, len(build.attempts), at, build.ended))
    return _solid(found)


def _of_attempt(one: AttemptView) -> list[Piece]:
    pieces = [Piece(DISPATCHED, one.number, one.created, one.started or one.ended)]
    if one.started is not None and one.state is not AttemptState.EXPIRED:
        pieces.append(Piece(RUNNING, one.number, one.started, one.ended))
    return pieces


def _solid(pieces: list[Piece]) -> list[Piece]:
    """Without those that took no time, but for the one that goes on."""
    return [one for one in pieces if one.ended is None or one.ended > one.began]

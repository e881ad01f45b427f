"""The timeline: a lane for each build, a bar for each stretch of waiting and each phase."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime

from api.pages.words import clock
from enginehouse.states import Phase
from scheduler.timeline import CANCELLING, DISPATCHED, RUNNING, WAITING, Piece

WIDTH = 1000.0
_LEAST = 1.5
"""A bar is drawn this wide at least, so that it can be seen."""

ORDER = (WAITING, DISPATCHED, *(phase.value for phase in Phase), RUNNING, CANCELLING)
"""The order in which a legend names the kinds."""


@dataclass(frozen=True)
class Bar:
    """One stretch in its lane."""

    x: float
    width: float
    kind: str
    attempt: int
    seconds: float
    open: bool

    @property
    def title(self) -> str:
        """What it was and how long, in words."""
        of = f", attempt {self.attempt}" if self.attempt > 1 else ""
        return f"{self.kind}{of}: {clock(self.seconds)}{' so far' if self.open else ''}"


@dataclass(frozen=True)
class Lane:
    """One build."""

    id: str
    label: str
    state: str
    bars: list[Bar]
    seconds: float


@dataclass(frozen=True)
class Timeline:
    """All lanes on one axis, which begins with the first of them."""

    lanes: list[Lane]
    seconds: float
    kinds: list[str]


def timeline(builds: Iterable[tuple[str, str, str, Sequence[Piece]]], now: datetime) -> Timeline:
    """From (id, label, state, pieces) of each build."""
    given = list(builds)
    every = [piece for _, _, _, pieces in given for piece in pieces]
    if not every:
        return Timeline([], 0.0, [])
    begin = min(piece.began for piece in every)
    end = max(piece.ended or now for piece in every)
    whole = max((end - begin).total_seconds(), 1e-3)
    lanes = [
        Lane(id_, label, state, [_bar(piece, begin, whole, now) for piece in pieces], _took(pieces, now))
        for id_, label, state, pieces in given
    ]
    seen = {piece.kind for piece in every}
    return Timeline(lanes, whole, [kind for kind in ORDER if kind in seen])


def _bar(piece: Piece, begin: datetime, whole: float, now: datetime) -> Bar:
    seconds = piece.seconds(now)
    x = (piece.began - begin).total_seconds() / whole * WIDTH
    width = max(_LEAST, seconds / whole * WIDTH)
    x = min(x, WIDTH - width)
    return Bar(round(x, 2), round(width, 2), piece.kind, piece.attempt, seconds, piece.ended is None)


def _took(pieces: Sequence[Piece], now: datetime) -> float:
    return sum(piece.seconds(now) for piece in pieces)

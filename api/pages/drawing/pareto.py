"""The chart of what ``auto`` tried: how fast, and how far from the source model. The front is what nothing beats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.pages.drawing.scale import Scale, Tick, around
from enginehouse.exploration import Candidate, Stage, error

WIDTH, HEIGHT = 720.0, 320.0
_LEFT, _RIGHT, _TOP, _BOTTOM = 64.0, 24.0, 16.0, 44.0
_LEAST_ERROR = 1e-9
"""Errors below this are drawn here: on a logarithmic axis there is no zero."""


@dataclass(frozen=True)
class Point:
    """A candidate that was timed and verified. ``number`` is its row in the table."""

    number: int
    x: float
    y: float
    label: str
    title: str
    front: bool
    recommended: bool
    right: bool
    """its label stands on the right of it"""


@dataclass(frozen=True)
class Pareto:
    """Points, axes, and the line through the front."""

    points: list[Point]
    line: str
    across: list[Tick]
    up: list[Tick]
    what: str
    """what the horizontal axis is"""

    @property
    def plot(self) -> tuple[float, float, float, float]:
        """Left, top, right and bottom of the plot."""
        return _LEFT, _TOP, WIDTH - _RIGHT, HEIGHT - _BOTTOM


def pareto(candidates: Sequence[Candidate]) -> Pareto | None:
    """None where fewer than two candidates can be drawn."""
    by_rate = any(one.per_s for one in candidates)
    drawn = [
        (number, one, _speed(one, by_rate), max(error(one), _LEAST_ERROR))
        for number, one in enumerate(candidates, start=1)
        if one.cosine is not None and _speed(one, by_rate) > 0 and one.stage is not Stage.REFUSED
    ]
    if len(drawn) < 2:
        return None
    across = around([speed for *_, speed, _ in drawn], _LEFT, WIDTH - _RIGHT, room=0.12)
    across = Scale(max(0.0, across.low), across.high, across.begin, across.end)
    up = around([far for *_, far in drawn], HEIGHT - _BOTTOM, _TOP, by_powers=True, room=0.16)
    points = [
        Point(
            number=number,
            x=across.at(speed),
            y=up.at(far),
            label=str(one.target),
            title=f"{one.named}: {speed:.3g} {'per second' if by_rate else 'ms'}, 1 - cosine {error(one):.2g}",
            front=one.pareto,
            recommended=one.stage is Stage.RECOMMENDED,
            right=across.at(speed) < WIDTH * 0.7,
        )
        for number, one, speed, far in drawn
    ]
    front = sorted((point.x, point.y) for point in points if point.front)
    line = " ".join(f"{x},{y}" for x, y in front) if len(front) > 1 else ""
    what = "inferences per second" if by_rate else "median latency, ms"
    return Pareto(points, line, across.ticks(), up.ticks(5), what)


def _speed(one: Candidate, by_rate: bool) -> float:
    return (one.per_s if by_rate else one.p50_ms) or 0.0

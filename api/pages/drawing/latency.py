"""The distribution of latencies, as the report has it: least, median with its interval, mean, 90 and 99 of 100."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.pages.drawing.scale import Scale, Tick
from enginehouse.report import Timing

WIDTH = 720.0
_LEFT, _RIGHT, _ROW, _BOTTOM = 0.0, 16.0, 46.0, 24.0


@dataclass(frozen=True)
class Spread:
    """One side, as places on the axis."""

    name: str
    side: str
    y: float
    least: float
    low: float
    median: float
    high: float
    mean: float
    p90: float
    p99: float


@dataclass(frozen=True)
class Distribution:
    """Both sides on one axis."""

    rows: list[Spread]
    ticks: list[Tick]
    height: float


def distribution(timings: Sequence[tuple[str, Timing]]) -> Distribution:
    """From (side, timing) of artifact and baselines."""
    high = max(timing.p99_ms for _, timing in timings) * 1.05 or 1.0
    axis = Scale(0.0, high, _LEFT + 4, WIDTH - _RIGHT)
    rows = [_spread(side, timing, axis, number) for number, (side, timing) in enumerate(timings)]
    return Distribution(rows, axis.ticks(8), _ROW * len(rows) + _BOTTOM)


def _spread(side: str, timing: Timing, axis: Scale, number: int) -> Spread:
    median = timing.p50_ms
    return Spread(
        name=timing.name,
        side=side,
        y=_ROW * number,
        least=axis.at(timing.min_ms),
        low=axis.at(timing.p50_low_ms if timing.p50_low_ms is not None else median),
        median=axis.at(median),
        high=axis.at(timing.p50_high_ms if timing.p50_high_ms is not None else median),
        mean=axis.at(timing.mean_ms),
        p90=axis.at(timing.p90_ms),
        p99=axis.at(timing.p99_ms),
    )

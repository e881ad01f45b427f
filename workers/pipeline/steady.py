"""Warming up until latencies are steady, by a stated test.

Two neighbouring windows of inferences are compared: when their medians are within ``BOUND`` of each other the side is
steady. The idea, a window of latest inferences that must have settled before anything counts, is that of Georges,
Buytaert and Eeckhout, "Statistically Rigorous Java Performance Evaluation", OOPSLA 2007, section 4.2; they look at the
coefficient of variation of one window. Medians of two stand a single slow inference, and see a slow drift. That some
runs never settle is shown by Barrett et al., "Virtual Machine Warmup Blows Hot and Cold", OOPSLA 2017: so there is an
end to it, and the report says which it was.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

BOUND = 0.05
WINDOW_S = 0.05
"""time that a window should cover: longer than a scheduler's slice"""
FEWEST, MOST = 2, 100
"""inferences of a window"""


@dataclass(frozen=True)
class WarmUp:
    """How a warm-up went. ``estimate_s``: the last window's median, seconds."""

    count: int
    steady: bool
    estimate_s: float


def warm_up(infer: Callable[[], float], most_s: float) -> WarmUp:
    """Run inferences, each of which tells its seconds, until they are steady or took ``most_s`` together."""
    infer()  # the first one allocates: it is no part of any window
    times: list[float] = []
    spent, wanted = 0.0, 2 * FEWEST
    while True:
        while len(times) < wanted and (spent < most_s or len(times) < 2 * FEWEST):
            times.append(infer())
            spent += times[-1]
        size = window(times)
        if len(times) >= 2 * size and steady(times, size):
            return WarmUp(1 + len(times), True, median(times[-size:]))
        if spent >= most_s:
            return WarmUp(1 + len(times), False, median(times[-size:]))
        wanted = max(len(times) + size, 2 * size)


def steady(times: Sequence[float], size: int) -> bool:
    """Whether the medians of the last two windows are within the bound."""
    earlier, later = median(times[-2 * size : -size]), median(times[-size:])
    return abs(earlier - later) <= BOUND * min(earlier, later)


def window(times: Sequence[float]) -> int:
    """Inferences of a window, for times like these."""
    return max(FEWEST, min(MOST, round(WINDOW_S / max(median(times), 1e-9))))

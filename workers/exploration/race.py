"""Successive halving: all run in turns for a while, the faster half goes on for as long again, until few are left.

Every round takes equally long in all, so those that stay are timed ever better (Karnin, Koren and Somekh, "Almost
optimal exploration in multi-armed bandits", ICML 2013; Jamieson and Talwalkar, AISTATS 2016).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

FINALISTS = 3
"""So many are timed in the last round."""

_BLOCK_S = 0.02
_FEWEST = 3
_CLOSE = 0.02


@dataclass
class Runner:
    """One entrant. ``block`` runs for a moment and returns seconds an inference; ``times``: of its latest round."""

    name: int
    block: Callable[[], Sequence[float]]
    times: list[float] = field(default_factory=list)
    rounds: int = 0

    @property
    def p50_s(self) -> float:
        """The median."""
        return float(np.median(self.times))


def race(
    runners: Sequence[Runner], seconds: float, stays: int | None = None, finalists: int = FINALISTS
) -> list[Runner]:
    """Time them all in about ``seconds``; returns them by rounds, then by median. ``stays``: is never left out."""
    alive = list(runners)
    rounds = 1 + max(0, math.ceil(math.log2(max(1, len(alive)) / finalists)))
    for number in range(rounds):
        _round(alive, seconds / rounds)
        if number < rounds - 1:
            alive = survivors(alive, stays)
    return sorted(runners, key=lambda one: (-one.rounds, one.p50_s))


def survivors(alive: Sequence[Runner], stays: int | None) -> list[Runner]:
    """The faster half, whatever is as fast as the slowest of it, and the one that stays."""
    ordered = sorted(alive, key=lambda one: one.p50_s)
    last = ordered[max(FINALISTS, math.ceil(len(ordered) / 2)) - 1] if len(ordered) > FINALISTS else ordered[-1]
    return [one for one in alive if one.p50_s <= last.p50_s * (1 + _CLOSE) or one.name == stays]


def _round(alive: Sequence[Runner], seconds: float) -> None:
    for one in alive:
        one.times = []
        one.rounds += 1
    until = time.monotonic() + seconds
    while time.monotonic() < until or min(len(one.times) for one in alive) < _FEWEST:
        for one in alive:
            one.times += one.block()


def latencies(infer: Callable[[], object]) -> list[float]:
    """A block of single inferences."""
    infer()  # it finds the caches full of the others' data
    found = []
    end = time.perf_counter() + _BLOCK_S
    while True:
        begin = time.perf_counter()
        infer()
        now = time.perf_counter()
        found.append(now - begin)
        if now >= end:
            return found

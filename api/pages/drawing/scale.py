"""Axes: from values to places, with ticks at round numbers."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Tick:
    """A value on an axis, and where it is."""

    at: float
    says: str


@dataclass(frozen=True)
class Scale:
    """Values from ``low`` to ``high`` onto places from ``begin`` to ``end``."""

    low: float
    high: float
    begin: float
    end: float
    by_powers: bool = False

    def at(self, value: float) -> float:
        """The place of a value; what lies outside is put on the border."""
        low, high, value = self._bent(self.low), self._bent(self.high), self._bent(value)
        share = 0.5 if high <= low else min(1.0, max(0.0, (value - low) / (high - low)))
        return round(self.begin + share * (self.end - self.begin), 2)

    def ticks(self, most: int = 6) -> list[Tick]:
        """Round values between the ends."""
        return [Tick(self.at(value), _said(value)) for value in self._round_values(most)]

    def _bent(self, value: float) -> float:
        return math.log10(max(value, 1e-12)) if self.by_powers else value

    def _round_values(self, most: int) -> list[float]:
        if self.by_powers:
            low, high = math.ceil(self._bent(self.low)), math.floor(self._bent(self.high))
            return [10.0**power for power in range(low, high + 1, max(1, -(-(high - low) // most)))]
        step = step_for(self.high - self.low, most)
        first, last = math.ceil(self.low / step), math.floor(self.high / step)
        return [number * step for number in range(first, last + 1)]


def around(values: Iterable[float], begin: float, end: float, *, by_powers: bool = False, room: float = 0.08) -> Scale:
    """A scale that holds all of the values with some room beside them."""
    known = list(values)
    low, high = min(known), max(known)
    if by_powers:
        low, high = math.log10(max(low, 1e-12)), math.log10(max(high, 1e-12))
    spread = (high - low) or (abs(high) or 1.0)
    low, high = low - spread * room, high + spread * room
    return Scale(10**low if by_powers else low, 10**high if by_powers else high, begin, end, by_powers)


def step_for(spread: float, most: int) -> float:
    """The least of 1, 2, 5, 10, 20 … by which at most so many steps are made."""
    least = max(spread, 1e-12) / most
    power = 10.0 ** math.floor(math.log10(least))
    return next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))


def _said(value: float) -> str:
    return f"{value:.3g}" if 1e-3 <= abs(value) < 1e5 or value == 0 else f"{value:.0e}".replace("e-0", "e-")

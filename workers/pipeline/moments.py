"""What an output's values are like, over samples that come one at a time: the signal that noise is measured against."""

from __future__ import annotations

import math
from dataclasses import dataclass

from workers.backends.base import Array

EQUAL_DB = 200.0
"""Decibels where there is no noise at all; nothing counts as more."""

OFFSET_SHARE = 0.1
"""An offset that all values have counts as signal by this share of its size, see ``Moments.power``."""


@dataclass
class Moments:
    """Count, mean, variation and extremes of all values (Chan, Golub and LeVeque's parallel update)."""

    count: int = 0
    mean: float = 0.0
    variation: float = 0.0
    """sum of squared distances from the mean"""
    lowest: float = math.inf
    highest: float = -math.inf

    def add(self, values: Array) -> None:
        """Take finite float64 values in, at least one."""
        count, mean = values.size, float(values.mean())
        apart = values - mean
        away, total = mean - self.mean, self.count + count
        self.variation += float(apart @ apart) + away * away * self.count * count / total
        self.mean += away * count / total
        self.count = total
        self.lowest = min(self.lowest, float(values.min()))
        self.highest = max(self.highest, float(values.max()))

    @property
    def power(self) -> float:
        """Mean square of the signal: the variation about the mean, or a hundredth of the mean square if that is more.

        What all values have in common tells nothing: between outputs near 100 that differ by 1, an error of 1 is as
        large as the signal. Of a constant, or of a single number, nothing else is known.
        """
        offset = OFFSET_SHARE * self.size
        return max(self.variation / max(self.count, 1), offset * offset)

    @property
    def size(self) -> float:
        """Root mean square of the values themselves."""
        return math.sqrt(self.variation / max(self.count, 1) + self.mean * self.mean)

    @property
    def span(self) -> float:
        """From the lowest value to the highest, or a tenth of the largest magnitude if that is more."""
        return max(self.highest - self.lowest, OFFSET_SHARE * self.largest) if self.count else 0.0

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(self.lowest), abs(self.highest)) if self.count else 0.0


def decibels(signal: float, noise: float) -> float:
    """Ratio of two powers in decibels, from -200 to 200. Noise beyond the range of numbers is as bad as can be."""
    if not math.isfinite(noise):
        return -EQUAL_DB
    if noise <= 0.0:
        return EQUAL_DB
    if signal <= 0.0:
        return -EQUAL_DB
    return max(-EQUAL_DB, min(EQUAL_DB, 10.0 * (math.log10(signal) - math.log10(noise))))

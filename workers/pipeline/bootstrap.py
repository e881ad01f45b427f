"""Confidence intervals of medians and of their ratio, by the bootstrap over pairs of blocks.

Efron, "Bootstrap Methods: Another Look at the Jackknife", The Annals of Statistics 7 (1979): the sample is drawn anew
from itself, with replacement, and the spread of the statistic over these draws is that of the statistic; the interval
lies between the draws' percentiles (Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13).
What is drawn is a pair of neighbouring blocks, one of each side, as a whole: inferences of one block share the
machine's mood and so do both blocks of a pair (blocks against dependence: Künsch, The Annals of Statistics 17, 1989).
An interval tells of the spread within a run. What differs from one load of a model to the next is not in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

CONFIDENCE = 0.95
RESAMPLES = 1000

Blocks = Sequence[Sequence[float]]
"""the times of each block, in the blocks' order"""


@dataclass(frozen=True)
class Interval:
    """From the lower to the upper percentile of the draws."""

    low: float
    high: float


@dataclass(frozen=True)
class Intervals:
    """Of both medians, in the times' unit, and of theirs / mine."""

    mine: Interval
    theirs: Interval
    ratio: Interval


def intervals(mine: Blocks, theirs: Blocks, seed: int) -> Intervals:
    """``mine[i]`` and ``theirs[i]`` are a pair. ValueError where they are not as many."""
    if len(mine) != len(theirs):
        raise ValueError(f"{len(mine)} blocks of one side and {len(theirs)} of the other are no pairs")
    pairs = len(mine)
    draws = np.random.default_rng(seed).multinomial(pairs, [1 / pairs] * pairs, size=RESAMPLES)
    medians, others = drawn_medians(mine, draws), drawn_medians(theirs, draws)
    return Intervals(_between(medians), _between(others), _between(others / medians))


def drawn_medians(blocks: Blocks, draws: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """The median of each draw. ``draws[r, i]``: how often block ``i`` is in draw ``r``."""
    values = np.concatenate([np.asarray(block, np.float64) for block in blocks])
    owners = np.repeat(np.arange(len(blocks)), [len(block) for block in blocks])
    order = np.argsort(values, kind="stable")
    values, owners = values[order], owners[order]
    found = np.empty(len(draws))
    for index, draw in enumerate(draws):
        reached = np.cumsum(draw[owners])
        half = reached[-1] / 2
        # The two in the middle, or one twice where the number is odd.
        low, high = np.searchsorted(reached, half, "left"), np.searchsorted(reached, half, "right")
        found[index] = (values[low] + values[high]) / 2
    return found


def _between(values: npt.NDArray[np.float64]) -> Interval:
    tail = 100 * (1 - CONFIDENCE) / 2
    low, high = np.percentile(values, [tail, 100 - tail])
    return Interval(float(low), float(high))

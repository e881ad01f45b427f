"""Artifact and baseline in turns: pairs of blocks in the order A B, B A, A B, …

The turned pairs (A B B A) cancel a steady drift of the machine, and a slow spell hits both sides. The first inference
of each block is not counted: it finds the caches full of the other side's data.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

BLOCK_S = 0.03
MOST_PER_BLOCK = 50
FEWEST_PAIRS = 6
"""however slow the model is"""

Infer = Callable[[], float]
"""one inference; tells its seconds"""


@dataclass
class Turns:
    """The times of each block, seconds. Block ``i`` of one side and block ``i`` of the other are a pair."""

    mine: list[list[float]] = field(default_factory=list)
    theirs: list[list[float]] = field(default_factory=list)

    @property
    def times(self) -> tuple[list[float], list[float]]:
        """All times of the artifact and of the baseline, in the order in which they were taken."""
        return [one for block in self.mine for one in block], [one for block in self.theirs for one in block]


def take_turns(
    mine: Infer,
    theirs: Infer,
    estimates: Sequence[float],
    seconds: float,
    clock: Callable[[], float] = time.monotonic,
) -> Turns:
    """Pairs of blocks for so long, and at least a few. ``estimates``: seconds of an inference of each side."""
    sizes = [per_block(estimate) for estimate in estimates]
    turns = Turns()
    sides = [(mine, sizes[0], turns.mine), (theirs, sizes[1], turns.theirs)]
    until = clock() + seconds
    while clock() < until or len(turns.mine) < FEWEST_PAIRS:
        for infer, size, kept in sides:
            infer()
            kept.append([infer() for _ in range(size)])
        sides.reverse()
    return turns


def per_block(estimate_s: float) -> int:
    """Inferences that are counted in a block."""
    return max(1, min(MOST_PER_BLOCK, round(BLOCK_S / max(estimate_s, 1e-6))))

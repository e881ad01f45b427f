"""What disturbs a timing, and taking it again when it was."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median
from typing import Generic, TypeVar

from workers.pipeline.machine import Usage

OTHERS_SHARE = 0.10
"""more of the cores' time than this in other processes, or the host's other guests, disturbs a benchmark"""
SWITCHES_PER_S = 200.0
"""so does being put off a core more often than this, for each core: the scheduler's slices are 3 ms and longer"""
HALVES_APART = 0.15
"""medians of the first and second half further apart than this disturb it too"""
MOST_TRIES = 3

T = TypeVar("T")


@dataclass(frozen=True)
class Taken(Generic[T]):
    """What was kept, of how many tries, and what speaks against it; nothing does when it was not disturbed."""

    what: T
    tries: int
    disturbances: list[str]


def undisturbed(
    take: Callable[[], T],
    against: Callable[[T], list[str]],
    most: int = MOST_TRIES,
    told: Callable[[str], None] = print,
) -> Taken[T]:
    """Take until nothing speaks against it, ``most`` times at most; then the one that the least speaks against."""
    kept: Taken[T] | None = None
    for number in range(1, most + 1):
        what = take()
        found = against(what)
        if not found:
            return Taken(what, number, found)
        if kept is None or len(found) <= len(kept.disturbances):
            kept = Taken(what, number, found)
        told(f"timing {number} of {most} was disturbed: {'; '.join(found)}")
    assert kept is not None
    return Taken(kept.what, most, kept.disturbances)


def disturbances(mine: Sequence[float], theirs: Sequence[float], used: Usage, cores: int) -> list[str]:
    """What speaks against the times of artifact and baseline, in words. Times in any unit."""
    found = []
    if used.others > OTHERS_SHARE:
        guests = f", {used.steal:.0%} by the host's other guests" if used.steal >= 0.01 else ""
        found.append(f"other processes took {used.others:.0%} of the cores{guests}")
    if used.switches_per_s > SWITCHES_PER_S * cores:
        found.append(f"threads were put off their core {used.switches_per_s:.0f} times a second")
    for name, times in (("artifact", mine), ("baseline", theirs)):
        half = len(times) // 2
        first, second = median(times[:half]), median(times[half:])
        apart = abs(first - second) / min(first, second)
        if apart > HALVES_APART:
            found.append(f"the {name}'s halves are {apart:.0%} apart")
    return found

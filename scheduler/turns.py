"""Which build begins where, as long as slots are free: whose turn it is, what is due first, which pool. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeVar

from scheduler.fairness import Shares
from scheduler.placement import Placement, PoolState


class Waits(Protocol):
    """A build in line."""

    @property
    def id(self) -> str:
        """Ascending by age."""

    @property
    def due(self) -> datetime:
        """When its turn is due: see ``scheduler.line``."""


B = TypeVar("B", bound=Waits)
B_co = TypeVar("B_co", bound=Waits, covariant=True)


class Line(Protocol[B_co]):
    """The builds that wait, by project and demand."""

    def head(self, project: str, demand: str) -> B_co | None:
        """The one that is due first of those that were not taken."""

    def take(self, project: str, demand: str) -> bool:
        """It leaves the line. False: it needs no slot, since an equal one is there or on its way."""

    def cost_s(self, demand: str) -> float:
        """What a build of this demand is expected to take, seconds."""


def begun(
    shares: Shares,
    demands: Mapping[str, Sequence[str]],
    placements: Mapping[str, Placement],
    free: dict[str, int],
    line: Line[B],
    most: int | None = None,
) -> Iterator[tuple[B, PoolState, float]]:
    """Builds that begin now, each with its pool and what its project is charged with.

    ``demands``: by project, those that it has builds of. ``placements``: by demand. ``free``: by pool, slots that are
    free; they are taken here. ``most``: how many may leave the line now.
    """
    left = sum(free.values())
    taken = 0
    spent: set[str] = set()
    while left and taken != most and (share := shares.first()) is not None:
        best: tuple[B, str, PoolState] | None = None
        for demand in demands[share.project]:
            if demand in spent:
                continue
            pool = _roomiest(placements[demand], free)
            if pool is None:
                spent.add(demand)  # slots are taken in a round, never given
                continue
            build = line.head(share.project, demand)
            if build is not None and (best is None or (build.due, build.id) < (best[0].due, best[0].id)):
                best = build, demand, pool
        if best is None:
            shares.pass_over()
            continue
        build, demand, pool = best
        taken += 1
        if line.take(share.project, demand):
            cost_s = line.cost_s(demand)
            shares.charge(cost_s)
            free[pool.name] -= 1
            left -= 1
            yield build, pool, cost_s


def _roomiest(placement: Placement, free: Mapping[str, int]) -> PoolState | None:
    able = [pool for pool in placement.pools if free[pool.name] > 0]
    return max(able, key=lambda pool: (free[pool.name], pool.name), default=None)

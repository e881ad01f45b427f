"""Fair shares of the farm between projects. Pure.

Start-time fair queueing (Goyal, Vin and Cheng, "Start-Time Fair Queueing: A Scheduling Algorithm for Integrated
Services Packet Switching Networks", SIGCOMM 1996), with builds for packets and slots for the link. Each project has a
tag, in slot-seconds by weight, where its service has got to. The next build is one of the project that begins
earliest; it moves the project's tag on by what it is expected to cost. The farm's clock is the tag at which the newest
build began: who comes, or comes back, begins there. So idle time earns nothing, and a thousand builds of one project
hold up those of another by one build, not by a thousand. When a build ends, its project is charged with what it did
cost.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable
from dataclasses import dataclass

LEAST_COST_S = 1.0
"""A build costs at least so many slot-seconds: being dispatched is not free."""


@dataclass
class Share:
    """One project: the tag at which its newest build began, and the tag at which its next one may begin.

    ``running``: slots that it holds; ``most_running``: how many it may hold, None for any number.
    """

    project: str
    weight: float = 1.0
    start: float = 0.0
    finish: float = 0.0
    running: int = 0
    most_running: int | None = None

    @property
    def full(self) -> bool:
        """Whether it holds as many slots as it may."""
        return self.most_running is not None and self.running >= self.most_running


class Shares:
    """Projects with builds that wait, in the order in which they are served."""

    def __init__(self, shares: Iterable[Share], clock: float = 0.0) -> None:
        self.clock = clock
        self._heap = [(max(clock, share.finish), share.project, share) for share in shares if not share.full]
        heapq.heapify(self._heap)

    def first(self) -> Share | None:
        """Whose turn it is."""
        return self._heap[0][2] if self._heap else None

    def pass_over(self) -> None:
        """The first has nothing that could begin now."""
        heapq.heappop(self._heap)

    def charge(self, cost_s: float) -> None:
        """The first has begun a build that is expected to hold a slot for so long."""
        start, _, share = heapq.heappop(self._heap)
        self.clock = max(self.clock, start)
        share.start = start
        share.finish = start + max(cost_s, LEAST_COST_S) / share.weight
        share.running += 1
        if not share.full:
            heapq.heappush(self._heap, (max(self.clock, share.finish), share.project, share))


def settled(finish: float, weight: float, charged_s: float, cost_s: float) -> float:
    """The tag of a project when one of its builds has ended that was charged for something else."""
    return finish + (max(cost_s, LEAST_COST_S if cost_s else 0.0) - charged_s) / weight

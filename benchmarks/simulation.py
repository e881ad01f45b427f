"""(i) The farm's own placement and turns over a generated day, against plain queues: no clock, no registry, no worker.

The load is seeded: projects of very different size, builds from seconds to hours, pools that can do different things,
and one project that floods the farm. Both sides get the same builds. The other side is what a queue per pool gives: a
build is bound when it comes, to the pool with the shortest queue for its slots that can take it, and each queue is
served in order.
"""

from __future__ import annotations

import heapq
import random
from collections import defaultdict, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from statistics import fmean, median, quantiles

import numpy as np
from scipy.optimize import linprog

from benchmarks.figures import Figure
from enginehouse.capability import Capability
from enginehouse.states import Priority
from enginehouse.targets import Precision
from scheduler import line
from scheduler.fairness import Share, Shares, settled
from scheduler.placement import Placement, PoolState
from scheduler.turns import begun

WORKERS = 10_000
POOLS = 40
PROJECTS = 200
HOURS = 3.0
BUSY = 0.9
"""Share of the slots that the load without the flood needs."""
FLOOD = 20_000
"""Builds that one project submits at once, a third of the way in."""
ROUND_S = 1.0
"""Seconds between the rounds of ours; a shorter wait counts as one."""
SEED = 20

_BEGAN = datetime(2026, 1, 1, tzinfo=UTC)
_PRECISIONS = [Precision.FP32, Precision.FP16, Precision.INT8]
_KINDS = (("openvino", "cpu"), ("onnxruntime", "cpu"), ("tensorrt", "gpu"))


@dataclass(frozen=True)
class Asked:
    """A build: when it comes, for whom, what it is, how long it takes."""

    id: str
    at_s: float
    project: str
    demand: str
    took_s: float
    due: datetime


@dataclass
class Outcome:
    """What became of a load."""

    waited_s: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """by project, of builds that came while the flood lasted"""
    served_s: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    """slot-seconds by project while the flood lasted"""
    ended_s: float = 0.0
    busy_s: float = 0.0
    """slot-seconds while builds came"""


def simulation(_folder: Path) -> Iterator[Figure]:
    """Waits, fairness and makespan of ours beside plain queues."""
    rng = random.Random(SEED)
    fleet = _fleet(rng)
    slots = sum(pool.slots for pool in fleet)
    placements = {demand: line.placed(demand, fleet) for demand in _demands(fleet)}
    load = _load(rng, slots, fleet, placements)
    window = _window(load)
    ours, plain = _ours(load, fleet, placements, window), _queues(load, fleet, placements, window)
    bound = max(_least_s(load, fleet, placements), max(one.at_s + one.took_s for one in load))
    asked, fair = _shares(load, window, slots)
    modest = {project for project in asked if asked[project] <= fair[project]}
    groups = (("who asked for no more than their share", modest), ("of the others", set(asked) - modest - {"flood"}))
    told = {"builds": len(load), "workers": slots, "pools": len(fleet), "projects": PROJECTS + 1}
    peer = "a queue per pool"
    for who, projects in groups:
        for share, name in ((0.5, "median"), (0.99, "99th percentile")):
            mine, theirs = (
                _percentile([w for p in projects for w in side.waited_s[p]], share) for side in (ours, plain)
            )
            yield Figure(
                f"(i) wait in the flood {who}, {name}", [max(mine, ROUND_S)], [max(theirs, ROUND_S)], "s", peer, "",
                {**told, "those": len(projects)},
            )  # fmt: skip
    even = [_jain([side.served_s[project] / fair[project] for project in fair]) for side in (ours, plain)]
    yield Figure("(i) Jain's index of service by fair share in the flood", [even[0]], [even[1]], "", peer, "above 1")
    yield Figure("(i) makespan against its lower bound", [ours.ended_s], [bound], "s", "lower bound", "1.1 or less")
    yield Figure("(i) makespan", [ours.ended_s], [plain.ended_s], "s", peer, "1.0 or less")
    busy = [side.busy_s / (HOURS * 3600 * slots) for side in (ours, plain)]
    yield Figure("(i) share of the slots in use while builds come", [busy[0]], [busy[1]], "", peer, "1.0 or more")


def _fleet(rng: random.Random) -> list[PoolState]:
    sizes = [1 / rank for rank in range(1, POOLS + 1)]
    rng.shuffle(sizes)
    pools = []
    for number, size in enumerate(sizes):
        slots = max(1, round(WORKERS * size / sum(sizes)))
        kinds = rng.sample(_KINDS, rng.randint(1, len(_KINDS)))
        capabilities = tuple(
            Capability(
                backend=backend, toolchain={backend: "1"}, formats=["onnx"], options_schema={},
                precisions=rng.sample(_PRECISIONS, rng.randint(1, len(_PRECISIONS))),
            )
            for backend, _ in kinds
        )  # fmt: skip
        tags = frozenset({tag for _, tag in kinds} | {f"zone{number % 4}"})
        pools.append(PoolState(f"pool{number}", f"class{number}", tags, capabilities, "1", slots, slots))
    return pools


def _demands(fleet: list[PoolState]) -> set[str]:
    zones = ["", *(f"@zone{number}" for number in range(4))]
    made = {(one.backend, precision) for pool in fleet for one in pool.capabilities for precision in one.precisions}
    return {f"onnx {backend}:{precision}{zone}" for backend, precision in made for zone in zones}


def _load(rng: random.Random, slots: int, fleet: list[PoolState], placements: dict[str, Placement]) -> list[Asked]:
    """What people ask for is in proportion to what the farm has: a slot drawn at random could build it."""
    able = {pool.name: sorted(d for d, placed in placements.items() if pool in placed.pools) for pool in fleet}
    sizes = [pool.slots for pool in fleet]

    def demand() -> str:
        return rng.choice(able[rng.choices(fleet, sizes)[0].name])

    mean_s = fmean(_took(rng) for _ in range(20_000))
    builds = round(slots * BUSY * HOURS * 3600 / mean_s)
    names = [f"p{number}" for number in range(PROJECTS)]
    ranks = [1 / (rank + 1) for rank in range(PROJECTS)]
    arrivals = sorted(rng.uniform(0, HOURS * 3600) for _ in range(builds))
    load = [(at, rng.choices(names, ranks)[0], demand(), _took(rng)) for at in arrivals]
    load += [(HOURS * 1200, "flood", demand(), _took(rng)) for _ in range(FLOOD)]
    load.sort(key=lambda one: one[0])
    classes = rng.choices(list(Priority), [2, 6, 1], k=len(load))
    return [
        Asked(f"{number:09}", at, project, demand, took, line.due(_BEGAN + timedelta(seconds=at), priority))
        for number, ((at, project, demand, took), priority) in enumerate(zip(load, classes, strict=True))
    ]


def _took(rng: random.Random) -> float:
    """Log-normal, from seconds to hours: a median of two minutes, one in a hundred above an hour."""
    return min(max(rng.lognormvariate(4.8, 1.45), 2.0), 4 * 3600.0)


def _least_s(load: list[Asked], fleet: list[PoolState], placements: dict[str, Placement]) -> float:
    """No schedule of this work ends earlier, were builds divisible and all there from the start: a linear programme.

    It spreads the work of each demand over the pools that can take it, so that the pool that ends last ends soonest.
    """
    work: dict[str, float] = defaultdict(float)
    for one in load:
        work[one.demand] += one.took_s
    index = {pool.name: number for number, pool in enumerate(fleet)}
    ways = [(row, index[pool.name]) for row, demand in enumerate(work) for pool in placements[demand].pools]
    done, used = np.zeros((len(work), len(ways) + 1)), np.zeros((len(fleet), len(ways) + 1))
    for column, (row, pool) in enumerate(ways):
        done[row, column] = used[pool, column] = 1.0
    used[:, -1] = [-float(pool.slots) for pool in fleet]
    goal = np.zeros(len(ways) + 1)
    goal[-1] = 1.0
    found = linprog(goal, A_ub=used, b_ub=np.zeros(len(fleet)), A_eq=done, b_eq=np.array(list(work.values())))
    assert found.success, found.message
    return float(found.fun)


def _window(load: list[Asked]) -> tuple[float, float]:
    begin = next(one.at_s for one in load if one.project == "flood")
    return begin, begin + 1800


class _Line:
    """Builds that have come, by project and demand, in the order in which they are due."""

    def __init__(self) -> None:
        self.waiting: dict[tuple[str, str], list[tuple[datetime, str, Asked]]] = defaultdict(list)
        self.costs: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=20))

    def add(self, one: Asked) -> None:
        heapq.heappush(self.waiting[one.project, one.demand], (one.due, one.id, one))

    def demands(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = defaultdict(list)
        for (project, demand), builds in self.waiting.items():
            if builds:
                found[project].append(demand)
        return found

    def head(self, project: str, demand: str) -> Asked | None:
        builds = self.waiting[project, demand]
        return builds[0][2] if builds else None

    def take(self, project: str, demand: str) -> bool:
        heapq.heappop(self.waiting[project, demand])
        return True

    def cost_s(self, demand: str) -> float:
        took = self.costs[demand]
        return median(took) if took else 60.0


def _ours(
    load: list[Asked], fleet: list[PoolState], placements: dict[str, Placement], window: tuple[float, float]
) -> Outcome:
    outcome, waiting, free = Outcome(), _Line(), {pool.name: pool.slots for pool in fleet}
    shares: dict[str, Share] = {}
    running: list[tuple[float, int, Asked, str, float]] = []
    clock, coming, order, now = 0.0, deque(load), count(), 0.0
    while coming or running or any(waiting.waiting.values()):
        now += ROUND_S
        while coming and coming[0].at_s <= now:
            one = coming.popleft()
            shares.setdefault(one.project, Share(one.project))
            waiting.add(one)
        while running and running[0][0] <= now:
            _, _, one, pool_name, cost = heapq.heappop(running)
            free[pool_name] += 1
            share = shares[one.project]
            share.finish = settled(share.finish, share.weight, cost, one.took_s)
            share.running -= 1
            waiting.costs[one.demand].append(one.took_s)
        demands = waiting.demands()
        turns = Shares([shares[project] for project in demands], clock)
        for one, pool, cost in begun(turns, demands, placements, free, waiting):
            heapq.heappush(running, (now + one.took_s, next(order), one, pool.name, cost))
            _count(outcome, one, now, window)
        clock = turns.clock
    outcome.ended_s = now
    return outcome


def _queues(
    load: list[Asked], fleet: list[PoolState], placements: dict[str, Placement], window: tuple[float, float]
) -> Outcome:
    outcome = Outcome()
    ready = {pool.name: [0.0] * pool.slots for pool in fleet}  # when each slot is free again
    queued: dict[str, list[float]] = {pool.name: [] for pool in fleet}  # when what was bound to it begins
    for one in load:
        pools = placements[one.demand].pools
        for pool in pools:
            while queued[pool.name] and queued[pool.name][0] <= one.at_s:
                heapq.heappop(queued[pool.name])
        pool = min(pools, key=lambda pool: (len(queued[pool.name]) / pool.slots, ready[pool.name][0], pool.name))
        begin = max(heapq.heappop(ready[pool.name]), one.at_s)
        heapq.heappush(ready[pool.name], begin + one.took_s)
        heapq.heappush(queued[pool.name], begin)
        _count(outcome, one, begin, window)
        outcome.ended_s = max(outcome.ended_s, begin + one.took_s)
    return outcome


def _count(outcome: Outcome, one: Asked, begin: float, window: tuple[float, float]) -> None:
    if window[0] <= one.at_s < window[1]:
        outcome.waited_s[one.project].append(begin - one.at_s)
    outcome.busy_s += max(0.0, min(begin + one.took_s, HOURS * 3600) - begin)
    outcome.served_s[one.project] += max(0.0, min(begin + one.took_s, window[1]) - max(begin, window[0]))


def _shares(load: list[Asked], window: tuple[float, float], slots: int) -> tuple[dict[str, float], dict[str, float]]:
    """By project the slot-seconds that it could have used in the window, and its max-min fair share of them."""
    asked: dict[str, float] = defaultdict(float)
    for one in load:
        if one.at_s < window[1]:
            asked[one.project] += max(0.0, min(one.at_s + one.took_s, window[1]) - max(one.at_s, window[0]))
    left, fair = slots * (window[1] - window[0]), {}
    poor = sorted((need, project) for project, need in asked.items() if need > 0)
    for number, (need, project) in enumerate(poor):
        fair[project] = min(need, left / (len(poor) - number))
        left -= fair[project]
    return {project: asked[project] for project in fair}, fair


def _jain(got: list[float]) -> float:
    """Jain's index of fairness (Jain, Chiu and Hawe, DEC-TR-301, 1984); more than one's share counts as all of it."""
    kept = [min(value, 1.0) for value in got]
    return sum(kept) ** 2 / (len(kept) * sum(value * value for value in kept))


def _percentile(values: list[float], share: float) -> float:
    return quantiles(values, n=1000)[round(share * 1000) - 1]

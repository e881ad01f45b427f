"""The scheduler's round: take back what was lost, send what is owed, dispatch what waits.

Late binding: a build is bound to a pool when a slot of it is free, and not before; its queue never holds more.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from sqlalchemy.orm import Session

from enginehouse.messages import BUILD
from enginehouse.request import Recipe
from enginehouse.states import Origin
from scheduler import cache, history, line, models, outbox, pools, projects, transitions, workers
from scheduler.affinity import Host, preferred
from scheduler.cachekey import cache_key
from scheduler.fairness import Shares
from scheduler.farm import Farm
from scheduler.placement import Placement, PoolState
from scheduler.registry.tables import Build
from scheduler.turns import begun

_AT_ONCE = 50
"""Builds that one transaction takes out of the line: nobody else writes meanwhile."""


def tick(farm: Farm) -> None:
    """One round. Safe to run at any time, by any number of schedulers."""
    workers.reap(farm)
    outbox.relay(farm)
    while done := _dispatch(farm):
        outbox.relay(farm)
        if done < _AT_ONCE:
            return


def _dispatch(farm: Farm) -> int:
    """Match waiting builds with free slots. Returns how many were sent or ended."""
    with farm.read() as session:
        if not line.anybody(session):
            return 0
    with farm.write(durable=False) as session:
        online = pools.online(session)
        free = {pool.name: pool.free for pool in online}
        demands: dict[str, list[str]] = defaultdict(list)
        for project, demand in line.kinds(session):
            demands[project].append(demand)
        wanted = {demand for each in demands.values() for demand in each}
        placements = {demand: line.placed(demand, online) for demand in sorted(wanted)}
        done = _begin(farm, session, demands, placements, free) if any(free.values()) else 0
        _explain(session, placements)
        return done


def _begin(
    farm: Farm,
    session: Session,
    demands: Mapping[str, list[str]],
    placements: Mapping[str, Placement],
    free: dict[str, int],
) -> int:
    """Send what has its turn while slots are free. Returns how many were sent, or ended because the answer is there."""
    shares, clock = projects.shares(session, farm.settings, list(demands))
    heads = _Heads(session, placements)
    sender = _Sender(farm, session)
    served = set()
    for build, pool, cost_s in begun(Shares(shares, clock), demands, placements, free, heads, _AT_ONCE):
        sender.send(build, pool, cost_s)
        served.add(build.project_id)
    projects.served(session, [share for share in shares if share.project in served])
    return sender.sent + heads.answered


class _Heads:
    """The line as ``turns`` reads it, from the registry."""

    def __init__(self, session: Session, placements: Mapping[str, Placement]) -> None:
        self.session = session
        self.placements = placements
        self.answered = 0
        self._rows: dict[tuple[str, str], Iterator[Build]] = {}
        self._heads: dict[tuple[str, str], Build | None] = {}
        self._costs: dict[str, float] = {}

    def head(self, project: str, demand: str) -> Build | None:
        key = project, demand
        if key not in self._heads:
            if key not in self._rows:
                self._rows[key] = line.of(self.session, project, demand)
            self._heads[key] = next(self._rows[key], None)
        return self._heads[key]

    def take(self, project: str, demand: str) -> bool:
        build = self._heads.pop((project, demand))
        assert build is not None
        recipe = Recipe.model_validate(build.recipe)
        artifact = cache.find(self.session, project, recipe, self.placements[demand].pools)
        if artifact is not None:
            cache.verdict(self.session, build, artifact, Origin.CACHE)
            cache.settle_followers(self.session, build)
        elif (leader := cache.leader(self.session, build)) is not None:
            cache.join(self.session, build, leader)
        else:
            return True
        self.answered += 1
        return False

    def cost_s(self, demand: str) -> float:
        if demand not in self._costs:
            self._costs[demand] = history.expected(self.session, demand)
        return self._costs[demand]


class _Sender:
    """Sends builds to pools, or to the one worker of a pool that they had best go to."""

    def __init__(self, farm: Farm, session: Session) -> None:
        self.farm = farm
        self.session = session
        self.sent = 0
        self._hosts: dict[str, list[Host]] = {}

    def send(self, build: Build, pool: PoolState, cost_s: float) -> None:
        recipe = Recipe.model_validate(build.recipe)
        capability = pool.capability(recipe.target.backend)
        assert capability is not None  # place() chose the pool for it
        key = cache_key(recipe, capability, pool.hardware_class, pool.pipeline, pool.capabilities)
        attempt = transitions.dispatched(self.session, build, pool.name, key, self.farm.settings.dispatch_expires_s)
        attempt.charged_s = cost_s
        queue = pools.queue_of(pool.name)
        host = self._host(build, pool)
        if host is not None:
            host.free -= 1
            attempt.meant_for = host.worker
            queue = workers.queue_of(host.worker)
        outbox.owe(self.session, queue, BUILD, {"build": build.id, "attempt": attempt.number})
        self.sent += 1

    def _host(self, build: Build, pool: PoolState) -> Host | None:
        if pool.name not in self._hosts:
            self._hosts[pool.name] = workers.hosts(self.session, pool.name)
        model = models.row(self.session, build.project_id, build.model_id)
        return preferred(self._hosts[pool.name], model.files[0]["sha256"], frozenset(build.avoid))


def _explain(session: Session, placements: Mapping[str, Placement]) -> None:
    """Where somebody came or went, tell those that wait. Who asks for a build is told its place in line as well."""
    told = line.told(session, list(placements))
    for demand, placement in placements.items():
        if told.get(demand) != placement.waits_for:
            for build in line.tell(session, demand, placement.waits_for):
                transitions.explain(session, build, placement.waits_for)

"""Why a build waits, how many are ahead of it, and when it may begin."""

from __future__ import annotations

import math
from functools import cached_property

from sqlalchemy import func, select, text, tuple_
from sqlalchemy.orm import Session

from enginehouse.states import BuildState
from enginehouse.views import Wait
from scheduler import history, line, pools, projects
from scheduler.placement import Placement, PoolState
from scheduler.registry.engine import now
from scheduler.registry.tables import IN_LINE, Build, Project
from scheduler.settings import Settings


class Waiting:
    """The line as it is now, for one question or several."""

    def __init__(self, session: Session, settings: Settings) -> None:
        self.session = session
        self.settings = settings
        self._placements: dict[str, Placement] = {}

    def told(self, build: Build) -> tuple[str, Wait | None]:
        """The reason in words, and the place in line. A build that does not stand in line says what it said last."""
        in_line = build.state == BuildState.WAITING and build.joined_to is None
        if not in_line or build.not_before > now(self.session):
            return build.reason, None
        placement = self._placement(build.demand)
        if not placement.pools:
            return placement.reason, None
        wait = self._wait(build, placement)
        if full := projects.full(self.session, self.settings, build.project_id):
            return full, wait
        if placement.closed:
            return placement.closed, wait
        if any(pool.free > 0 for pool in placement.pools):
            return "about to be dispatched", wait
        place_in_line = "it is the next" if wait.ahead == 0 else f"{wait.ahead} ahead of it"
        begins = "" if wait.most_s is None else f"; it begins in about {_span(wait.least_s or 0.0, wait.most_s)}"
        return f"every slot of {placement.named} is busy; {place_in_line}{begins}", wait

    def _wait(self, build: Build, placement: Placement) -> Wait:
        """Slots come free by turns of the projects: of each other one, as many go first as its weight gives it."""
        mine = {pool.name for pool in placement.pools}
        rivals = [one for one in self._demands if mine & {pool.name for pool in self._placement(one).pools}]
        before = tuple_(Build.due, Build.id) < tuple_(build.due, build.id)
        own = self.session.scalar(
            select(func.count())
            .select_from(Build)
            .where(text(IN_LINE), Build.project_id == build.project_id, Build.demand.in_(rivals), before)
        )
        ahead = own or 0
        weight = self._weights[build.project_id]
        for project, counts in self._counts.items():
            if project != build.project_id:
                turns = math.ceil(((own or 0) + 1) * self._weights[project] / weight)
                ahead += min(sum(counts.get(one, 0) for one in rivals), turns)
        slots = sum(pool.slots for pool in placement.pools)
        took = sorted(history.seconds(self.session, build.demand))
        if not took or not slots:
            return Wait(ahead=ahead)
        if any(pool.free > 0 for pool in placement.pools):
            return Wait(ahead=ahead, least_s=0.0, most_s=0.0)
        rounds = ahead // slots
        return Wait(ahead=ahead, least_s=rounds * took[0], most_s=(rounds + 1) * took[-1])

    def _placement(self, demand: str) -> Placement:
        if demand not in self._placements:
            self._placements[demand] = line.placed(demand, self._online)
        return self._placements[demand]

    @cached_property
    def _online(self) -> list[PoolState]:
        return pools.online(self.session)

    @cached_property
    def _counts(self) -> dict[str, dict[str, int]]:
        """Builds in line by project and demand."""
        query = select(Build.project_id, Build.demand, func.count()).where(text(IN_LINE))
        found: dict[str, dict[str, int]] = {}
        for project, demand, count in self.session.execute(query.group_by(Build.project_id, Build.demand)):
            found.setdefault(project, {})[demand] = count
        return found

    @cached_property
    def _demands(self) -> list[str]:
        return sorted({demand for counts in self._counts.values() for demand in counts})

    @cached_property
    def _weights(self) -> dict[str, float]:
        return dict(self.session.execute(select(Project.id, Project.weight)).all())


def _span(least_s: float, most_s: float) -> str:
    """Seconds below two minutes, else whole minutes."""
    unit, name = (1, "s") if most_s < 120 else (60, "min")
    least, most = math.floor(least_s / unit), math.ceil(most_s / unit)
    return f"{least} to {most} {name}"

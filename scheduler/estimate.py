"""What would become of a job if it were submitted now: where each build would go, how long it would wait and take.

Nothing is written. The same rules as for a submission decide, so that what is shown is what would happen.
"""

from __future__ import annotations

import statistics
from enum import StrEnum

from pydantic import BaseModel, Field
from sqlalchemy.orm import Session

from enginehouse.request import JobRequest, Recipe
from enginehouse.views import Wait
from scheduler import cache, history, jobs
from scheduler.placement import place
from scheduler.registry.tables import Build
from scheduler.settings import Settings
from scheduler.tokens import Principal
from scheduler.waiting import Waiting


class Answer(StrEnum):
    """How a build would be answered."""

    CACHE = "cache"
    """at once, from what was built before"""
    JOINS = "joins"
    """by a build in flight that does the same"""
    BUILDS = "builds"
    WAITS = "waits"
    """nobody online could build it now"""


class Expected(BaseModel):
    """What is expected of one build."""

    target: str
    answer: Answer
    reason: str = Field(default="", description="why it would wait, or what it would join")
    wait: Wait | None = None
    takes_s: float | None = Field(default=None, description="median of builds of its kind; None: none was ever built")
    of_this_model: bool = Field(default=False, description="whether those were of the same model")
    slots: int = Field(default=1, description="slots that it could go to")


def of(session: Session, settings: Settings, principal: Principal, request: JobRequest) -> list[Expected]:
    """One entry for each build that the request would make. Raises what is wrong with the request."""
    with session.no_autoflush:
        drawn = jobs.draft(session, principal, request)
        waiting = Waiting(session, settings)
        return [_of_build(session, row, drawn, waiting) for row in drawn.rows]


def seconds(found: list[Expected]) -> float | None:
    """About how long until all of them have ended: the longest wait, then the builds beside and after each other."""
    open_ = [one for one in found if one.answer is Answer.BUILDS]
    if not open_:
        return None if any(one.answer is Answer.WAITS for one in found) else 0.0
    if any(one.takes_s is None for one in open_) or len(open_) < sum(one.answer is not Answer.CACHE for one in found):
        return None
    waits = max((one.wait.most_s or 0.0) if one.wait else 0.0 for one in open_)
    slots = max(1, min(one.slots for one in open_))
    took = [one.takes_s or 0.0 for one in open_]
    return waits + max(max(took), sum(took) / slots)


def _of_build(session: Session, row: Build, drawn: jobs.Draft, waiting: Waiting) -> Expected:
    recipe = Recipe.model_validate(row.recipe)
    named = str(recipe.target)
    placement = place(recipe.target, drawn.model_format, drawn.online, recipe.against())
    if cache.find(session, row.project_id, recipe, placement.pools) is not None:
        return Expected(target=named, answer=Answer.CACHE)
    leader = cache.leader(session, row)
    if leader is not None:
        return Expected(target=named, answer=Answer.JOINS, reason=f"the same build is in flight as {leader.id}")
    if not placement.pools:
        return Expected(target=named, answer=Answer.WAITS, reason=placement.reason)
    reason, wait = waiting.told(row)
    mine = history.seconds(session, row.demand, row.model_id)
    took = mine or history.seconds(session, row.demand)
    return Expected(
        target=named,
        answer=Answer.BUILDS,
        reason=reason,
        wait=wait,
        takes_s=statistics.median(took) if took else None,
        of_this_model=bool(mine),
        slots=sum(pool.slots for pool in placement.pools),
    )

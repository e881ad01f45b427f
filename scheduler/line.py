"""The line in which builds wait: what sort of build it is to placement, and when its turn is due.

A priority class is worth time: a build of a higher class stands where it would stand had it come ``CLASS_S`` seconds
earlier for each class. So the order never changes while builds wait, and the oldest is passed by no newcomer for longer
than that: nothing starves.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import Select, literal, select, text, tuple_, update
from sqlalchemy.orm import Session

from enginehouse.states import Priority
from enginehouse.targets import Target, parse_target
from scheduler.placement import Placement, PoolState, place
from scheduler.registry.engine import now
from scheduler.registry.tables import IN_LINE, Build, Demand

CLASS_S = 600.0
"""Seconds of waiting that a class is worth."""

_AT_ONCE = 32
_HEARD = 200
_CLASSES = {Priority.LOW: -1, Priority.NORMAL: 0, Priority.HIGH: 1}


def due(created: datetime, priority: Priority) -> datetime:
    """By this the builds of one project are ordered, the earliest first."""
    return created - timedelta(seconds=CLASS_S * _CLASSES[priority])


def demand(model_format: str, target: Target, beside: Sequence[Target] = ()) -> str:
    """Equal for builds that placement cannot tell apart: format, backend, precision, required hardware, baselines."""
    bare = target.model_copy(update={"options": {}, "requires": tuple(sorted(set(target.requires)))})
    return "\n".join([f"{model_format} {bare}", *sorted(map(str, beside))])  # a constraint may hold spaces


def wanted(demand: str) -> tuple[str, Target]:
    """The format and the target, without options, of a demand."""
    model_format, _, target = demand.split("\n")[0].partition(" ")
    return model_format, parse_target(target)


def placed(demand: str, pools: Sequence[PoolState]) -> Placement:
    """Where builds of a demand can go."""
    model_format, target = wanted(demand)
    return place(target, model_format, pools, beside(demand))


def beside(demand: str) -> tuple[Target, ...]:
    """The baselines, without options, of a demand."""
    return tuple(map(parse_target, demand.split("\n")[1:]))


def anybody(session: Session) -> bool:
    """Whether a build waits."""
    return session.scalar(select(Build.id).where(text(IN_LINE)).limit(1)) is not None


_KINDS = text("""
WITH RECURSIVE head(id) AS (
    SELECT * FROM (
        SELECT id FROM builds WHERE state = 'waiting' AND joined_to IS NULL ORDER BY project_id, demand LIMIT 1
    ) AS earliest
    UNION ALL
    SELECT (
        SELECT later.id FROM builds AS later
        WHERE later.state = 'waiting' AND later.joined_to IS NULL
            AND (later.project_id, later.demand) > (builds.project_id, builds.demand)
        ORDER BY later.project_id, later.demand LIMIT 1
    )
    FROM head JOIN builds ON builds.id = head.id
)
SELECT builds.project_id, builds.demand FROM head JOIN builds ON builds.id = head.id
""")
"""From one pair to the next in the index, however many builds there are of each."""


def kinds(session: Session) -> list[tuple[str, str]]:
    """Project and demand of all builds that wait, each pair once."""
    return [(project, demand) for project, demand in session.execute(_KINDS)]


def of(session: Session, project: str, demand: str) -> Iterator[Build]:
    """Those of a project and a demand in their order; without those whose next attempt has yet to wait."""
    query = _waiting().where(Build.project_id == project, Build.demand == demand, Build.not_before <= now(session))
    query = query.order_by(Build.due, Build.id).limit(_AT_ONCE)
    last: tuple[datetime, str] | None = None
    while True:
        after = query
        if last is not None:
            after = query.where(tuple_(Build.due, Build.id) > tuple_(literal(last[0], Build.due.type), last[1]))
        found = session.scalars(after).all()
        for build in found:
            last = build.due, build.id
            yield build
        if len(found) < _AT_ONCE:
            return


def told(session: Session, demands: Sequence[str]) -> dict[str, str]:
    """What the builds of each of these demands were told last of why they wait."""
    return {row.demand: row.reason for row in session.scalars(select(Demand).where(Demand.demand.in_(demands)))}


def tell(session: Session, demand: str, reason: str) -> Sequence[Build]:
    """Note what a demand waits for. Returns builds whose people should hear of it; of very many, only the first."""
    session.merge(Demand(demand=demand, reason=reason))
    untold = _waiting().where(Build.demand == demand, Build.reason != reason)
    first = session.scalars(untold.order_by(Build.due, Build.id).limit(_HEARD)).all()
    if len(first) == _HEARD:
        rest = update(Build).where(text(IN_LINE), Build.demand == demand, Build.id.not_in([one.id for one in first]))
        session.execute(rest.values(reason=reason), execution_options={"synchronize_session": False})
    return first


def _waiting() -> Select[Build]:
    return select(Build).where(text(IN_LINE))

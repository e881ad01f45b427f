"""How long builds took: what the next of their kind is expected to take."""

from __future__ import annotations

import statistics

from sqlalchemy import select
from sqlalchemy.orm import Session

from enginehouse.states import Origin
from scheduler.registry.tables import Attempt, Build

UNKNOWN_S = 60.0
"""What a build of a kind that was never built is expected to take."""

_LOOKED_AT = 20


def seconds(session: Session, demand: str, model: str | None = None) -> list[float]:
    """Of the newest builds of this kind, how long the attempt took that succeeded. Of this model's, where given."""
    mine = (Build.demand == demand) & (Build.origin == Origin.BUILT.value)
    if model is not None:
        mine &= Build.model_id == model
    query = (
        select(Attempt.started, Attempt.ended)
        .join(Build, (Build.id == Attempt.build_id) & (Build.attempt == Attempt.number))
        .where(mine)
        .order_by(Build.id.desc())
        .limit(_LOOKED_AT)
    )
    return [(ended - started).total_seconds() for started, ended in session.execute(query) if started and ended]


def expected(session: Session, demand: str) -> float:
    """The median of those, seconds."""
    found = seconds(session, demand)
    return statistics.median(found) if found else UNKNOWN_S

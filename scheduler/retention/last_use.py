"""When an artifact was last used, to within an hour: a download is a read, and must not always become a write."""

from __future__ import annotations

from datetime import datetime, timedelta

from sqlalchemy.orm import Session

from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Artifact

STEP = timedelta(hours=1)


def note(session: Session, artifact: Artifact) -> None:
    """It is used in this transaction."""
    moment = now(session)
    if _due(artifact, moment):
        artifact.last_used = moment


def read(farm: Farm, artifact: Artifact) -> None:
    """It was read. Written only when what is on record is an hour old."""
    with farm.read() as session:
        due = _due(artifact, now(session))
    if due:
        with farm.write(durable=False) as session:
            row = session.get(Artifact, artifact.id)
            if row is not None:
                note(session, row)


def resolved(farm: Farm, artifact: str) -> None:
    """It was the answer to a question for the best one."""
    with farm.read() as session:
        row = session.get(Artifact, artifact)
    if row is not None:
        read(farm, row)


def _due(artifact: Artifact, moment: datetime) -> bool:
    return artifact.last_used is None or moment - artifact.last_used >= STEP

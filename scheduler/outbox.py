"""The outbox: messages that are owed to the broker, written with the change that owes them, deleted once sent."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import OutboxRow

BATCH = 1000


def owe(session: Session, queue: str, task: str, body: dict[str, Any]) -> None:
    """Record a message in the transaction of the change that it follows from."""
    session.add(OutboxRow(queue=queue, task=task, body=body, created=now(session)))


def relay(farm: Farm) -> int:
    """Send what is owed, oldest first; returns how many were sent.

    Nothing is locked meanwhile: two relays may send a message twice, which fenced attempts make harmless.
    """
    with farm.read() as session:
        owed = session.scalars(select(OutboxRow).order_by(OutboxRow.id).limit(BATCH)).all()
    sent = []
    for row in owed:
        if not farm.broker.send(row.queue, row.task, row.body):
            break
        sent.append(row.id)
    if sent:
        with farm.write(durable=False) as session:
            session.execute(delete(OutboxRow).where(OutboxRow.id.in_(sent)))
    return len(sent)

"""What consists of which bytes. A row is written with its model or artifact, and goes with it."""

from __future__ import annotations

from collections.abc import Iterable

from sqlalchemy import delete
from sqlalchemy.orm import Session

from scheduler import blobs
from scheduler.registry.tables import BlobUse

MODEL, ARTIFACT = "model", "artifact"


def keep(session: Session, owner: str, kind: str, sha256s: Iterable[str]) -> None:
    """From this transaction on the bytes belong to ``owner`` (its serial). They must be blobs."""
    distinct = set(sha256s)
    session.add_all([BlobUse(owner=owner, sha256=sha256, kind=kind) for sha256 in distinct])
    blobs.needed(session, distinct)
    session.flush()


def release(session: Session, owner: str) -> None:
    """It does not need its bytes any more."""
    session.execute(delete(BlobUse).where(BlobUse.owner == owner))

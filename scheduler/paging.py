"""Pages by key: the cursor is the last row's key, so a page costs the same at any depth."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

Row = TypeVar("Row")
LARGEST = 200


def page(
    session: Session, query: Select[Row], key: InstrumentedAttribute[str], limit: int, after: str | None
) -> tuple[list[Row], str | None]:
    """Up to ``limit`` rows (at most 200), newest first, and the cursor of the page after them."""
    size = max(1, min(limit, LARGEST))
    if after:
        query = query.where(key < after)
    rows: list[Any] = list(session.scalars(query.order_by(key.desc()).limit(size + 1)))
    return rows[:size], getattr(rows[size - 1], key.key) if len(rows) > size else None

"""Time passes: every moment that the registry and a local store have on record lies further back afterwards."""

from __future__ import annotations

import os
from datetime import timedelta

from sqlalchemy import inspect, select

from scheduler.farm import Farm
from scheduler.registry.tables import Attempt, AuditRow, Base, UtcDateTime, Worker
from scheduler.store import LocalStore

_LEASES = {(Attempt, "until"), (Worker, "last_seen")}
"""What heartbeats move on meanwhile: builds that run go on running."""


def pass_time(farm: Farm, **how_long: float) -> None:
    """Let time pass, given as the arguments of a timedelta."""
    by = timedelta(**how_long)
    with farm.write() as session:
        for mapper in Base.registry.mappers:
            moments = [
                column.key
                for column in mapper.column_attrs
                if isinstance(column.columns[0].type, UtcDateTime) and (mapper.class_, column.key) not in _LEASES
            ]
            if mapper.class_ is AuditRow:
                continue  # the database refuses it
            for row in session.scalars(select(mapper.class_)) if moments else []:
                for name in moments:
                    found = getattr(row, name)
                    if found is not None:
                        setattr(row, name, found - by)
    assert isinstance(farm.store, LocalStore)
    for path in farm.store.root.rglob("*"):
        found = path.stat()
        os.utime(path, (found.st_atime - by.total_seconds(), found.st_mtime - by.total_seconds()))


def rows(farm: Farm, table: type[Base]) -> list:
    """All rows of a table, by their keys."""
    with farm.read() as session:
        return list(session.scalars(select(table).order_by(*inspect(table).primary_key)))

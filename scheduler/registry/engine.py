"""Connections to the registry: one writer at a time, any number of readers.

A write transaction is serialised with all others: by BEGIN IMMEDIATE on SQLite, by an advisory lock on
PostgreSQL. So states cannot race, locks cannot deadlock, and events are numbered in the order of commits.
"""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event, func, make_url, select, text
from sqlalchemy.orm import Session

_WRITER_LOCK = 0x454E4748  # any constant of ours: "ENGH"
_CLOCK = "clock"


def connect(database_url: str) -> Engine:
    """An engine for SQLite or PostgreSQL."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": 30, "check_same_thread": False})
        event.listen(engine, "connect", _sqlite_pragmas)
        event.listen(engine, "begin", _sqlite_begin)
        return engine
    if url.get_backend_name() == "postgresql":
        return create_engine(
            url.set(drivername="postgresql+psycopg"), pool_pre_ping=True, pool_size=10, max_overflow=30
        )
    raise ValueError(f"the registry runs on SQLite or PostgreSQL, not on {url.get_backend_name()}")


def _sqlite_pragmas(connection: sqlite3.Connection, _record: Any) -> None:
    connection.isolation_level = None  # we say BEGIN ourselves
    for pragma in ("journal_mode=WAL", "foreign_keys=ON", "busy_timeout=30000"):
        connection.execute(f"PRAGMA {pragma}")


def _sqlite_begin(connection: Connection) -> None:
    options = connection.get_execution_options()
    if not options.get("writes", False):
        connection.exec_driver_sql("BEGIN")
        return
    connection.exec_driver_sql(f"PRAGMA synchronous={'FULL' if options.get('durable', True) else 'NORMAL'}")
    connection.exec_driver_sql("BEGIN IMMEDIATE")


def begin_write(session: Session, *, durable: bool = True) -> None:
    """Open the session's transaction as the only writer.

    One that is not durable does not wait for the disk: it is lost only with the power or with a PostgreSQL that is
    killed, only together with all that came after it, and never when a process of ours dies. It is for what the farm
    finds out again by itself, and what nobody outside acts upon.
    """
    connection = session.connection(execution_options={"writes": True, "durable": durable})
    if connection.dialect.name == "postgresql":
        if not durable:
            connection.execute(text("SET LOCAL synchronous_commit = off"))
        connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _WRITER_LOCK})


def now(session: Session) -> datetime:
    """The database's clock (UTC): leases are judged by one clock, whichever process asks.

    It is read once for a transaction; what has passed since then, this process knows.
    """
    connection = session.connection()  # not the session itself, which would flush half-made rows
    if connection.dialect.name != "postgresql":
        return datetime.now(UTC)
    transaction = connection.get_transaction()
    read: tuple[object, datetime, float] | None = session.info.get(_CLOCK)
    if read is None or read[0] is not transaction:
        moment = connection.execute(select(func.clock_timestamp())).scalar_one().astimezone(UTC)
        read = session.info[_CLOCK] = transaction, moment, time.monotonic()
    return read[1] + timedelta(seconds=time.monotonic() - read[2])

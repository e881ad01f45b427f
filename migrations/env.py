"""Alembic's environment: SQLite in batch mode, PostgreSQL with short lock waits."""

from __future__ import annotations

from alembic import context
from sqlalchemy import text

from scheduler.registry.engine import connect
from scheduler.registry.tables import Base


def run() -> None:
    """Migrate over a connection that the caller gave, or over one of our own to the configured database."""
    given = context.config.attributes.get("connection")
    if given is not None:
        migrate(given)
        return
    engine = connect(context.config.attributes["database_url"])
    with engine.connect() as connection:
        connection = connection.execution_options(writes=True)
        if connection.dialect.name == "postgresql":
            connection.execute(text("SET lock_timeout = '10s'"))
            connection.execute(text("SET statement_timeout = '10min'"))
            connection.commit()
        migrate(connection)
    engine.dispose()


def migrate(connection) -> None:  # type: ignore[no-untyped-def]  # Alembic gives a Connection or a MigrationContext's bind
    """Run the wanted revisions in one transaction."""
    context.configure(
        connection=connection,
        target_metadata=Base.metadata,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
    )
    with context.begin_transaction():
        context.run_migrations()


run()

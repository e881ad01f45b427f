"""Bringing the registry's schema to the version of this code, and back."""

from __future__ import annotations

import sys
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"


def config(database_url: str) -> Config:
    """Alembic's configuration for this database; no ini file holds a password."""
    found = Config(stdout=sys.stderr)
    found.set_main_option("script_location", str(MIGRATIONS))
    found.set_main_option("path_separator", "os")
    found.attributes["database_url"] = database_url
    return found


def upgrade(database_url: str, revision: str = "head") -> None:
    """Apply what is missing. A SQLite file's folder is made."""
    url = make_url(database_url)
    if url.get_backend_name() == "sqlite" and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    command.upgrade(config(database_url), revision)


def downgrade(database_url: str, revision: str) -> None:
    """Take changes back, down to the revision ('base': everything)."""
    command.downgrade(config(database_url), revision)


def main() -> None:
    """``python -m scheduler.registry.migrate``: bring the configured database to the newest schema."""
    from scheduler.settings import Settings

    upgrade(Settings().database_url)


if __name__ == "__main__":
    main()

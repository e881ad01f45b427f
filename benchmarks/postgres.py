"""A PostgreSQL server for a measurement, as production would have it: it waits for the disk."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from chaos.servers import Postgres
from farm.supervisor import Supervisor


@contextmanager
def postgres(folder: Path) -> Iterator[str]:
    """The address of an empty database on a server of its own."""
    folder.chmod(0o755)  # the user 'nobody' runs it where we are root
    server = Postgres(folder / "postgres")
    supervisor = Supervisor(print)
    supervisor.start(server.part(folder / "postgres.log"))
    try:
        while not server.answers():
            time.sleep(0.05)
        server.create("bench")
        yield server.url("bench")
    finally:
        supervisor.stop()

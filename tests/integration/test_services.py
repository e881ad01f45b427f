"""The servers that the other tests stand on: they are real, fresh for each test, and gone afterwards."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy
from services.process import free_port, listens, missing, running, wait_until

SERVER = """
import socket, sys, time
listener = socket.create_server(("127.0.0.1", int(sys.argv[1])))
time.sleep(60)
"""


@pytest.mark.parametrize("turn", [1, 2])
def test_redis_is_empty_for_each_test(redis_server, redis_url, turn):
    client = redis_server.client()
    assert client.dbsize() == 0
    client.set("key", turn)
    client.close()


@pytest.mark.parametrize("turn", [1, 2])
def test_a_database_is_empty_for_each_test(database_url, turn):
    engine = sqlalchemy.create_engine(database_url)
    assert sqlalchemy.inspect(engine).get_table_names() == []
    with engine.begin() as connection:
        connection.execute(sqlalchemy.text("create table t (a int)"))
    engine.dispose()


@pytest.mark.parametrize("turn", [1, 2])
def test_a_bucket_is_empty_for_each_test(s3, turn):
    client = s3.client()
    assert "Contents" not in client.list_objects_v2(Bucket=s3.bucket)
    client.put_object(Bucket=s3.bucket, Key="key", Body=b"x")
    client.close()


def test_a_missing_service_is_a_skip_here_and_a_failure_in_ci(monkeypatch):
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="is not at hand"):
        missing("a service", "why")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="is not at hand"):
        missing("a service", "why")


def test_a_server_ends_with_its_block_even_when_the_test_fails(tmp_path: Path):
    port = free_port()
    command = [sys.executable, "-c", SERVER, str(port)]
    with pytest.raises(ZeroDivisionError), running(command, tmp_path / "log", ready=lambda: listens(port)):
        1 / 0  # noqa: B018
    assert not listens(port)


def test_a_server_that_dies_at_once_is_told_with_its_log(tmp_path: Path):
    command = [sys.executable, "-c", "print('the reason'); raise SystemExit(1)"]
    with (
        pytest.raises(RuntimeError, match=r"has ended.*\n.*the reason"),
        running(command, tmp_path / "log", ready=lambda: False),
    ):
        pass


def test_a_server_ends_with_a_test_run_that_is_killed(tmp_path: Path):
    port = free_port()
    script = f"""
import signal, sys
from pathlib import Path
from services.process import listens, running
command = [sys.executable, "-c", {SERVER!r}, "{port}"]
with running(command, Path({str(tmp_path / "log")!r}), ready=lambda: listens({port})):
    signal.pause()
"""
    tests = Path(__file__).parents[1]
    run = subprocess.Popen([sys.executable, "-c", script], env=os.environ | {"PYTHONPATH": str(tests)})
    try:
        wait_until(lambda: listens(port), 20, "the server")
    finally:
        run.send_signal(signal.SIGKILL)
        run.wait()
    wait_until(lambda: not listens(port), 10, "the end of the server")

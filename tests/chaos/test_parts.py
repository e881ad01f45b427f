"""The suite's own tools do what they are for: a link, a clock that is moved, a schedule that a seed decides."""

from __future__ import annotations

import random
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from services.process import free_port, missing

from chaos import faults
from chaos.clock import Clock, NoClock
from chaos.link import Link
from chaos.load import tiny
from chaos.run import LONG, SHORT


@pytest.fixture
def server() -> Iterator[int]:
    """A port that answers each connection with what it says, once."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            with connection:
                connection.sendall(connection.recv(100))

    thread = threading.Thread(target=serve)
    thread.start()
    yield listener.getsockname()[1]
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join()


def said(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(b"hello")
        return connection.recv(100)


def test_a_link_passes_over_a_server_that_is_away(server: int):
    link = Link(free_port(), server)
    try:
        assert [said(link.port) for _ in range(4)] == [b"hello"] * 4
    finally:
        link.close()


def test_a_link_without_a_server_hangs_up():
    link = Link(free_port())
    try:
        assert said(link.port) == b""
    finally:
        link.close()


def test_a_slow_link_holds_everything_back(server: int):
    link = Link(server)
    try:
        link.delay_s = 0.3
        began = time.monotonic()
        assert said(link.port) == b"hello"
        assert time.monotonic() - began >= 0.6
    finally:
        link.close()


def test_a_moved_clock_moves_while_its_process_runs(tmp_path: Path):
    try:
        clock = Clock(tmp_path / "clock")
    except NoClock as error:
        missing("a clock that can be moved", str(error))
    program = "import sys, time\nfor _ in sys.stdin: print(time.time(), flush=True)"
    with subprocess.Popen(
        [sys.executable, "-c", program],
        env=clock.environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        for seconds in (0, 86_400, -7_200):
            clock.move(seconds)
            process.stdin.write("now\n")
            process.stdin.flush()
            ahead = float(process.stdout.readline()) - time.time()
            assert abs(ahead - seconds) < 60
        process.stdin.close()


def test_a_seed_decides_models_and_order():
    assert tiny(random.Random(7)) == tiny(random.Random(7)) != tiny(random.Random(8))
    order = [faults.schedule(random.Random(seed), LONG.times) for seed in (1, 1, 2)]
    assert order[0] == order[1] != order[2]


def test_the_long_form_has_every_fault_and_the_short_one_those_it_can_afford():
    assert {fault for fault, _ in LONG.times} == set(faults.ALL)
    assert {fault for fault, _ in SHORT.times} < set(faults.ALL)

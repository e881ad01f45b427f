"""The embedded farm's own servers, without workers: how it starts, what it refuses, and that it leaves nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from services.process import missing

from farm import EmbeddedFarm, HomeBusy, PortBusy, RedisMissing
from farm.redis import redis_binary


@pytest.fixture(autouse=True)
def _redis() -> None:
    try:
        redis_binary()
    except RedisMissing as error:
        missing("redis-server", str(error))


@pytest.fixture(scope="module")
def said() -> list[str]:
    return []


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory, said: list[str]) -> Iterator[EmbeddedFarm]:
    with EmbeddedFarm(tmp_path_factory.mktemp("home"), workers=0, say=said.append) as farm:
        yield farm


def until(holds: Callable[[], object], seconds: float = 15) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.05)


def ready(farm: EmbeddedFarm) -> bool:
    answer = farm.get("/readyz")
    return bool(answer and answer["ready"])


def of_home(home: Path) -> list[int]:
    """The processes that were told of this home, other than this one."""
    found = []
    for process in Path("/proc").iterdir():
        if process.name.isdigit() and int(process.name) != os.getpid():
            try:
                told = (process / "environ").read_bytes() + (process / "cmdline").read_bytes()
                folder = (process / "cwd").readlink()
            except OSError:
                continue
            if str(home).encode() in told or folder.is_relative_to(home):
                found.append(int(process.name))
    return found


def test_clients_find_it_by_its_file(farm: EmbeddedFarm) -> None:
    assert json.loads(farm.home.farm_file.read_text()) == {"url": farm.url, "token": farm.token}
    assert set(farm.processes) == {"redis", "api", "scheduler"}
    assert ready(farm)


def test_no_command_line_shows_a_secret(farm: EmbeddedFarm) -> None:
    secrets = vars(farm.home.secrets()).values()
    for process in farm.processes.values():
        command = Path(f"/proc/{process.pid}/cmdline").read_text()
        assert not any(secret in command for secret in secrets)


def test_a_second_farm_on_the_same_home_is_refused(farm: EmbeddedFarm) -> None:
    with pytest.raises(HomeBusy):
        EmbeddedFarm(farm.home.path, workers=0).start()
    assert ready(farm)


def test_a_busy_port_is_refused_and_leaves_nothing(farm: EmbeddedFarm, tmp_path: Path) -> None:
    port = int(farm.url.rpartition(":")[2])
    with pytest.raises(PortBusy):
        EmbeddedFarm(tmp_path, port=port, workers=0).start()
    assert of_home(tmp_path) == []
    assert not (tmp_path / "farm.json").exists()


@pytest.mark.parametrize("name", ["api", "scheduler", "redis"])
def test_a_part_that_is_killed_comes_back(farm: EmbeddedFarm, said: list[str], name: str) -> None:
    before = farm.processes[name].pid
    farm.kill(name)
    until(lambda: farm.processes[name].pid not in (None, before))
    until(lambda: ready(farm))
    assert any(line.startswith(f"{name} died (signal SIGKILL)") for line in said)


def test_the_broker_can_be_emptied(farm: EmbeddedFarm) -> None:
    farm.redis.flush()
    assert ready(farm)


@contextmanager
def run(home: Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "farm", "--home", str(home), "--port", "0", "--workers", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def first_line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_and_term_stop_everything(tmp_path: Path, number: signal.Signals) -> None:
    with run(tmp_path) as process:
        assert first_line(process).startswith("The farm is at http://127.0.0.1:")
        assert of_home(tmp_path)
        process.send_signal(number)
        output, _ = process.communicate(timeout=60)
        assert output.splitlines()[-2:] == ["Stopping.", "Stopped."]
        assert process.returncode == 0
    assert of_home(tmp_path) == []
    assert not (tmp_path / "farm.json").exists()


def test_kill_9_of_the_supervisor_leaves_nothing_and_the_home_can_be_used_again(tmp_path: Path) -> None:
    with run(tmp_path) as process:
        first_line(process)
        assert len(of_home(tmp_path)) >= 4
        process.kill()
    until(lambda: of_home(tmp_path) == [])
    with EmbeddedFarm(tmp_path, workers=0) as again:
        assert ready(again)


def test_an_error_at_start_is_one_sentence_on_the_command_line(farm: EmbeddedFarm) -> None:
    with run(farm.home.path) as process:
        output, _ = process.communicate(timeout=30)
    assert output.startswith(f"Error: A farm runs on {farm.home.path} already")
    assert "Traceback" not in output
    assert process.returncode == 1

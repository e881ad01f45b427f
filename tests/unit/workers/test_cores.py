"""Cores of one's own: locks between timings, and other builds that stand still meanwhile."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from workers.child.pause import LONGEST_S, Pause
from workers.cores import alone, core_files, taken_from, writers
from workers.probe.cpu import core_list, siblings


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, ...]:
    return core_files(range(2), tmp_path)


@pytest.fixture
def sleeper() -> Iterator[subprocess.Popen[bytes]]:
    """A process that leads a group of its own, and is awake."""
    process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    yield process
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def state(process: subprocess.Popen[bytes]) -> str:
    return Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()[0]


def becomes(process: subprocess.Popen[bytes], wanted: str) -> bool:
    until = time.monotonic() + 30
    while state(process) not in wanted and time.monotonic() < until:
        time.sleep(0.01)
    return state(process) in wanted


def test_a_file_for_each_physical_core(tmp_path: Path) -> None:
    groups = siblings(os.sched_getaffinity(0))
    files = core_files(folder=tmp_path)
    assert [file.name for file in files] == [f"enginehouse-core-{min(group)}.lock" for group in groups]
    assert core_files(folder=tmp_path) == files  # made once
    assert all(file.exists() for file in files)


def test_two_that_time_wait_for_each_other_and_not_for_ever(files: tuple[Path, ...]) -> None:
    inside: list[int] = []
    most: list[int] = []

    def timed(number: int) -> None:
        with alone(files, 60) as had:
            assert had
            inside.append(number)
            most.append(len(inside))
            time.sleep(0.05)
            inside.remove(number)

    threads = [threading.Thread(target=timed, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert most == [1, 1, 1]


def test_a_wait_in_vain_is_told(files: tuple[Path, ...]) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    with alone(files[1:], 0) as had, alone(files, 5, clock=lambda: now[0], sleep=sleep) as again:
        assert had
        assert not again
        assert now[0] >= 5
        with alone(files[:1], 0, sleep=sleep) as part:  # nothing is held by the one that did not get all
            assert part


def test_without_files_there_is_nobody_to_wait_for() -> None:
    with alone((), 0) as had:
        assert had


def test_whoever_times_is_seen_by_other_groups_alone(files: tuple[Path, ...]) -> None:
    assert not taken_from(1, files)
    with alone(files[:1], 0):
        assert taken_from(1, files)
        assert not taken_from(1, files[1:])  # on other cores
        assert not taken_from(os.getpgid(0), files)  # its own group goes on
        assert not taken_from(1, files, locks=Path("/nonexistent"))  # where the kernel does not tell
    assert not taken_from(1, files)


def test_the_kernels_list_of_locks() -> None:
    text = """\
1: POSIX  ADVISORY  WRITE 452 fe:00:17 128 128
2: FLOCK  ADVISORY  WRITE 396 fe:00:17 0 EOF
2: -> FLOCK  ADVISORY  WRITE 397 fe:00:17 0 EOF
3: FLOCK  ADVISORY  READ 398 fe:00:17 0 EOF
4: FLOCK  ADVISORY  WRITE 399 fe:00:18 0 EOF
"""
    assert writers(text, {17}) == {396}
    assert writers(text, {17, 18}) == {396, 399}
    assert writers("", {17}) == set()


def test_another_build_stands_still_while_one_is_timed(
    files: tuple[Path, ...], sleeper: subprocess.Popen[bytes]
) -> None:
    pause = Pause(sleeper.pid, files)
    pause.look()
    assert state(sleeper) != "T"
    with alone(files, 0):
        pause.look()
        assert becomes(sleeper, "T")
        pause.look()
        assert state(sleeper) == "T"
    pause.look()
    assert becomes(sleeper, "SR")
    assert pause.total_s > 0


def test_nobody_stands_still_for_ever(files: tuple[Path, ...]) -> None:
    now = [0.0]
    sent: list[int] = []
    pause = Pause(1, files, clock=lambda: now[0], signal_group=lambda _, number: sent.append(number))
    with alone(files, 0):
        for now[0] in (1.0, 2.0, LONGEST_S + 2, LONGEST_S + 3):
            pause.look()
    assert sent == [signal.SIGSTOP, signal.SIGSTOP, signal.SIGCONT]
    assert pause.total_s == LONGEST_S + 1
    pause.look()
    now[0] += 10
    with alone(files, 0):  # the next one is waited for again
        pause.look()
        now[0] += 3
    pause.end()
    assert sent[3:] == [signal.SIGSTOP, signal.SIGCONT]
    assert pause.total_s == LONGEST_S + 4


def test_a_group_that_is_gone_is_no_error(files: tuple[Path, ...]) -> None:
    pause = Pause(2**22 + 1, files)
    with alone(files, 0):
        pause.look()
    pause.end()
    assert pause.total_s > 0


@pytest.mark.parametrize(("text", "cores"), [("0", [0]), ("0-2,8\n", [0, 1, 2, 8]), ("3,1", [3, 1])])
def test_the_kernels_lists_of_cores(text: str, cores: list[int]) -> None:
    assert core_list(text) == cores


def test_siblings_are_grouped(tmp_path: Path) -> None:
    for core, text in {0: "0,2", 1: "1,3", 2: "0,2"}.items():
        (tmp_path / f"cpu{core}/topology").mkdir(parents=True)
        (tmp_path / f"cpu{core}/topology/thread_siblings_list").write_text(text + "\n")
    assert siblings([0, 1, 2], tmp_path) == [(0, 2), (1, 3)]
    assert siblings([7], tmp_path) == [(7,)]

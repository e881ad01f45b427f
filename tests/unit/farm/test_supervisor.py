from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from farm.process import Part, Process
from farm.supervisor import Supervisor


def until(holds: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "did not come true in time"
        time.sleep(0.02)


def alive(pid: int) -> bool:
    """Whether it runs; a zombie does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


class Workshop:
    """A supervisor whose parts are small Python programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.said: list[str] = []
        self.supervisor = Supervisor(self.said.append)

    def part(self, name: str, program: str, **more: object) -> Part:
        environment = {"PATH": os.environ["PATH"], "FOLDER": str(self.folder)}
        command = [sys.executable, "-I", "-S", "-c", program]
        return Part(name, command, environment, self.folder / f"{name}.log", **more)  # type: ignore[arg-type]

    def start(self, name: str, program: str, **more: object) -> Process:
        self.supervisor.start(self.part(name, program, **more))
        return self.supervisor.processes[name]


@pytest.fixture
def workshop(tmp_path: Path) -> Iterator[Workshop]:
    workshop = Workshop(tmp_path)
    yield workshop
    workshop.supervisor.stop()


SLEEP = "import time; print('up', flush=True); time.sleep(600)"


def test_a_part_that_is_killed_is_started_again_and_a_line_says_so(workshop: Workshop) -> None:
    process = workshop.start("sleeper", SLEEP)
    workshop.supervisor.ready()
    first = process.pid
    assert first is not None
    workshop.supervisor.kill("sleeper")
    until(lambda: process.pid not in (None, first))
    assert not alive(first)
    assert "sleeper died (signal SIGKILL); starting it again in 0.2 s." in workshop.said[0]


def test_a_part_that_cannot_live_is_given_up_while_the_farm_starts_and_its_log_says_why(workshop: Workshop) -> None:
    process = workshop.start("broken", "raise SystemExit('no such setting')")
    until(lambda: workshop.supervisor.broken is not None)
    assert workshop.supervisor.broken == "broken died 4 times in a row (exit status 1)"
    assert "no such setting" in process.tail()


def test_a_part_reads_its_secrets_from_standard_input(workshop: Workshop) -> None:
    process = workshop.start(
        "reader", f"import sys; print('got', sys.stdin.read(), flush=True); {SLEEP}", stdin="s3cret"
    )
    until(lambda: "got s3cret" in process.tail())
    assert "s3cret" not in Path(f"/proc/{process.pid}/cmdline").read_text()


def test_restart_gives_a_new_process_without_waiting(workshop: Workshop) -> None:
    process = workshop.start("sleeper", SLEEP)
    first = process.pid
    workshop.supervisor.restart("sleeper")
    assert process.pid not in (None, first)
    assert workshop.said == []


def test_a_held_part_stays_down_until_it_is_restarted(workshop: Workshop) -> None:
    process = workshop.start("sleeper", SLEEP)
    workshop.supervisor.hold("sleeper")
    time.sleep(0.5)
    assert process.pid is None
    workshop.supervisor.restart("sleeper")
    assert process.pid is not None


def test_a_part_is_stopped_with_the_signal_that_it_asks_for(workshop: Workshop) -> None:
    program = (
        "import signal, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "signal.signal(signal.SIGQUIT, lambda *_: (print('quit', flush=True), sys.exit(0)))\n"
        "print('up', flush=True); time.sleep(600)"
    )
    process = workshop.start("server", program, stopped=signal.SIGQUIT)
    until(lambda: "up" in process.tail())
    workshop.supervisor.hold("server")
    assert process.tail().split() == ["up", "quit"]


def test_stop_goes_wave_by_wave(workshop: Workshop) -> None:
    program = (
        "import os, signal, sys, time, pathlib\n"
        "def end(*_):\n"
        "    time.sleep(0.2)\n"
        "    with open(os.environ['FOLDER'] + '/order', 'a') as order: order.write(NAME + ' ')\n"
        "    sys.exit(0)\n"
        "signal.signal(signal.SIGTERM, end); print('up', flush=True); time.sleep(600)"
    )
    for name in ("redis", "api", "worker"):
        process = workshop.start(name, f"NAME = {name!r}\n{program}")
        until(lambda process=process: "up" in process.tail())
    workshop.supervisor.stop(["worker"], ["api"])
    assert (workshop.folder / "order").read_text().split() == ["worker", "api", "redis"]


def test_what_ignores_the_request_is_killed_with_its_children(workshop: Workshop) -> None:
    program = (
        "import os, signal, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = os.fork()\n"
        "if child: print('child', child, flush=True)\n"
        "time.sleep(600)"
    )
    process = workshop.start("stubborn", program, grace_s=0.3)
    until(lambda: "child" in process.tail())
    child, parent = int(process.tail().split()[-1]), process.pid
    assert parent is not None
    begun = time.monotonic()
    workshop.supervisor.stop()
    assert time.monotonic() - begun > 0.2
    until(lambda: not alive(child) and not alive(parent))


def test_kill_9_of_the_supervisor_ends_its_parts(tmp_path: Path) -> None:
    program = f"""
import sys, time
from pathlib import Path
sys.path.insert(0, {str(Path(__file__).parents[3])!r})
from farm.process import Part
from farm.supervisor import Supervisor
supervisor = Supervisor(print)
supervisor.start(Part("sleeper", [sys.executable, "-I", "-S", "-c", {SLEEP!r}], {{}}, Path({str(tmp_path)!r}) / "log"))
print(supervisor.processes["sleeper"].pid, flush=True)
time.sleep(600)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True) as owner:
        assert owner.stdout is not None
        pid = int(owner.stdout.readline())
        until(lambda: "up" in (tmp_path / "log").read_text())
        assert alive(pid)
        owner.send_signal(signal.SIGKILL)
    until(lambda: not alive(pid))

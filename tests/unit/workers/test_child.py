"""Real children of the real warm parent: how each of their ends is told."""

from __future__ import annotations

import multiprocessing.forkserver
import os
import signal
import socket
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from contract.backends_models import convolution, order, write
from unit.workers import misbehaving

from enginehouse.states import Phase
from sandbox import members
from workers.child.entry import main
from workers.child.parent import start, warm_up
from workers.child.watch import Outcome, Stop, Watch
from workers.cores import alone, core_files

ROOT = Path(__file__).resolve().parents[3]


class Run:
    """A child under watch in a thread."""

    def __init__(
        self, target: Any, *arguments: Any, method: Any = "fork", time_s: float = 60, memory_mb: int = 4096,
        cores: tuple[Path, ...] = (),
    ):  # fmt: skip
        self.lines: list[str] = []
        self.phases: list[Phase] = []
        self.child = start(method, target, *arguments, memory_mb)
        self.group = self.child.group
        self.watch = Watch(
            self.child,
            deadline=time.monotonic() + time_s,
            memory_bytes=memory_mb << 20,
            grace_s=0.3,
            entered=self.phases.append,
            line=self.lines.append,
            cores=cores,
        )
        self.outcome: Outcome | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.outcome = self.watch.run()

    def end(self) -> Outcome:
        self.thread.join(60)
        assert self.outcome is not None
        assert self.outcome.left == []
        assert members(self.group) == []
        return self.outcome

    def until_said(self, text: str, times: int = 1) -> None:
        until = time.monotonic() + 30
        while self.lines.count(text) < times:
            assert time.monotonic() < until, self.lines
            time.sleep(0.01)


@pytest.fixture(scope="module", autouse=True)
def _secrets() -> Any:
    patch = pytest.MonkeyPatch()
    patch.setenv("ENGINEHOUSE_TOKEN", "hunter2")
    patch.setenv("ENGINEHOUSE_BROKER_URL", "redis://:hunter2@localhost")
    patch.setenv("AWS_SECRET_ACCESS_KEY", "hunter2")
    patch.setenv("SOME_FUTURE_PASSWORD", "hunter2")
    warm_up()
    assert os.environ["ENGINEHOUSE_TOKEN"] == "hunter2"
    yield
    patch.undo()


@pytest.mark.parametrize("method", ["fork", "exec"])
@pytest.mark.parametrize("target", ["openvino:fp16", "onnxruntime:fp32"])
def test_a_build_succeeds(target: str, method: str, tmp_path: Path) -> None:
    cores = core_files(folder=tmp_path)
    told = order(write(convolution(), tmp_path / "model"), target, tmp_path)
    told = told.model_copy(update={"memory": True, "cores": cores})
    run = Run(main, told.model_dump_json(), method=method, cores=cores)
    outcome = run.end()
    assert outcome.failure is None, (outcome.failure, run.lines)
    assert outcome.waited_s == 0  # nobody stands still for its own timing
    assert outcome.built is not None
    assert outcome.built.report.verification is not None
    assert outcome.built.report.verification.agrees
    benchmark = outcome.built.report.benchmark
    assert benchmark is not None
    assert benchmark.conditions is not None
    assert benchmark.conditions.alone
    assert benchmark.artifact.memory_mb is not None
    assert benchmark.baseline.memory_mb is not None
    assert run.phases[0] is Phase.IMPORT
    assert run.phases[-1] is Phase.PACKAGE
    assert any(line.startswith("p50 ") for line in run.lines)
    assert (tmp_path / "bundle" / outcome.built.manifest.entry).exists()


def test_the_warm_parent_is_one_thread_and_knows_the_toolchains(tmp_path: Path) -> None:
    (tmp_path / "port").write_text("1")
    outcome = Run(misbehaving.look_around, str(tmp_path)).end()
    assert outcome.failure is not None
    seen = outcome.failure.where
    assert seen["threads"] == "1"
    assert seen["toolchains"] == "['onnx', 'onnxruntime', 'openvino']"
    assert seen["celery"] == "False"
    assert seen["telemetry"] == "None"  # cannot be imported: OpenVINO has taken its stub
    server: Any = multiprocessing.forkserver._forkserver
    assert len(list(Path(f"/proc/{server._forkserver_pid}/task").iterdir())) == 1


@pytest.mark.parametrize("method", ["fork", "exec"])
def test_a_child_sees_no_secrets_and_no_network(method: str, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        (tmp_path / "port").write_text(str(server.getsockname()[1]))
        outcome = Run(misbehaving.look_around, str(tmp_path), method=method).end()
    assert outcome.failure is not None
    seen = outcome.failure.where
    assert "PATH" in seen["environment"]
    assert "hunter2" not in seen["environment"]
    assert seen["network"] == "PermissionError"
    assert seen["cwd"] == str(tmp_path)
    for process in ("parent", "agent"):
        assert "hunter2" not in seen[f"{process}_environment"]


def test_everything_that_is_written_becomes_lines(tmp_path: Path) -> None:
    run = Run(misbehaving.speak, str(tmp_path))
    outcome = run.end()
    assert outcome.failure is not None
    assert outcome.failure.detail == "spoke"
    assert run.phases == [Phase.IMPORT, Phase.PACKAGE]
    assert run.lines[:4] == ["from Python", "[31mred \\udcff bell[0m", "from C \ufffd\ufffd", "from stderr"]
    assert [len(line) for line in run.lines[4:7]] == [8192, 8192, 20_000 - 2 * 8192]
    assert run.lines[-1] == "no line end"


def test_a_fault_names_its_signal(tmp_path: Path) -> None:
    run = Run(misbehaving.crash, str(tmp_path))
    failure = run.end().failure
    assert failure is not None
    assert (failure.code, failure.where["signal"]) == ("build.crashed", "SIGSEGV")
    assert "about to crash" in run.lines
    assert any("Segmentation fault" in line for line in run.lines)


def test_a_disk_without_space_is_the_workers_fault_whatever_was_made_of_it(tmp_path: Path) -> None:
    run = Run(misbehaving.run_out, str(tmp_path))
    failure = run.end().failure
    assert failure is not None
    assert (failure.code, failure.retried) == ("farm.worker_disk_full", True)
    assert any("No space left on device" in line for line in run.lines)


def test_a_kill_from_elsewhere_names_its_signal(tmp_path: Path) -> None:
    failure = Run(misbehaving.kill_itself, str(tmp_path)).end().failure
    assert failure is not None
    assert (failure.code, failure.where["signal"]) == ("build.crashed", "SIGKILL")


def test_an_exit_without_an_answer_is_a_crash(tmp_path: Path) -> None:
    failure = Run(misbehaving.leave, str(tmp_path)).end().failure
    assert failure is not None
    assert failure.code == "build.crashed"
    assert "code 3" in failure.detail


def test_time_runs_out(tmp_path: Path) -> None:
    began = time.monotonic()
    failure = Run(misbehaving.hang, str(tmp_path), time_s=0.5).end().failure
    assert failure is not None
    assert failure.code == "build.time_exceeded"
    assert time.monotonic() - began >= 0.5


def test_time_does_not_run_out_while_another_build_is_timed(tmp_path: Path) -> None:
    cores = core_files([0], tmp_path)
    with alone(cores, 0):
        run = Run(misbehaving.hang, str(tmp_path), time_s=0.5, cores=cores)
        run.thread.join(2)
        assert run.outcome is None  # it stands still, and its time does too
    failure = run.end().failure
    assert failure is not None
    assert failure.code == "build.time_exceeded"
    assert run.outcome is not None
    assert run.outcome.waited_s > 1


def test_what_stands_still_is_stopped_all_the_same(tmp_path: Path) -> None:
    cores = core_files([0], tmp_path)
    run = Run(misbehaving.hang, str(tmp_path), cores=cores)
    run.until_said("hanging")
    with alone(cores, 0):
        run.watch.stop_for(Stop.CANCEL)
        assert run.end().stopped is Stop.CANCEL


def test_memory_runs_out(tmp_path: Path) -> None:
    failure = Run(misbehaving.eat, str(tmp_path), memory_mb=400).end().failure
    assert failure is not None
    assert failure.code == "build.memory_exceeded"
    assert failure.where["used_mb"] >= failure.where["limit_mb"] == 400


@pytest.mark.parametrize("how", [misbehaving.eat_at_once, misbehaving.bad_alloc])
def test_a_failed_allocation_is_memory_too(how: Any, tmp_path: Path) -> None:
    failure = Run(how, str(tmp_path), memory_mb=400).end().failure
    assert failure is not None
    assert failure.code == "build.memory_exceeded"


@pytest.mark.parametrize("reason", list(Stop))
def test_a_stop_takes_the_whole_family(reason: Stop, tmp_path: Path) -> None:
    run = Run(misbehaving.family, str(tmp_path))
    run.until_said("up", times=2)
    assert len(members(run.group)) == 3
    run.watch.stop_for(reason)
    run.watch.stop_for(Stop.DROP)  # the first reason counts
    outcome = run.end()
    assert outcome.stopped is reason


def test_nobody_stays_behind_a_child_that_has_ended(tmp_path: Path) -> None:
    run = Run(misbehaving.orphan, str(tmp_path))
    failure = run.end().failure
    assert failure is not None
    assert failure.detail == "gone"


@pytest.mark.parametrize("target", [misbehaving.garbage, misbehaving.pickled])
def test_what_is_no_message_ends_the_build(target: Any, tmp_path: Path) -> None:
    run = Run(target, str(tmp_path), time_s=5)
    failure = run.end().failure
    assert failure is not None
    assert failure.code in ("farm.internal", "build.time_exceeded")
    with pytest.raises(ProcessLookupError):  # though it never came to lead a group
        os.kill(run.group, 0)


def test_a_killed_agent_takes_its_children_along(tmp_path: Path) -> None:
    code = textwrap.dedent(
        f"""
        import sys, time
        sys.path.insert(0, {str(ROOT / "tests")!r})
        from unit.workers import misbehaving
        from workers.child.parent import start, warm_up
        if __name__ == "__main__":
            warm_up()
            child = start("fork", misbehaving.hang, {str(tmp_path)!r}, 4096)
            import os
            os.read(child.log.fileno(), 8)
            print(child.group, flush=True)
            time.sleep(600)
        """
    )
    script = tmp_path / "agent.py"
    script.write_text(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, script], stdout=subprocess.PIPE, env=environment, cwd=ROOT) as agent:
        assert agent.stdout is not None
        group = int(agent.stdout.readline())
        assert members(group)
        agent.send_signal(signal.SIGKILL)
    began = time.monotonic()
    while members(group) and time.monotonic() < began + 60:
        time.sleep(0.02)
    assert members(group) == []

"""Builds as the worker runs them: confined processes, a warm timing cache, a killed build."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from contract.backends_models import order, write
from gpu.support import Built, wide

from enginehouse.states import Phase
from workers.backends import get
from workers.backends.kept import Kept
from workers.child.entry import main
from workers.child.parent import start
from workers.child.watch import Outcome, Stop, Watch
from workers.probe.nvidia import Card, cards

Build = Callable[..., Built]


class Child:
    """A build in a process of its own, under watch."""

    def __init__(self, told: Any, card: Card) -> None:
        self.lines: list[str] = []
        self.phases: list[Phase] = []
        child = start("exec", main, told.model_copy(update={"gpu": card.uuid}).model_dump_json(), 16384)
        self.watch = Watch(
            child,
            deadline=time.monotonic() + 600,
            memory_bytes=16384 << 20,
            grace_s=1.0,
            entered=self.phases.append,
            line=self.lines.append,
        )
        self.outcome: Outcome | None = None
        self.thread = threading.Thread(target=self._run)
        self.thread.start()

    def _run(self) -> None:
        self.outcome = self.watch.run()

    def end(self) -> Outcome:
        self.thread.join(600)
        assert self.outcome is not None
        assert self.outcome.left == []
        return self.outcome

    def until(self, phase: Phase) -> None:
        until = time.monotonic() + 120
        while phase not in self.phases:
            assert time.monotonic() < until, self.lines
            assert self.thread.is_alive(), self.lines
            time.sleep(0.01)


def used_mb() -> int:
    """GPU memory in use, by everybody."""
    import pynvml

    pynvml.nvmlInit()
    handle = pynvml.nvmlDeviceGetHandleByIndex(0)
    used = int(pynvml.nvmlDeviceGetMemoryInfo(handle).used) // 2**20
    pynvml.nvmlShutdown()
    return used


@pytest.fixture
def card() -> Card:
    return cards()[0]


def test_a_confined_build_succeeds(card: Card, tmp_path: Path) -> None:
    told = order(write(wide(), tmp_path / "in"), "tensorrt:fp16", tmp_path / "work")
    child = Child(told, card)
    outcome = child.end()
    assert outcome.failure is None, (outcome.failure, child.lines)
    assert outcome.built is not None
    assert outcome.built.report.verification is not None
    assert outcome.built.report.verification.agrees
    assert child.phases[-1] is Phase.PACKAGE
    assert Kept(told.work).new.stat().st_size > 0


def test_a_killed_build_leaves_nothing_on_the_gpu_and_the_next_one_succeeds(card: Card, tmp_path: Path) -> None:
    before = used_mb()
    options = {"optimization_level": 5, "timing_cache": False}
    told = order(write(wide(), tmp_path / "in"), "tensorrt:fp16", tmp_path / "killed", options=options)
    child = Child(told, card)
    child.until(Phase.PREPARE)
    time.sleep(3)  # in the middle of timing kernels
    began = time.monotonic()
    child.watch.stop_for(Stop.CANCEL)
    outcome = child.end()
    assert outcome.stopped is Stop.CANCEL, child.lines
    assert time.monotonic() - began < 10
    until = time.monotonic() + 20
    while used_mb() > before + 64 and time.monotonic() < until:
        time.sleep(0.1)
    assert used_mb() <= before + 64
    told = order(write(wide(), tmp_path / "in"), "tensorrt:fp16", tmp_path / "again")
    again = Child(told, card)
    assert again.end().built is not None, again.lines


def test_a_warm_timing_cache_makes_the_next_build_quicker(build: Build, tmp_path: Path) -> None:
    def prepare(built: Built) -> float:
        return next(one.seconds for one in built.report.phases if one.phase is Phase.PREPARE)

    plain: dict[str, Any] = {"verify": False, "benchmark": False}
    cold = build(wide(), "fp16", work=tmp_path / "cold", **plain)
    new = Kept(cold.order.work).new
    assert new.stat().st_size > 0
    warm_work = tmp_path / "warm" / "work"
    warm_work.mkdir(parents=True)
    Kept(warm_work).farm.write_bytes(new.read_bytes())
    warm = build(wide(), "fp16", work=tmp_path / "warm", **plain)
    print(f"cold {prepare(cold):.2f} s, warm {prepare(warm):.2f} s")  # noqa: T201 - the number is wanted
    assert prepare(warm) < prepare(cold)
    assert warm.notes("dropped") == []


def test_two_caches_are_merged_and_what_is_no_cache_is_dropped_with_a_note(build: Build, tmp_path: Path) -> None:
    plain: dict[str, Any] = {"verify": False, "benchmark": False}
    left = build(wide(), "fp16", work=tmp_path / "left", **plain)
    right = build(wide(), "fp32", work=tmp_path / "right", **plain)
    both_work = tmp_path / "both" / "work"
    both_work.mkdir(parents=True)
    Kept(both_work).farm.write_bytes(Kept(left.order.work).new.read_bytes())
    Kept(both_work).own.write_bytes(Kept(right.order.work).new.read_bytes())
    both = build(wide(), "fp16", work=tmp_path / "both", **plain)
    assert both.notes("dropped") == []
    assert Kept(both.order.work).new.stat().st_size > Kept(left.order.work).new.stat().st_size

    odd_work = tmp_path / "odd" / "work"
    odd_work.mkdir(parents=True)
    Kept(odd_work).farm.write_bytes(b"this is no timing cache" * 100)
    odd = build(wide(), "fp16", work=tmp_path / "odd", **plain)
    assert odd.notes("dropped")
    assert Kept(odd.order.work).new.stat().st_size > 0


def test_without_the_option_no_timings_are_kept(build: Build) -> None:
    built = build(wide(), "fp16", options={"timing_cache": False}, verify=False, benchmark=False)
    assert not Kept(built.order.work).new.exists()


@pytest.mark.parametrize("precision", ["fp32", "fp16", "bf16", "int8", "fp8"])
def test_the_script_in_the_bundle_repeats_the_build(
    precision: str, build: Build, tmp_path: Path, precisions: tuple[str, ...]
) -> None:
    if precision not in precisions:
        pytest.skip(f"the GPU here has no {precision}")
    options = {"calibration": "generated", "prune": "2:4"}
    built = build(wide(), precision, options=options, verify=False, benchmark=False)
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "model.onnx").write_bytes(built.order.model.read_bytes())
    script = folder / "reproduce.py"
    script.write_text((built.saved.folder / "reproduce.py").read_text())
    done = subprocess.run(
        [sys.executable, script], cwd=folder, capture_output=True, text=True, timeout=600, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "model.engine").stat().st_size > 0


def test_the_worker_announces_what_the_gpu_has() -> None:
    from workers.probe import probe

    found = probe()
    assert "nvidia-gpu" in found.hardware.tags
    (mine,) = [one for one in found.capabilities if one.backend == "tensorrt"]
    assert mine.tags == ["nvidia-gpu"]
    assert mine.bounds
    assert mine.precisions == list(get("tensorrt").offered())


def test_a_gpu_that_runs_out_of_memory_says_so() -> None:
    from workers.backends.tensorrt.device import Buffer, CudaError

    with pytest.raises(CudaError, match="out of memory"):
        Buffer().reserve(2**50)

"""How outputs are judged, and how timings are."""

from __future__ import annotations

import math
import os
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from enginehouse.targets import Precision
from workers.pipeline.compare import Comparison, tolerance
from workers.pipeline.machine import Cores, CpuTime, cpu_time, others_share
from workers.pipeline.measure import disturbances

FP32, FP16 = tolerance(Precision.FP32), tolerance(Precision.FP16)
RAMP = np.linspace(-1, 1, 1000, dtype=np.float32)


def compared(artifact: np.ndarray | None, reference: np.ndarray) -> Comparison:
    comparison = Comparison("y")
    comparison.add(artifact, reference)
    return comparison


@given(hnp.arrays(np.float32, st.integers(1, 50), elements=st.floats(-1e6, 1e6, width=32)))
def test_equal_outputs_agree(array: np.ndarray) -> None:
    verdict = compared(array.copy(), array).verdict(FP32)
    assert verdict.agrees
    assert verdict.max_abs_error == 0
    assert verdict.cosine == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("relative", "fp32", "fp16"),
    [(1e-6, True, True), (5e-4, True, True), (5e-3, False, True), (2e-2, False, True), (8e-2, False, False)],
)
def test_how_far_is_too_far(relative: float, fp32: bool, fp16: bool) -> None:
    moved = RAMP.copy()
    moved[500] += relative
    comparison = compared(moved, RAMP)
    assert comparison.verdict(FP32).agrees is fp32
    assert comparison.verdict(FP16).agrees is fp16


def test_noise_near_nothing_has_no_direction() -> None:
    tiny = np.array([1e-9, -1e-9], np.float32)
    assert compared(-tiny, tiny).verdict(FP32).agrees


def test_not_a_number_is_counted_and_disagrees() -> None:
    broken = RAMP.copy()
    broken[:3] = [np.nan, np.inf, -np.inf]
    verdict = compared(broken, RAMP).verdict(FP16)
    assert (verdict.nonfinite, verdict.agrees) == (3, False)
    assert verdict.max_abs_error is not None
    assert math.isfinite(verdict.max_abs_error)


def test_infinities_of_the_source_are_no_fault_when_they_are_the_same() -> None:
    source = np.array([np.inf, np.nan, 1], np.float32)
    assert compared(source.copy(), source).verdict(FP32).agrees
    assert not compared(np.array([0, np.nan, 1], np.float32), source).verdict(FP32).agrees


def test_integers_are_compared_by_share() -> None:
    reference = np.arange(1000)
    artifact = reference.copy()
    artifact[:10] = -1
    verdict = compared(artifact, reference).verdict(FP16)
    assert (verdict.equal_share, verdict.max_abs_error, verdict.agrees) == (0.99, None, True)
    assert not compared(artifact, reference).verdict(FP32).agrees


@pytest.mark.parametrize("artifact", [None, np.zeros((2, 3), np.float32)])
def test_a_missing_output_or_another_shape_disagrees(artifact: np.ndarray | None) -> None:
    verdict = compared(artifact, np.zeros((3, 2), np.float32)).verdict(FP16)
    assert not verdict.agrees
    assert verdict.max_abs_error is None


def test_all_samples_count() -> None:
    comparison = compared(RAMP, RAMP)
    comparison.add(-RAMP, RAMP)
    verdict = comparison.verdict(FP32)
    assert verdict.cosine == pytest.approx(-1)
    assert not verdict.agrees


def test_a_small_output_is_held_to_its_own_scale() -> None:
    """A softmax over thousands of classes has no element above 1e-3; that must not make every answer right."""
    true = np.full(5000, 2e-4, np.float32)
    true[7] = 9e-4
    other = np.roll(true, 11)
    assert not compared(other, true).verdict(FP16).agrees
    assert compared(true * np.float32(1.001), true).verdict(FP16).agrees


@pytest.mark.parametrize(
    ("mine", "theirs", "others", "says"),
    [
        ([1.0] * 20, [2.0] * 20, 0.05, []),
        ([1.0] * 20, [2.0] * 20, 0.30, ["other processes took 30% of the cores"]),
        ([1.0] * 10 + [1.3] * 10, [2.0] * 20, 0, ["the artifact's halves are 30% apart"]),
        ([1.0] * 20, [2.0] * 10 + [1.0] * 10, 0, ["the baseline's halves are 100% apart"]),
    ],
)
def test_what_disturbs_a_benchmark(mine: list[float], theirs: list[float], others: float, says: list[str]) -> None:
    assert disturbances(mine, theirs, others) == says


def test_others_share() -> None:
    before, after = CpuTime(100, 10, 0), CpuTime(104, 12, 2)
    assert others_share(before, after, cores=2) == 0.5
    assert others_share(before, CpuTime(102, 12, 2), cores=2) == 0
    begin = cpu_time(sorted(os.sched_getaffinity(0)))
    sum(range(2_000_000))
    end = cpu_time(sorted(os.sched_getaffinity(0)))
    assert end.own_s >= begin.own_s
    assert end.all_s >= begin.all_s


def test_a_benchmark_has_the_cores_alone(tmp_path: Path) -> None:
    lock = tmp_path / "cores.lock"
    lock.touch()
    order: list[str] = []

    def other() -> None:
        with Cores(lock):  # another build that works
            order.append("other works")
            time.sleep(0.3)
            order.append("other ends")

    with Cores(lock) as mine:
        thread = threading.Thread(target=other)
        thread.start()
        while not order:
            time.sleep(0.01)
        with mine.alone(0.05) as alone:
            assert not alone  # in vain: it is told, and marked in the report
        with mine.alone(5) as alone:
            assert alone
            order.append("timed alone")
            late = threading.Thread(target=other)
            late.start()
            time.sleep(0.2)
            assert order[-1] == "timed alone"
        late.join(5)
        thread.join(5)
    assert order == ["other works", "other ends", "timed alone", "other works", "other ends"]


def test_two_benchmarks_wait_for_each_other_and_not_for_ever(tmp_path: Path) -> None:
    lock = tmp_path / "cores.lock"
    lock.touch()
    inside: list[int] = []
    most: list[int] = []

    def build(number: int) -> None:
        with Cores(lock) as cores:
            time.sleep(0.05)
            with cores.alone(10) as alone:
                assert alone
                inside.append(number)
                most.append(len(inside))
                time.sleep(0.1)
                inside.remove(number)

    threads = [threading.Thread(target=build, args=(n,)) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert most == [1, 1, 1]


def test_one_slot_needs_no_lock() -> None:
    with Cores(None) as cores, cores.alone(0) as alone:
        assert alone

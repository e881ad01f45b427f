"""How outputs are judged, and how timings are."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from enginehouse.targets import Precision
from workers.pipeline.compare import Comparison, tolerance

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
    [(1e-6, True, True), (5e-4, True, True), (5e-3, False, True), (8e-2, False, True), (3e-1, False, False)],
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


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_numbers_whose_squares_no_double_holds_are_judged_too() -> None:
    huge = np.array([1e300, -3e299, 2e298])
    assert compared(huge.copy(), huge).verdict(FP16).agrees
    assert not compared(-huge, huge).verdict(FP16).agrees
    assert not compared(np.full(3, np.inf), huge).verdict(FP16).agrees

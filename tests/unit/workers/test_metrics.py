"""Numbers about outputs against values worked out by hand, and sample by sample against all at once."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from enginehouse.targets import Precision
from workers.pipeline.compare import Comparison, tolerance
from workers.pipeline.moments import EQUAL_DB, Moments, decibels
from workers.pipeline.task import Hits, row, scored

FP32, FP16, BF16, INT8 = (tolerance(one) for one in (Precision.FP32, Precision.FP16, Precision.BF16, Precision.INT8))
ROWS = st.integers(1, 6)


def compared(*pairs: tuple[object, object]) -> Comparison:
    comparison = Comparison("y")
    for mine, true in pairs:
        comparison.add(np.asarray(mine, np.float32), np.asarray(true, np.float32))
    return comparison


def test_errors_by_hand():
    found = compared(([1, 2, 3, 5], [1, 2, 3, 4]), ([-1, -2, -3, -4], [-1, -2, -3, -4])).verdict(INT8)
    assert (found.max_abs_error, found.max_rel_error, found.mean_abs_error) == (1.0, 0.25, 1 / 8)
    # mean 0, so the signal is 60/8; the noise 1/8
    assert found.sqnr_db == pytest.approx(10 * math.log10(60), abs=1e-3)
    # the first sample alone has the noise 1/4
    assert found.worst_sample_db == pytest.approx(10 * math.log10(30), abs=1e-3)
    assert found.cosine == pytest.approx((1 + 4 + 9 + 20) / math.sqrt(30 * 39))


def test_an_offset_is_no_signal():
    """Values near 100 that differ by 1: an error of 1 is an error of all that they tell."""
    true = 100 + np.array([1, -1, 1, -1], np.float32)
    found = compared((true[::-1], true))
    assert found.signal.power == pytest.approx((0.1 * math.sqrt(10001)) ** 2)
    assert found.sqnr_db == pytest.approx(10 * math.log10(found.signal.power / 4), abs=1e-6)
    assert not found.verdict(FP16).agrees
    assert found.verdict(FP16).cosine > 0.999  # which is why the cosine decides nothing


def test_shares_of_what_is_not_finite():
    found = compared(([1, np.nan, np.inf, 4], [1, 2, 3, np.inf])).verdict(FP32)
    assert (found.nonfinite, found.nonfinite_share, found.source_nonfinite_share) == (2, 0.5, 0.25)
    assert not found.agrees
    assert any("NaN or Inf" in one for one in found.missed)


def test_agreement_of_classes_by_hand():
    true = [[0.7, 0.2, 0.1], [0.4, 0.35, 0.25], [0.1, 0.1, 0.8]]
    mine = [[0.6, 0.3, 0.1], [0.35, 0.4, 0.25], [0.1, 0.2, 0.7]]
    found = compared((mine, true)).verdict(INT8)
    assert found.top1_agreement == pytest.approx(2 / 3)
    assert found.top5_agreement is None
    # margins 0.5, 0.05 and 0.7; the second row is the one that differs
    assert found.decided_agreement == pytest.approx(1.2 / 1.25, abs=1e-6)


def test_the_five_best():
    true = np.eye(8, dtype=np.float32)[[0, 1]] * 10
    mine = true.copy()
    mine[0, 1:5] = 11  # the best is fifth
    mine[1, [0, 2, 3, 4, 5]] = 11  # the best is sixth
    found = compared((mine, true)).verdict(INT8)
    assert (found.top1_agreement, found.top5_agreement) == (0.0, 0.5)


@pytest.mark.parametrize(
    ("shape", "values", "scores"),
    [((4, 10), "logits", True), ((4, 2), "logits", False), ((1, 8, 10), "logits", False), ((10,), "logits", False),
     ((1, 8, 10), "probabilities", True), ((4, 2), "probabilities", True), ((1, 1, 8, 8), "logits", False)],
)  # fmt: skip
def test_what_counts_as_scores_of_classes(shape: tuple[int, ...], values: str, scores: bool):
    true = np.random.default_rng(0).random(shape)
    if values == "probabilities":
        true /= true.sum(axis=-1, keepdims=True)
    assert (compared((true, true)).verdict(FP32).top1_agreement is not None) is scores


def test_a_decided_class_that_changes_is_caught_and_an_undecided_one_is_not():
    true = np.full((100, 4), 0.01, np.float32)
    true[:, 0] = 0.97
    mine = true.copy()
    mine[:6, [0, 1]] = mine[:6, [1, 0]]
    assert any("decided" in one for one in compared((mine, true)).misses(INT8))
    even = np.full((100, 4), 0.25, np.float32)
    even[:, 0] += 1e-4
    other = np.roll(even, 1, axis=1)
    found = compared((other, even), (true, true))
    assert found.ranking.top1 == 0.5
    assert not found.misses(INT8)


@pytest.mark.parametrize(("margin", "caught"), [(0.01, False), (0.03, True)])
def test_one_change_among_few_rows_counts_where_noise_does_not_explain_it(margin: float, caught: bool):
    true = np.array([[0.9, 0.1], [0.2, 0.8], [0.5 + margin / 2, 0.5 - margin / 2]], np.float32)
    mine = true.copy()
    mine[2] = mine[2, ::-1]
    found = compared((mine, true))
    assert found.ranking.decided < FP16.decided
    assert bool(found.misses(FP16)) is caught, found.misses(FP16)


def test_one_broken_sample_among_many_is_caught():
    random = np.random.default_rng(0)
    samples = random.standard_normal((64, 100)).astype(np.float32)
    pairs = [(one, one) for one in samples]
    pairs[7] = (np.zeros(100), samples[7])
    found = compared(*pairs)
    assert found.sqnr_db > INT8.sqnr_db
    assert any("worst sample" in one for one in found.misses(INT8))


def test_noise_on_an_empty_sample_counts_by_the_others():
    """A detector's map of a picture with nothing in it is noise; its cosine says nothing."""
    full = np.zeros((1, 1, 32, 32), np.float32)
    full[..., 8:24, 8:24] = 0.9
    empty = np.full((1, 1, 32, 32), 1e-4, np.float32)
    noise = np.random.default_rng(0).normal(0, 2e-3, empty.shape)
    found = compared((full, full), (empty + noise, empty)).verdict(BF16)
    assert found.cosine < 0.5
    assert found.agrees, found.missed


@given(st.data())
def test_sample_by_sample_is_all_at_once(data: st.DataObject):
    count = data.draw(ROWS)
    values = hnp.arrays(np.float32, (count, 3, 7), elements=st.floats(-1e3, 1e3, width=32))
    true, mine = data.draw(values), data.draw(values)
    one_by_one = compared(*zip(mine, true, strict=True))
    at_once = compared((mine.reshape(-1, 7), true.reshape(-1, 7)))
    a, b = one_by_one.verdict(INT8), at_once.verdict(INT8)
    for name in ("max_abs_error", "max_rel_error", "mean_abs_error", "top1_agreement", "top5_agreement"):
        assert getattr(a, name) == pytest.approx(getattr(b, name), rel=1e-9), name
    assert a.sqnr_db == pytest.approx(b.sqnr_db, abs=1e-2)
    assert a.worst_sample_db is not None
    assert a.worst_sample_db <= (a.sqnr_db or 0) + 1e-3


@given(hnp.arrays(np.float64, st.tuples(ROWS, ROWS), elements=st.floats(-1e6, 1e6)))
def test_moments_are_those_of_all_values(values: np.ndarray):
    found = Moments()
    for one in values:
        found.add(one)
    scale = max(1.0, float(np.abs(values).max())) ** 2
    assert found.count == values.size
    assert found.mean == pytest.approx(values.mean(), abs=1e-9 * scale)
    assert found.variation / found.count == pytest.approx(values.var(), abs=1e-9 * scale)
    assert (found.lowest, found.highest) == (values.min(), values.max())


def test_decibels_have_ends():
    assert decibels(1.0, 0.0) == EQUAL_DB == decibels(0.0, 0.0)
    assert decibels(0.0, 1.0) == -EQUAL_DB
    assert decibels(100.0, 1.0) == pytest.approx(20.0)


def test_hits_by_hand():
    scores = np.array([[0.1, 0.9, 0.0], [0.5, 0.2, 0.3], [0.3, 0.3, 0.4]])
    found = Hits("y")
    found.add(scores, np.array([1, 2, -1]))
    assert (found.rows, found.first, found.within) == (2, 1, 2)
    found.add(np.array([[1.0, 1.0]]), np.array([1]))  # a tie is the lower number's
    assert (found.rows, found.first) == (3, 1)
    found.add(np.array([[np.nan, 1.0]]), np.array([1]))
    assert (found.rows, found.first, found.within) == (4, 1, 3)


@pytest.mark.parametrize(
    ("shapes", "labels", "found"),
    [({"y": (1, 10)}, np.arange(4), "y"), ({"y": (1, 5, 10)}, np.zeros((4, 5), np.int64), "y"),
     ({"y": (1, 10), "z": (1, 12)}, np.arange(4), None), ({"y": (1, 10)}, np.array([10]), None),
     ({"y": (1, 10)}, np.zeros(4, np.float32), None), ({"y": (1, 10), "box": (1, 4)}, np.array([9, 4]), "y")],
)  # fmt: skip
def test_the_output_that_the_labels_name(shapes: dict[str, tuple[int, ...]], labels: np.ndarray, found: str | None):
    assert scored({name: np.zeros(shape, np.float32) for name, shape in shapes.items()}, labels) == found


def test_a_loss_is_what_is_worse():
    up, down = row("a", 0.8, 0.6, 10), row("b", 2.0, 3.0, 10, higher_is_better=False)
    assert (up.loss, up.relative_loss) == (pytest.approx(0.2), pytest.approx(0.25))
    assert (down.loss, down.relative_loss) == (1.0, 0.5)
    assert row("c", 0.0, 1.0, 1).relative_loss is None

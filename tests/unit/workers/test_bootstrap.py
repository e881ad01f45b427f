"""Intervals on data whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.pipeline.bootstrap import drawn_medians, intervals

TIME = st.floats(1e-6, 10.0)


def run(truth: float, seed: int, pairs: int = 30, size: int = 10) -> tuple[list[list[float]], list[list[float]]]:
    """Two sides whose medians are 1 and ``truth``, with noise and a mood that both blocks of a pair share."""
    random = np.random.default_rng(seed)
    mood = np.exp(random.normal(0, 0.1, (pairs, 1)))
    mine = mood * np.exp(random.normal(0, 0.05, (pairs, size)))
    theirs = truth * mood * np.exp(random.normal(0, 0.05, (pairs, size)))
    return mine.tolist(), theirs.tolist()


def test_the_true_ratio_is_in_about_95_of_100_intervals() -> None:
    inside = 0
    for seed in range(100):
        found = intervals(*run(1.5, seed), seed=seed).ratio
        inside += found.low <= 1.5 <= found.high
    assert 0.86 <= inside / 100 <= 1.0


def test_the_true_median_is_in_about_95_of_100_intervals() -> None:
    inside = 0
    for seed in range(100):
        found = intervals(*run(1.5, seed), seed=seed)
        inside += found.mine.low <= 1.0 <= found.mine.high
        inside += found.theirs.low <= 1.5 <= found.theirs.high
    assert 0.88 <= inside / 200 <= 1.0


def test_two_runs_of_the_same_overlap_and_those_of_another_do_not() -> None:
    first, again, other = (intervals(*run(truth, seed), seed=0).ratio for truth, seed in [(1, 1), (1, 2), (1.3, 3)])
    assert first.low <= again.high
    assert again.low <= first.high
    assert first.high < other.low


def test_more_pairs_narrow_the_interval() -> None:
    few, many = (intervals(*run(1.5, 1, pairs=pairs), seed=0).ratio for pairs in (8, 200))
    assert many.high - many.low < (few.high - few.low) / 2


def test_a_seed_gives_the_same_interval_again() -> None:
    assert intervals(*run(2, 1), seed=7) == intervals(*run(2, 1), seed=7)
    assert intervals(*run(2, 1), seed=7) != intervals(*run(2, 1), seed=8)


def test_pairs_are_drawn_together() -> None:
    moods = [1.0, 1.0, 10.0, 10.0, 100.0]
    found = intervals([[mood] for mood in moods], [[2 * mood] for mood in moods], seed=0)
    assert (found.ratio.low, found.ratio.high) == (2.0, 2.0)
    assert found.mine.low < found.mine.high
    with pytest.raises(ValueError, match="no pairs"):
        intervals([[1.0]], [[1.0], [2.0]], seed=0)


@given(st.lists(st.lists(TIME, min_size=1, max_size=5), min_size=1, max_size=6), st.data())
def test_a_drawn_median_is_numpys(blocks: list[list[float]], data: st.DataObject) -> None:
    draw = data.draw(st.lists(st.integers(0, 3), min_size=len(blocks), max_size=len(blocks)).filter(any))
    pooled = [time for block, times in zip(blocks, draw, strict=True) for time in block * times]
    assert drawn_medians(blocks, np.array([draw]))[0] == pytest.approx(np.median(pooled))

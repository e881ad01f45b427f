"""The warm-up: when latencies are steady, and that there is an end to it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, repeat

import numpy as np
import pytest

from workers.pipeline.steady import FEWEST, MOST, steady, warm_up, window


def series(times: Iterable[float]) -> Callable[[], float]:
    following: Iterator[float] = iter(times)
    return lambda: next(following)


def test_a_flat_series_is_steady_after_two_windows() -> None:
    done = warm_up(series(repeat(0.01)), 3.0)
    assert (done.count, done.steady, done.estimate_s) == (1 + 2 * 5, True, 0.01)


def test_the_first_inference_counts_for_nothing() -> None:
    done = warm_up(series(chain([9.0], repeat(0.01))), 3.0)
    assert done.steady
    assert done.estimate_s == 0.01


def test_what_gets_faster_is_awaited() -> None:
    falling = [0.05 * 0.9**n for n in range(30)]
    done = warm_up(series(chain(falling, repeat(0.002))), 3.0)
    assert done.steady
    assert done.count > len(falling)
    assert done.estimate_s == pytest.approx(0.002, rel=0.1)


def test_what_never_settles_ends_and_says_so() -> None:
    done = warm_up(series(0.01 * 1.2**n for n in range(1000)), 1.0)
    assert not done.steady
    assert done.count < 30


def test_a_slow_model_is_looked_at_all_the_same() -> None:
    done = warm_up(series(repeat(10.0)), 3.0)
    assert (done.count, done.steady) == (1 + 2 * FEWEST, True)
    assert warm_up(series([10.0, 20.0, 15.0, 11.0, 9.0]), 3.0).steady is False


def test_noise_about_a_level_is_steady() -> None:
    noise = np.random.default_rng(3)
    done = warm_up(series(float(0.002 * (1 + abs(noise.normal(0, 0.05)))) for _ in range(10_000)), 3.0)
    assert done.steady


@pytest.mark.parametrize(
    ("times", "says"),
    [([1.0, 1.0, 1.0, 1.0], True), ([1.0, 1.0, 1.04, 1.04], True), ([1.0, 1.0, 1.06, 1.06], False),
     ([1.06, 1.06, 1.0, 1.0], False), ([7.0, 7.0, 1.0, 1.0, 1.0, 1.0], True)],
)  # fmt: skip
def test_steady_looks_at_the_last_two_windows(times: list[float], says: bool) -> None:
    assert steady(times, 2) is says


@pytest.mark.parametrize(("time_s", "size"), [(1e-6, MOST), (0.001, 50), (0.01, 5), (1.0, FEWEST)])
def test_a_window_covers_a_scheduler_slice(time_s: float, size: int) -> None:
    assert window([time_s]) == size

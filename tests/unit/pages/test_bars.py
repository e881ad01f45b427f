"""The bars of a chart over time: inside their frame, in proportion, and said in words."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from api.pages.bars import HEIGHT, WIDTH, bars
from scheduler.statistics import Step, Window

SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def chart(counts: list[int], step_s: int = 3600):
    steps = [
        Step(SINCE + timedelta(seconds=step_s * n), built=count, failed=count // 2) for n, count in enumerate(counts)
    ]
    return bars(steps, Window("day", SINCE, SINCE + timedelta(seconds=step_s * len(counts)), step_s))


@pytest.mark.parametrize("most", [0, 1, 2, 3, 7, 10, 11, 19, 99, 100, 101, 999, 12_345, 987_654])
def test_everything_lies_inside_and_the_scale_is_even(most: int) -> None:
    found = chart([0, most, most // 3])
    assert len(found.bars) == 3
    for bar in found.bars:
        for part in bar.parts:
            assert found.left <= part.x <= part.x + part.width <= WIDTH
            assert found.top - 0.01 <= part.y <= part.y + part.height <= found.foot + 0.01
    low, middle, high = (count for _, count in found.rules)
    assert low == 0
    assert middle * 2 == high >= most + most // 2
    assert found.foot < HEIGHT


def test_heights_are_in_proportion() -> None:
    found = chart([4, 8])
    (small, _), (large, _) = (bar.parts for bar in found.bars)
    assert large.height == pytest.approx(small.height * 2, abs=0.02)


def test_a_bar_says_its_numbers() -> None:
    assert chart([2]).bars[0].says == "00:00 UTC: 2 built, 0 from the cache or joined, 1 failed"


def test_labels_are_few() -> None:
    assert len(chart([1] * 25).labels) <= 8

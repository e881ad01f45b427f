from __future__ import annotations

import pytest

from farm.backoff import LONGEST_S, STEADY_S, delay_s, failures_now


@pytest.mark.parametrize(
    ("failures", "seconds"), [(0, 0.0), (1, 0.2), (2, 0.4), (3, 0.8), (6, 6.4), (7, LONGEST_S), (10_000, LONGEST_S)]
)
def test_each_death_in_a_row_doubles_the_wait_up_to_ten_seconds(failures: int, seconds: float) -> None:
    assert delay_s(failures) == pytest.approx(seconds)


def test_a_part_that_ran_long_starts_with_a_clean_record() -> None:
    assert failures_now(5, ran_s=0.1) == 6
    assert failures_now(5, ran_s=STEADY_S) == 1

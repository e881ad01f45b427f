"""The ranked table: how far a candidate came, how fast it is, what dominates it, and which one is recommended."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.exploration import AS_FAST, Candidate, Stage, best, error, ranked, speed
from enginehouse.targets import parse_target
from workers.exploration.explore import comparable


def row(p50_ms: float | None, cosine: float | None = 1.0, stage: Stage = Stage.RACED, rounds: int = 1) -> Candidate:
    target = parse_target("openvino:fp32")
    return Candidate(target=target, stage=stage, p50_ms=p50_ms, cosine=cosine, rounds=rounds)


def test_the_fastest_is_best_and_among_equals_the_more_accurate() -> None:
    fast, exact, slow = row(1.0, 0.99), row(1.0 + AS_FAST / 2, 0.9999), row(2.0, 1.0)
    assert best([slow, exact, fast]) is exact
    assert best([slow, fast]) is fast
    assert best([slow]) is slow


def test_nothing_is_best_of_nothing() -> None:
    with pytest.raises(ValueError, match="empty"):
        best([])


def test_those_that_came_further_stand_first_then_the_faster_ones() -> None:
    chosen = row(3.0, stage=Stage.RECOMMENDED)
    last, early = row(2.0, rounds=3), row(1.0, rounds=1)
    timed, wrong = row(0.5, stage=Stage.TIMED), row(0.1, 0.2, stage=Stage.REFUSED)
    failed = row(None, None, stage=Stage.FAILED)
    found = ranked([failed, wrong, timed, early, last, chosen])
    assert [one.p50_ms for one in found] == [3.0, 2.0, 1.0, 0.5, 0.1, None]


def test_only_what_is_right_is_on_the_front() -> None:
    found = ranked([row(1.0, 0.99), row(2.0, 0.999), row(3.0, 0.99), row(0.1, 0.1, stage=Stage.REFUSED)])
    assert [one.pareto for one in found] == [True, True, False, False]


def test_throughput_counts_where_it_was_measured() -> None:
    one = row(10.0).model_copy(update={"per_s": 1000.0})
    assert speed(one) == 1e-3
    assert best([row(5.0), one]) is one


rows = st.builds(
    row,
    st.floats(0.1, 10) | st.none(),
    st.floats(-1, 1) | st.none(),
    st.sampled_from(list(Stage)),
    st.integers(0, 4),
)


@given(st.lists(rows, max_size=12))
def test_the_table_holds_every_candidate_and_its_front_is_not_dominated(table: list[Candidate]) -> None:
    found = ranked(table)
    plain = [one.model_copy(update={"pareto": False}) for one in found]
    assert sorted(map(repr, plain)) == sorted(map(repr, table))
    front = [one for one in found if one.pareto]
    right = [one for one in found if one.stage in (Stage.TIMED, Stage.RACED, Stage.RECOMMENDED)]
    assert bool(front) == bool(right)
    for one in front:
        assert not any(speed(other) < speed(one) and error(other) < error(one) for other in right)


def test_only_times_that_were_taken_together_are_compared() -> None:
    lucky, first, second = row(0.9, rounds=1), row(1.0, rounds=3), row(1.1, rounds=3)
    refused = row(0.5, rounds=3, stage=Stage.REFUSED)
    assert comparable([lucky, first, second, refused]) == [first, second]
    assert comparable([lucky, refused]) == [lucky]
    assert comparable([refused]) == []

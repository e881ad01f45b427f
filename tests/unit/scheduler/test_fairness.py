"""Fair shares: the bound of start-time fair queueing, newcomers, quotas."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.fairness import LEAST_COST_S, Share, Shares, settled

weights = st.lists(st.floats(0.1, 10), min_size=2, max_size=6)
costs = st.lists(st.floats(1, 100), min_size=1, max_size=80)


def serve(shares: list[Share], costs: list[float], clock: float = 0.0) -> list[str]:
    """Everybody always has another build."""
    turns = Shares(shares, clock)
    order = []
    for cost in costs:
        share = turns.first()
        if share is None:
            break
        order.append(share.project)
        turns.charge(cost)
    return order


@given(weights, costs)
def test_what_two_projects_that_always_wait_get_by_weight_differs_by_no_more_than_a_build_of_each(weights, costs):
    shares = [Share(str(number), weight) for number, weight in enumerate(weights)]
    got = dict.fromkeys((share.project for share in shares), 0.0)
    for project, cost in zip(serve(shares, costs), costs, strict=True):
        got[project] += cost
    for one in shares:
        for other in shares:
            apart = abs(got[one.project] / one.weight - got[other.project] / other.weight)
            assert apart <= max(costs) / one.weight + max(costs) / other.weight + 1e-6


@given(weights, costs)
def test_the_clock_never_goes_back(weights, costs):
    turns = Shares([Share(str(number), weight) for number, weight in enumerate(weights)])
    seen = []
    for cost in costs:
        turns.charge(cost)
        seen.append(turns.clock)
    assert all(before <= after for before, after in pairwise(seen))


def test_a_newcomer_waits_for_one_build_of_somebody_elses_thousand():
    first = Share("first")
    turns = Shares([first])
    for _ in range(1000):
        turns.charge(10)
    assert serve([first, Share("second")], [10, 10, 10, 10], turns.clock)[:2] == ["second", "first"]


def test_idle_time_earns_nothing():
    idle, busy = Share("idle"), Share("busy", start=5000, finish=5010)
    order = serve([idle, busy], [10] * 10, clock=5000)
    assert abs(order.count("idle") - order.count("busy")) <= 1


def test_weights_are_shares():
    order = serve([Share("one"), Share("three", weight=3)], [10] * 400)
    assert order.count("three") / order.count("one") == pytest.approx(3, rel=0.05)


def test_long_builds_count_for_what_they_hold():
    turns = Shares([Share("long"), Share("short")])
    held = {"long": 0.0, "short": 0.0}
    for _ in range(500):
        share = turns.first()
        assert share is not None
        cost = 100.0 if share.project == "long" else 10.0
        held[share.project] += cost
        turns.charge(cost)
    assert held["long"] / held["short"] == pytest.approx(1, rel=0.05)


@given(st.integers(1, 5), costs)
def test_nobody_holds_more_slots_than_they_may(most, costs):
    limited, other = Share("limited", most_running=most), Share("other")
    order = serve([limited, other], costs)
    assert order.count("limited") <= most
    assert len(order) == len(costs)


def test_who_has_nothing_that_could_begin_is_passed_over():
    turns = Shares([Share("a"), Share("b")])
    turns.pass_over()
    share = turns.first()
    assert share is not None
    assert share.project == "b"
    turns.pass_over()
    assert turns.first() is None


def test_the_charge_is_settled_when_the_build_has_ended():
    share = Share("a", weight=2)
    Shares([share]).charge(60)
    assert share.finish == 30
    assert settled(share.finish, share.weight, 60, 10) == 5
    assert settled(share.finish, share.weight, 60, 0) == 0  # it never began
    assert settled(share.finish, share.weight, 60, 1e-3) == LEAST_COST_S / 2

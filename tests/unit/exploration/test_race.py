"""Successive halving over runners whose speed is known."""

from __future__ import annotations

import time

import pytest

from workers.exploration.race import FINALISTS, Runner, latencies, race, survivors


class Clock:
    """A clock that only inferences move."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "perf_counter", lambda: self.now)

    def runner(self, name: int, takes_s: float) -> Runner:
        def infer() -> None:
            self.now += takes_s

        return Runner(name, lambda: latencies(infer))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_the_fastest_are_timed_to_the_end_and_come_first(clock: Clock) -> None:
    runners = [clock.runner(number, 0.001 * (1 + number)) for number in range(12)]
    found = race(runners[::-1], 2.0)
    assert [one.name for one in found[:FINALISTS]] == [0, 1, 2]
    assert [one.rounds for one in found] == sorted((one.rounds for one in found), reverse=True)
    assert found[0].rounds == 3  # 12, 6, 3
    assert found[-1].rounds == 1
    assert found[0].p50_s == pytest.approx(0.001)


def test_every_round_takes_as_long_so_that_survivors_are_timed_better(clock: Clock) -> None:
    runners = [clock.runner(number, 0.001 * (1 + number)) for number in range(8)]
    first = race(runners, 4.0)[0]
    assert clock.now == pytest.approx(4.0, rel=0.2)
    alone = race([clock.runner(9, 0.001)], 1.0)[0]
    assert len(first.times) > len(alone.times) / 4


def test_the_one_that_stays_is_never_left_out(clock: Clock) -> None:
    runners = [clock.runner(number, 0.001 * (1 + number)) for number in range(16)]
    found = race(runners, 2.0, stays=15)
    rounds = {one.name: one.rounds for one in found}
    assert rounds[15] == rounds[0] > rounds[14]


def test_a_tie_at_the_cut_is_no_reason_to_go() -> None:
    runners = [Runner(number, list, times=[0.01]) for number in range(9)]
    assert len(survivors(runners, None)) == 9
    runners[8].times = [0.02]
    assert [one.name for one in survivors(runners, None)] == list(range(8))


def test_a_very_slow_runner_is_timed_a_few_times_only(clock: Clock) -> None:
    found = race([clock.runner(0, 0.001), clock.runner(1, 30.0)], 1.0)
    assert [one.name for one in found] == [0, 1]
    assert len(found[1].times) == 3

"""What disturbs a timing, and that it is taken again."""

from __future__ import annotations

import os

import pytest

from workers.pipeline.machine import CpuTime, Usage, cpu_time, usage
from workers.pipeline.undisturbed import disturbances, undisturbed

CALM = Usage(0.05, 0.0, 20.0)


@pytest.mark.parametrize(
    ("mine", "theirs", "used", "says"),
    [
        ([1.0] * 20, [2.0] * 20, CALM, []),
        ([1.0] * 20, [2.0] * 20, Usage(0.30, 0.0, 0.0), ["other processes took 30% of the cores"]),
        ([1.0] * 20, [2.0] * 20, Usage(0.3, 0.2, 0.0),
         ["other processes took 30% of the cores, 20% by the host's other guests"]),
        ([1.0] * 20, [2.0] * 20, Usage(0.0, 0.0, 900.0), ["threads were put off their core 900 times a second"]),
        ([1.0] * 10 + [1.3] * 10, [2.0] * 20, CALM, ["the artifact's halves are 30% apart"]),
        ([1.0] * 20, [2.0] * 10 + [1.0] * 10, CALM, ["the baseline's halves are 100% apart"]),
    ],
)  # fmt: skip
def test_what_disturbs_a_benchmark(mine: list[float], theirs: list[float], used: Usage, says: list[str]) -> None:
    assert disturbances(mine, theirs, used, cores=2) == says


def test_what_is_not_disturbed_is_taken_once() -> None:
    taken = undisturbed(iter([[], ["late"]]).__next__, lambda reasons: reasons)
    assert (taken.what, taken.tries, taken.disturbances) == ([], 1, [])


def test_what_was_disturbed_is_taken_again() -> None:
    said: list[str] = []
    tries = iter([["a neighbour"], [], ["never looked at"]])
    taken = undisturbed(tries.__next__, lambda reasons: reasons, told=said.append)
    assert (taken.what, taken.tries, taken.disturbances) == ([], 2, [])
    assert said == ["timing 1 of 3 was disturbed: a neighbour"]
    assert next(tries) == ["never looked at"]


def test_in_the_end_the_least_disturbed_is_kept_with_its_reasons() -> None:
    tries = iter([["a", "b"], ["c"], ["d", "e"], []])
    taken = undisturbed(tries.__next__, lambda reasons: reasons, told=lambda _: None)
    assert (taken.what, taken.tries, taken.disturbances) == (["c"], 3, ["c"])
    assert next(tries) == []  # there is an end to it


def test_usage_is_what_happened_between_two_readings() -> None:
    before, after = CpuTime(100, 10, 0, 1, 50), CpuTime(104, 12, 2, 2, 150)
    assert usage(before, after, cores=2) == Usage(others=0.495, steal=0.25, switches_per_s=50.0)
    assert usage(before, CpuTime(102, 12, 2, 1, 50), cores=2) == Usage(0, 0, 0)
    assert usage(before, before, cores=2) == Usage(0, 0, 0)


def test_a_busy_neighbour_shows_and_our_own_work_does_not() -> None:
    cores = sorted(os.sched_getaffinity(0))
    begin = cpu_time(cores)
    sum(range(2_000_000))
    end = cpu_time(cores)
    assert end.own_s > begin.own_s
    assert end.all_s >= begin.all_s
    assert end.switches >= begin.switches
    own = CpuTime(end.all_s, begin.own_s, end.wall_s)  # had the same work been somebody else's
    assert usage(begin, own, len(cores)).others >= usage(begin, end, len(cores)).others

"""Who is timed when."""

from __future__ import annotations

import pytest

from workers.pipeline.turns import FEWEST_PAIRS, MOST_PER_BLOCK, Turns, per_block, take_turns


class Bench:
    """Two sides that take the time that they are told, by a clock of their own."""

    def __init__(self, mine_s: float, theirs_s: float) -> None:
        self.now = 0.0
        self.seconds = {"A": mine_s, "B": theirs_s}
        self.order: list[str] = []

    def infer(self, side: str) -> float:
        self.order.append(side)
        self.now += self.seconds[side]
        return self.seconds[side]

    def turns(self, seconds: float) -> Turns:
        estimates = list(self.seconds.values())
        return take_turns(lambda: self.infer("A"), lambda: self.infer("B"), estimates, seconds, clock=lambda: self.now)

    def blocks(self) -> str:
        return "".join(side for side, before in zip(self.order, [None, *self.order], strict=False) if side != before)


def test_pairs_are_turned_each_time() -> None:
    bench = Bench(0.03, 0.03)  # one inference that counts, and one before it that does not
    bench.turns(0.48)
    assert bench.order == list("AABBBBAAAABBBBAAAABBBBAA")


def test_blocks_take_the_same_time_on_both_sides() -> None:
    bench = Bench(0.01, 0.03)
    turns = bench.turns(1.0)
    assert {len(block) for block in turns.mine} == {3}
    assert {len(block) for block in turns.theirs} == {1}
    assert len(turns.mine) == len(turns.theirs)
    mine, theirs = turns.times
    assert (len(mine), len(theirs)) == (3 * len(turns.mine), len(turns.theirs))
    assert bench.now >= 1.0


def test_a_drift_of_the_machine_cancels_out() -> None:
    bench = Bench(0.03, 0.03)

    def drifting() -> float:
        bench.now += 0.03
        return bench.now

    turns = take_turns(drifting, drifting, [0.03, 0.03], 10.0, clock=lambda: bench.now)
    mine, theirs = turns.times
    even = len(mine) // 2 * 2
    assert sum(mine[:even]) == pytest.approx(sum(theirs[:even]))


def test_a_slow_model_gets_a_few_pairs_all_the_same() -> None:
    assert len(Bench(20.0, 10.0).turns(3.0).mine) == FEWEST_PAIRS


@pytest.mark.parametrize(("estimate_s", "size"), [(0, MOST_PER_BLOCK), (1e-5, MOST_PER_BLOCK), (0.01, 3), (5, 1)])
def test_inferences_of_a_block(estimate_s: float, size: int) -> None:
    assert per_block(estimate_s) == size

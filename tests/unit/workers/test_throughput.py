"""Streams and batches."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest

from enginehouse.errors import ReferenceFailed
from workers.backends.base import Array, Arrays, Session, Setting
from workers.backends.options import Options
from workers.pipeline.sides import Side
from workers.pipeline.throughput import batch_of, of_batch, rated, side_by_side, throughputs


class Summing(Session):
    """Runs in as many threads as are let, takes batches of 4 at most, and notes how it was loaded."""

    def __init__(self, streams: int | None = None, many: bool = True) -> None:
        self.streams, self.many = streams, many

    def run(self, feeds: Arrays) -> dict[str, Array]:
        return {"y": feeds["x"].sum(axis=1)}

    def beside(self) -> Session | None:
        return Summing(self.streams) if self.many else None

    def takes(self, feeds: Arrays) -> bool:
        return len(feeds["x"]) <= 4

    def settings(self) -> dict[str, Any]:
        return {}


def side(many: bool = True) -> Side:
    return Side("side", Summing(many=many), 1.0, again=lambda setting: Summing(setting.streams, many))


FEEDS = {"x": np.ones((1, 3), np.float32)}


def rows(many: bool, **options: Any) -> list[tuple[str, int, int]]:
    sides = {"artifact": side(many), "baseline": side(many)}
    found = throughputs(sides, (FEEDS, FEEDS), Options(**options), threads=2, benchmark_s=0.01)
    assert all(row.per_s > 0 and row.count > 0 and row.threads == 2 for row in found)
    return [(row.side, row.streams, row.batch) for row in found]


def test_by_default_one_stream_and_one_per_thread() -> None:
    assert rows(True) == [("artifact", 1, 1), ("artifact", 2, 1), ("baseline", 1, 1), ("baseline", 2, 1)]


def test_what_cannot_run_side_by_side_has_one_stream() -> None:
    assert rows(False) == [("artifact", 1, 1), ("baseline", 1, 1)]


def test_given_streams_and_batches_that_the_model_takes() -> None:
    found = rows(True, throughput_streams=(3,), throughput_batches=(1, 4, 8))
    assert found == [("artifact", 3, 1), ("artifact", 3, 4), ("baseline", 3, 1), ("baseline", 3, 4)]


def test_a_side_that_does_not_load_again_is_left_out(capsys: pytest.CaptureFixture[str]) -> None:
    def refuses(setting: Setting) -> Session:
        raise ReferenceFailed("not twice")

    sides = {"artifact": side(), "baseline": Side("b", Summing(), 1.0, again=refuses)}
    found = throughputs(sides, (FEEDS, FEEDS), Options(), threads=2, benchmark_s=0.01)
    assert [(row.side, row.streams) for row in found] == [("artifact", 1), ("artifact", 2), ("baseline", 1)]
    assert "no throughput of the baseline with 2 streams: not twice" in capsys.readouterr().out


def test_sessions_are_loaded_for_their_streams() -> None:
    found = side_by_side(side(), 3, threads=6, reload=True)
    assert [session.streams for session in found if isinstance(session, Summing)] == [3, 3, 3]
    own = side()
    assert side_by_side(own, 1, threads=6, reload=False) == [own.session]
    assert (Setting(6, streams=3).per_stream, Setting(2, streams=3).per_stream, Setting(6).per_stream) == (2, 1, 6)


def test_streams_run_at_the_same_time() -> None:
    together = threading.Barrier(3, timeout=60)
    count, rate = rated([together.wait] * 3, 0.0)  # each waits for the other two
    assert count == 3
    assert rate > 0


def test_the_rate_is_the_sum_of_the_streams_own() -> None:
    ticks = iter(float(n) for n in range(1000))
    count, rate = rated([lambda: None], 9.5, clock=lambda: next(ticks))
    assert (count, rate) == (10, 1.0)


def test_a_slow_inference_at_the_end_is_neither_lost_nor_cut() -> None:
    moments = iter([0.0, 4.0])  # one inference of 4 s in a row of 1 s
    assert rated([lambda: None], 1.0, clock=lambda: next(moments)) == (1, 0.25)


def test_what_an_inference_raises_is_raised() -> None:
    def fails() -> None:
        raise RuntimeError("no memory")

    with pytest.raises(RuntimeError, match="no memory"):
        rated([fails, lambda: time.sleep(0)], 0.01)


def test_batches() -> None:
    feeds = {"x": np.arange(6).reshape(2, 3), "n": np.array([1, 2])}
    assert batch_of(feeds) == 2
    assert batch_of({"x": np.ones((2, 3)), "rate": np.array(16000)}) == 1
    five = of_batch(feeds, 5)
    assert five["x"].tolist() == [[0, 1, 2], [3, 4, 5], [0, 1, 2], [3, 4, 5], [0, 1, 2]]
    assert five["n"].tolist() == [1, 2, 1, 2, 1]
    assert of_batch(feeds, 2) is feeds
    with pytest.raises(ValueError, match="no common batch"):
        of_batch({"x": np.ones((2, 3)), "rate": np.array(16000)}, 4)

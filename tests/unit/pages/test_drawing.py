"""Where things are drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.pages.drawing.lanes import WIDTH, timeline
from api.pages.drawing.latency import distribution
from api.pages.drawing.pareto import pareto
from api.pages.drawing.scale import Scale, around, step_for
from api.pages.layers import by_type, in_order
from enginehouse.exploration import Candidate, Stage, ranked
from enginehouse.report import Layer, Timing
from enginehouse.targets import parse_target
from scheduler.timeline import Piece

NOW = datetime(2026, 7, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return NOW + timedelta(seconds=seconds)


class TestScale:
    def test_values_lie_between_the_ends(self) -> None:
        scale = Scale(0, 10, 100, 200)
        assert [scale.at(value) for value in (0, 5, 10, -3, 99)] == [100, 150, 200, 100, 200]
        assert Scale(3, 3, 0, 10).at(3) == 5

    def test_by_powers(self) -> None:
        scale = Scale(1e-6, 1, 0, 60, by_powers=True)
        assert scale.at(1e-3) == 30
        assert [tick.says for tick in scale.ticks(3)] == ["1e-6", "1e-4", "0.01", "1"]

    @given(low=st.floats(-1e6, 1e6), spread=st.floats(1e-6, 1e6), most=st.integers(2, 10))
    def test_ticks_are_few_and_inside(self, low: float, spread: float, most: int) -> None:
        scale = Scale(low, low + spread, 0, 100)
        ticks = scale.ticks(most)
        assert len(ticks) <= most + 1
        assert all(0 <= tick.at <= 100 for tick in ticks)

    @given(st.lists(st.floats(0, 1e9), min_size=1, max_size=9), st.booleans())
    def test_a_scale_around_values_holds_them(self, values: list[float], by_powers: bool) -> None:
        scale = around(values, 0, 100, by_powers=by_powers)
        assert scale.low <= max(min(values), 1e-12 if by_powers else 0)
        assert scale.high * (1 + 1e-9) >= max(values)
        assert all(0 <= scale.at(value) <= 100 for value in values)

    @pytest.mark.parametrize(("spread", "most", "step"), [(10, 5, 2), (10, 10, 1), (99, 4, 50), (0.03, 6, 0.005)])
    def test_steps_are_round(self, spread: float, most: int, step: float) -> None:
        assert step_for(spread, most) == pytest.approx(step)


class TestTimeline:
    def test_bars_are_shares_of_the_whole(self) -> None:
        pieces = [Piece("waiting", 0, at(0), at(50)), Piece("compile", 1, at(50), None)]
        found = timeline([("b", "openvino:fp16", "running", pieces)], at(100))
        (lane,) = found.lanes
        assert [(bar.x, bar.width, bar.open) for bar in lane.bars] == [(0, 500, False), (500, 500, True)]
        assert lane.bars[1].title == "compile: 50 s so far"
        assert (found.seconds, lane.seconds, found.kinds) == (100, 100, ["waiting", "compile"])

    def test_what_is_short_can_be_seen_and_stays_inside(self) -> None:
        pieces = [Piece("waiting", 0, at(0), at(9_999)), Piece("fetch", 1, at(9_999), at(10_000))]
        bars = timeline([("b", "x", "failed", pieces)], at(10_000)).lanes[0].bars
        assert bars[1].width >= 1
        assert all(bar.x >= 0 and bar.x + bar.width <= WIDTH for bar in bars)

    def test_nothing_yet(self) -> None:
        assert timeline([], NOW).lanes == []


def candidate(target: str, stage: Stage, p50: float | None, cosine: float | None) -> Candidate:
    return Candidate(target=parse_target(target), stage=stage, p50_ms=p50, cosine=cosine)


class TestPareto:
    def test_the_faster_is_left_the_nearer_is_low(self) -> None:
        made = ranked(
            [
                candidate("openvino:int8", Stage.RECOMMENDED, 1.0, 0.99),
                candidate("openvino:fp32", Stage.RACED, 4.0, 1.0),
                candidate("onnxruntime:fp32", Stage.TIMED, 5.0, 0.999),
                candidate("litert:int8", Stage.REFUSED, 0.1, 0.2),
                candidate("litert:fp32", Stage.FAILED, None, None),
            ]
        )
        found = pareto(made)
        assert found is not None
        int8, fp32, other = found.points
        assert (int8.label, int8.recommended, int8.front) == ("openvino:int8", True, True)
        assert int8.x < fp32.x < other.x
        assert int8.y < other.y < fp32.y  # y grows downwards
        assert (fp32.front, other.front) == (True, False)
        assert found.line == f"{int8.x},{int8.y} {fp32.x},{fp32.y}"
        left, top, right, bottom = found.plot
        assert all(left <= point.x <= right and top <= point.y <= bottom for point in found.points)

    def test_one_point_is_no_chart(self) -> None:
        assert pareto([candidate("openvino:int8", Stage.RECOMMENDED, 1.0, 0.99)]) is None
        assert pareto([]) is None

    def test_throughput_counts_where_it_is_the_goal(self) -> None:
        made = [
            Candidate(target=parse_target("openvino:fp32"), stage=Stage.RACED, per_s=rate, p50_ms=1, cosine=0.9)
            for rate in (10.0, 20.0)
        ]
        found = pareto(made)
        assert found is not None
        assert found.what == "inferences per second"
        assert found.points[0].x < found.points[1].x


def test_a_distribution_is_in_order() -> None:
    timing = Timing(
        name="x", count=9, p50_ms=2, p50_low_ms=1.8, p50_high_ms=2.4, p90_ms=3, p99_ms=5, mean_ms=2.2, min_ms=1,
        load_ms=1, first_ms=1,
    )  # fmt: skip
    bare = timing.model_copy(update={"p50_low_ms": None, "p50_high_ms": None})
    found = distribution([("artifact", timing), ("source model", bare)])
    one, other = found.rows
    assert one.least < one.low < one.median < one.mean < one.high < one.p90 < one.p99
    assert other.low == other.median == other.high
    assert other.y > one.y


def test_layers_in_every_order() -> None:
    layers = [
        Layer(name="b", type="Conv", precision="f32", time_us=1.0, share=0.25),
        Layer(name="a", type="Relu", precision="i8", time_us=None),
        Layer(name="C", type="Conv", precision="f32", time_us=3.0, share=0.75),
    ]
    names = {sort: [layer.name for layer in in_order(layers, sort)] for sort in ("order", "time", "name", "type")}
    assert names == {
        "order": ["b", "a", "C"], "time": ["C", "b", "a"], "name": ["a", "b", "C"], "type": ["C", "b", "a"],
    }  # fmt: skip
    assert [(kind.type, kind.count, kind.share) for kind in by_type(layers)] == [("Conv", 2, 1.0), ("Relu", 1, 0.0)]

"""Builds side by side: what differs, what is better, and when that may not be said."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.bundle import Manifest
from enginehouse.comparison import Better, Change, Comparison, LayerDiff, MetricRow, Subject, compare
from enginehouse.comparison.metrics import OUTPUT, TIMING
from enginehouse.report import (
    Benchmark,
    Layer,
    OtherBaseline,
    OutputVerification,
    Report,
    TaskMetric,
    Throughput,
    Timing,
    Verification,
)
from enginehouse.request import Recipe
from enginehouse.targets import parse_target

MODEL = "a" * 64


def benchmark(p50: float = 1.0, speedup: tuple[float, float, float] = (1.9, 2.0, 2.1), **more: Any) -> Benchmark:
    """Lower end, value and upper end of the speed-up; the median's interval is as wide."""
    low, middle, high = speedup
    timing = {"count": 9, "p90_ms": 2.0, "p99_ms": 3.0, "mean_ms": 1.5, "min_ms": 0.5, "load_ms": 7.0, "first_ms": 8.0}
    ends = {"p50_low_ms": p50 * middle / high, "p50_high_ms": p50 * middle / low}
    given = {
        "artifact": Timing(name="artifact", p50_ms=p50, **timing, **ends),
        "baseline": Timing(name="baseline", p50_ms=p50 * middle, **timing),
        "speedup": middle, "speedup_low": low, "speedup_high": high,
        "warmup": 3, "shapes": {"x": [1, 4]}, "threads": 2, "affinity": [0, 1], "settings": {},
        "load_before": 0.1, "load_after": 0.2, "disturbed": False,
    }  # fmt: skip
    return Benchmark(**(given | more))


def verification(**more: Any) -> Verification:
    output = {"name": "y", "dtype": "float32", "shape": [1], "max_abs_error": 0.5, "cosine": 0.9, "agrees": True}
    proof = {"reference": "r", "inputs": "seeded", "seed": 0, "samples": 4, "shapes": {"x": [1, 4]}, "tolerance": {}}
    return Verification(**(proof | {"outputs": [OutputVerification(**(output | more))], "agrees": True}))


def subject(
    target: str = "openvino:fp32", hardware: str = "cpu-two", recipe: dict[str, Any] | None = None, **report: Any
) -> Subject:
    wanted = Recipe(**({"model": MODEL, "target": parse_target(target)} | (recipe or {})))
    manifest = Manifest(
        model=wanted.model, target=wanted.target, entry="m", runtime={}, hardware_class=hardware, files=[]
    )
    found = Report(**({"model": wanted.model, "target": target, "size": 100} | report))
    return Subject(f"build_{target}", "b" * 64, wanted, manifest, found)


def metric(found: Comparison, name: str, of: str = "") -> MetricRow:
    (one,) = [metric for metric in found.metrics if (metric.name, metric.of) == (name, of)]
    return one


def test_only_what_differs_is_told() -> None:
    options = parse_target("openvino:fp16").model_copy(update={"options": {"threads": 1}})
    found = compare(
        [
            subject(environment={"toolchain": {"openvino": "1", "same": "1"}}),
            subject(recipe={"target": options, "seed": 3}, environment={"toolchain": {"openvino": "2", "same": "1"}}),
        ]
    )
    assert {row.field: row.values for row in found.request} == {
        "target.precision": ["fp32", "fp16"], "target.options.threads": [None, 1], "seed": [0, 3],
    }  # fmt: skip
    assert [(row.field, row.values) for row in found.environment] == [("toolchain.openvino", ["1", "2"])]
    assert found.same_hardware
    assert [side.label for side in found.builds] == ["A", "B"]


def test_a_build_against_itself_differs_in_nothing() -> None:
    one = subject(benchmark=benchmark(), verification=verification(), layers=[Layer(name="a", type="Conv")])
    found = compare([one, one])
    assert (found.request, found.environment, found.latency_caveats, found.accuracy_caveats) == ([], [], [], [])
    assert all(row.best is None for row in found.metrics), "nothing is better than itself"
    assert all(row.ratios == [1.0, 1.0] for row in found.metrics if row.values[0])
    assert found.layers[0].counts[Change.SAME] == 1


def test_ratios_are_to_the_base_and_the_better_one_is_named() -> None:
    faster = benchmark(0.5, (3.8, 4.0, 4.2))
    found = compare([subject(benchmark=benchmark(1.0)), subject(size=50, benchmark=faster), subject()])
    p50, speedup, size = (metric(found, name) for name in ("p50_ms", "speedup", "size"))
    assert (p50.values, p50.ratios, p50.best) == ([1.0, 0.5, None], [1.0, 0.5, None], 1)
    assert (speedup.values, speedup.ratios, speedup.best) == ([2.0, 4.0, None], [1.0, 2.0, None], 1)
    assert (size.unit, size.values, size.best) == ("B", [100.0, 50.0, 100.0], 1)
    assert p50.within == speedup.within == [False, False, False]
    assert (p50.better, speedup.better) == (Better.LOWER, Better.HIGHER)


def test_what_the_confidence_intervals_do_not_tell_apart_is_not_better() -> None:
    found = compare([subject(benchmark=benchmark(1.0)), subject(benchmark=benchmark(0.97, (1.95, 2.06, 2.2)))])
    assert (metric(found, "speedup").within, metric(found, "speedup").best) == ([False, True], None)
    assert (metric(found, "p50_ms").within, metric(found, "p50_ms").best) == ([False, True], None)
    apart = compare([subject(benchmark=benchmark(1.0)), subject(benchmark=benchmark(0.9, (2.11, 2.2, 2.3)))])
    assert (metric(apart, "speedup").within, metric(apart, "speedup").best) == ([False, False], 1)


def test_speed_ups_over_other_baselines_have_rows_of_their_own() -> None:
    def made(low: float, **more: Any) -> Subject:
        fp32 = OtherBaseline(name="openvino:fp32", speedup=low + 0.1, speedup_low=low, speedup_high=low + 0.2, **more)
        return subject(benchmark=benchmark(others=[fp32, OtherBaseline(name="litert:fp32", reason="no")]))

    found = compare([made(1.0), made(2.0), subject(benchmark=benchmark())])
    row = metric(found, "speedup over openvino:fp32")
    assert (row.values, row.intervals, row.best) == ([1.1, 2.1, None], [(1.0, 1.2), (2.0, 2.2), None], 1)
    assert not [one for one in found.metrics if "litert" in one.name]
    disturbed = compare([made(1.0), made(2.0, disturbed=True)])
    assert metric(disturbed, "speedup over openvino:fp32").best is None


@pytest.mark.parametrize(
    ("base", "other", "says"),
    [
        ({}, {"hardware": "cpu-four"}, "different hardware"),
        ({}, {"benchmark": {"threads": 4}}, "different numbers of threads"),
        ({}, {"benchmark": {"affinity": [0]}}, "different numbers of cores"),
        ({}, {"benchmark": {"shapes": {"x": [8, 4]}}}, "inputs of different shapes"),
        ({}, {"recipe": {"model": "c" * 64}}, "different models"),
        ({}, {"benchmark": {"disturbed": True, "disturbance": "others"}}, "the benchmark of B was disturbed: others"),
        ({"benchmark": {"steady": False}}, {}, "the latencies of A never became steady"),
    ],
)
def test_times_of_unlike_conditions_are_not_judged(base: dict[str, Any], other: dict[str, Any], says: str) -> None:
    def made(p50: float, changed: dict[str, Any]) -> Subject:
        timed = benchmark(p50, (1.9 / p50, 2.0 / p50, 2.1 / p50), **changed.get("benchmark", {}))
        return subject(**(changed | {"benchmark": timed}))

    assert metric(compare([made(1.0, {}), made(0.5, {})]), "p50_ms").best == 1
    found = compare([made(1.0, base), made(0.5, other)])
    assert len(found.latency_caveats) == 1
    assert says in found.latency_caveats[0]
    assert metric(found, "p50_ms").best is None
    assert metric(found, "p50_ms").ratios == [1.0, 0.5]
    assert found.same_hardware == ("hardware" not in other)


@pytest.mark.parametrize(
    ("recipe", "proof", "says"),
    [
        ({"dataset": "d" * 64}, {}, "different samples"),
        ({"seed": 1}, {}, "different samples"),
        ({}, {"samples": 5}, "different samples"),
        ({}, {"reference": "torch"}, "different references"),
    ],
)
def test_errors_on_unlike_samples_are_not_judged(recipe: dict[str, Any], proof: dict[str, Any], says: str) -> None:
    better = verification(max_abs_error=0.1)
    assert metric(compare([subject(verification=verification()), subject(verification=better)]), "cosine", "y")
    other = subject(recipe=recipe, verification=better.model_copy(update=proof))
    found = compare([subject(verification=verification()), other])
    assert says in found.accuracy_caveats[0]
    assert metric(found, "max_abs_error", "y").best is None
    like = compare([subject(verification=verification()), subject(verification=better)])
    assert (metric(like, "max_abs_error", "y").best, like.accuracy_caveats) == (1, [])


def test_the_seed_of_no_generated_input_makes_no_difference() -> None:
    given = [{"dataset": "d" * 64, "seed": seed} for seed in (0, 1)]
    found = compare([subject(recipe=recipe, verification=verification()) for recipe in given])
    assert found.accuracy_caveats == []


def test_throughput_and_task_metrics_have_rows_of_their_own() -> None:
    def made(per_s: float, loss: float) -> Subject:
        sides = [
            Throughput(side=side, streams=2, threads=2, batch=4, count=9, per_s=per_s)
            for side in ("artifact", "baseline")
        ]
        task = TaskMetric(
            name="mistakes",
            source=1.0,
            artifact=1.0 + loss,
            loss=loss,
            relative_loss=loss,
            samples=9,
            higher_is_better=False,
        )
        return subject(benchmark=benchmark(throughput=sides), metrics=[task])

    found = compare([made(10.0, 0.5), made(20.0, 0.0)])
    throughput, task = metric(found, "throughput", "streams 2, batch 4"), metric(found, "mistakes")
    assert (throughput.values, throughput.best, throughput.unit) == ([40.0, 80.0], 1, "/s")
    assert (task.values, task.better, task.best) == ([1.5, 1.0], Better.LOWER, 1)


def test_decibels_have_no_ratio_and_a_zero_base_none_either() -> None:
    outputs = [verification(sqnr_db=db, max_abs_error=error) for db, error in ((40.0, 0.0), (80.0, 0.1))]
    found = compare([subject(verification=proof) for proof in outputs])
    assert metric(found, "sqnr_db", "y").ratios == [None, None]
    assert metric(found, "max_abs_error", "y").ratios == [None, None]


def test_a_value_that_is_no_number_is_none() -> None:
    found = compare([subject(verification=verification(cosine=float("nan"))), subject(verification=verification())])
    assert metric(found, "cosine", "y").values == [None, 0.9]


def test_every_number_of_a_timing_and_of_an_output_is_compared_or_known_not_to_be() -> None:
    def numbers(kind: type[Timing | OutputVerification]) -> set[str]:
        return {
            name
            for name, field in kind.model_fields.items()
            if field.annotation in (int, float, int | None, float | None)
        }

    known = {"count", "warmup", "p50_low_ms", "p50_high_ms", "size"}  # conditions, and what has a row elsewhere
    assert numbers(Timing) == set(TIMING) | known
    assert numbers(OutputVerification) == set(OUTPUT) | {"nonfinite_share", "source_nonfinite_share"}


# --- layers ------------------------------------------------------------------------------------


def layer(name: str, *fused: str, precision: str = "f32", time_us: float | None = 1.0) -> Layer:
    return Layer(name=name, type="T", precision=precision, fused=list(fused), time_us=time_us)


def layers_of(base: list[Layer], other: list[Layer]) -> LayerDiff:
    (found,) = compare([subject(layers=base), subject(layers=other)]).layers
    return found


def test_layers_are_matched_by_what_they_stand_for_not_by_their_names() -> None:
    found = layers_of(
        [layer("c1", "conv", "relu"), layer("add"), layer("pool_x", "pool"), layer("a", "m"), layer("b", "n")],
        [
            layer("other", "relu", "conv"),
            layer("add_7", "add", precision="i8"),
            layer("ab", "m", "n"),
            layer("reorder"),
        ],
    )
    assert [(change.change, change.nodes) for change in found.changes] == [
        (Change.SAME, ["conv", "relu"]),
        (Change.PRECISION, ["add"]),
        (Change.ONLY_BASE, ["pool"]),
        (Change.FUSED, ["m", "n"]),
        (Change.ONLY_OTHER, ["reorder"]),
    ]
    assert found.counts == dict.fromkeys(Change, 1)
    fused = found.changes[3]
    assert (fused.base_us, fused.other_us, fused.delta_us) == (2.0, 1.0, -1.0)
    assert [one.name for one in fused.base] == ["a", "b"]
    assert (found.changes[2].other_us, found.changes[2].delta_us) == (0.0, -1.0)


@pytest.mark.parametrize(
    ("one", "other", "change"),
    [
        ("f32", "float", Change.SAME), ("FP32", "float32", Change.SAME), ("u8", "int8", Change.SAME),
        ("f16", "float16", Change.SAME), ("f32", "f16", Change.PRECISION), ("f16", "bf16", Change.PRECISION),
    ],
)  # fmt: skip
def test_each_runtimes_word_for_a_precision_is_understood(one: str, other: str, change: Change) -> None:
    assert layers_of([layer("a", precision=one)], [layer("a", precision=other)]).changes[0].change is change


def test_a_layer_that_was_not_timed_has_no_difference() -> None:
    (change,) = layers_of([layer("a", time_us=None)], [layer("a")]).changes
    assert (change.base_us, change.other_us, change.delta_us) == (None, 1.0, None)


def test_without_a_layer_table_there_is_no_diff() -> None:
    assert compare([subject(layers=[layer("a")]), subject()]).layers == []


NODES = st.lists(st.sampled_from("abcdefgh"), max_size=3, unique=True)
TABLE = st.lists(
    st.builds(lambda name, fused: layer(name, *fused), st.text("xyz", min_size=1, max_size=2), NODES), min_size=1
)


@given(TABLE, TABLE)
def test_every_layer_is_in_one_change_and_no_time_is_lost(base: list[Layer], other: list[Layer]) -> None:
    found = layers_of(base, other)
    assert sorted(one.name for change in found.changes for one in change.base) == sorted(one.name for one in base)
    assert sorted(one.name for change in found.changes for one in change.other) == sorted(one.name for one in other)
    assert sum(change.delta_us or 0.0 for change in found.changes) == pytest.approx(len(other) - len(base))
    nodes = [node for change in found.changes for node in change.nodes]
    assert len(nodes) == len(set(nodes)), "no source node is in two changes"
    assert sum(found.counts.values()) == len(found.changes)

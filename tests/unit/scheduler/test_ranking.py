"""The order among artifacts that can all run on a host."""

from __future__ import annotations

from typing import Any

import pytest

from enginehouse.bundle import BundleFile, Manifest
from enginehouse.capability import Gpu, Hardware
from enginehouse.fingerprint import Fingerprint
from enginehouse.report import Benchmark, Report, Throughput, Timing
from enginehouse.request import Recipe
from enginehouse.resolution import Choice, Goal, Nearness
from enginehouse.rules import Made
from enginehouse.targets import parse_target
from scheduler.ranking import Candidate, rank

XEON = frozenset({"cpu", "intel", "x86_64", "avx2", "avx512_vnni"})
HOST = Fingerprint(hardware=Hardware(hardware_class="mine", tags=sorted(XEON), cpu_model="xeon", cores=4, memory_mb=1))


def benchmark(p50: float, low: float | None = None, high: float | None = None, **more: Any) -> Benchmark:
    timing = {"count": 1, "p90_ms": p50, "p99_ms": p50, "mean_ms": p50, "min_ms": p50, "load_ms": 1, "first_ms": 1}
    given: dict[str, Any] = {
        "artifact": Timing(name="a", p50_ms=p50, p50_low_ms=low, p50_high_ms=high, **timing),
        "baseline": Timing(name="onnxruntime", p50_ms=10, **timing),
        "speedup": 10 / p50, "warmup": 1, "shapes": {"x": [1, 4]}, "threads": 8, "affinity": [], "settings": {},
        "load_before": 0, "load_after": 0, "disturbed": False,
    }  # fmt: skip
    return Benchmark(**(given | more))


def one(
    name: str,
    timed: Benchmark | None,
    size: int = 100,
    where: str = "mine",
    tags: frozenset[str] = XEON,
    target: str = "openvino:fp16",
    settings: dict[str, Any] | None = None,
) -> Candidate:
    parsed, settings = parse_target(target), settings or {}
    file = BundleFile(path="m", sha256="0" * 64, size=size, role="model")
    manifest = Manifest(
        model="0" * 64, target=parsed, entry="m", runtime={}, hardware_class=where, settings=settings, files=[file]
    )
    return Candidate(
        artifact=name,
        manifest=manifest,
        report=Report(model="0" * 64, target=target, size=size, benchmark=timed),
        made=Made(backend=parsed.backend, precision=parsed.precision, settings=settings, tags=tags),
        recipe=Recipe(model="0" * 64, target=parsed),
    )


def order(*found: Candidate, goal: Goal = Goal.LATENCY, host: Fingerprint = HOST, **shapes: Any) -> list[Choice]:
    choices = rank(found, host, goal, shapes)
    assert choices == rank(found[::-1], host, goal, shapes), "whatever order they come in"
    return choices


def names(choices: list[Choice]) -> list[str]:
    return [choice.artifact for choice in choices]


def test_the_hosts_own_numbers_come_first_then_those_of_machines_like_it() -> None:
    arm = frozenset({"cpu", "arm", "aarch64"})
    found = order(
        one("untimed", None),
        one("arm", benchmark(1), where="a", tags=arm),
        one("unknown", benchmark(0.5), where="u", tags=frozenset()),
        one("alike", benchmark(2), where="b"),
        one("mine", benchmark(9)),
    )
    assert names(found) == ["mine", "alike", "unknown", "arm", "untimed"]
    near = [choice.measured.nearness if choice.measured else None for choice in found]
    assert near == [Nearness.SAME, Nearness.ALIKE, Nearness.ELSEWHERE, Nearness.ELSEWHERE, None]
    assert [bool(choice.notes) for choice in found] == [False, True, True, True, False]
    assert "measure it here" in found[1].notes[0]
    assert "never timed" in found[-1].why
    assert "measured on this hardware class" in found[0].why


def test_the_median_decides_by_the_upper_end_of_its_interval() -> None:
    found = order(one("sure", benchmark(2.0, 1.95, 2.05)), one("faster at best", benchmark(1.99, 1.96, 2.4), size=200))
    assert names(found) == ["sure", "faster at best"]
    assert "cannot be told apart" in found[0].why


def test_those_that_cannot_be_told_from_the_fastest_are_ordered_by_size() -> None:
    found = order(
        one("fast and large", benchmark(2.0, 1.9, 2.1), size=400),
        one("as fast and small", benchmark(2.1, 2.05, 2.2), size=100),
        one("slower and smallest", benchmark(2.3, 2.15, 2.4), size=10),
        one("slowest", benchmark(9, 8, 10), size=1),
    )
    assert names(found) == ["as fast and small", "fast and large", "slower and smallest", "slowest"]


def test_equal_numbers_without_intervals_are_ties_too() -> None:
    assert names(order(one("b", benchmark(2), size=2), one("a", benchmark(2), size=3))) == ["b", "a"]
    assert names(order(one("b", benchmark(2)), one("a", benchmark(2)))) == ["a", "b"]


def test_throughput_is_what_runs_side_by_side() -> None:
    rows = [
        Throughput(side="artifact", streams=1, threads=1, batch=1, count=1, per_s=50),
        Throughput(side="artifact", streams=4, threads=4, batch=8, count=1, per_s=40),
        Throughput(side="baseline", streams=4, threads=4, batch=8, count=1, per_s=9000),
    ]
    found = order(
        one("wide", benchmark(20, throughput=rows)), one("quick", benchmark(4)), goal=Goal.THROUGHPUT
    )  # 320 items a second against 250 one after the other
    assert names(found) == ["wide", "quick"]
    assert found[0].measured is not None
    assert found[0].measured.items_per_s == 320
    assert found[1].measured is not None
    assert found[1].measured.items_per_s is None
    assert "one inference after the other" in found[1].why


def test_for_size_no_timing_is_needed() -> None:
    found = order(one("small", None, size=1), one("fast", benchmark(1), size=2), goal=Goal.SIZE)
    assert names(found) == ["small", "fast"]


def test_what_was_timed_with_the_shapes_asked_for_comes_before_the_rest() -> None:
    found = order(
        one("other", benchmark(1)), one("these", benchmark(5, shapes={"x": [8, 4]})), goal=Goal.LATENCY, x=(8, 4)
    )
    assert names(found) == ["these", "other"]
    assert "other shapes" in found[1].notes[0]


def test_the_settings_are_those_it_was_verified_under_with_no_more_threads_than_the_host_has() -> None:
    told = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 16, "ENABLE_CPU_PINNING": False}
    (own,) = order(one("a", benchmark(1), settings=told))
    assert own.settings == {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 16}
    (other,) = order(one("a", benchmark(1), settings=told, where="b"))
    assert other.settings == {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 4}


def test_a_gpu_artifact_is_near_where_the_same_gpu_is() -> None:
    hardware = HOST.hardware.model_copy(update={"gpus": [Gpu(name="NVIDIA H200", kind="nvidia")]})
    host = HOST.model_copy(update={"hardware": hardware})
    found = order(
        one("l40s", benchmark(1), where="b", target="tensorrt:fp16", settings={"device": "NVIDIA L40S"}),
        one("h200", benchmark(2), where="b", target="tensorrt:fp16", settings={"device": "NVIDIA H200"}),
        host=host,
    )
    assert names(found) == ["h200", "l40s"]


@pytest.mark.parametrize(
    ("more", "caution"),
    [
        ({"disturbed": True, "disturbance": "a compiler ran"}, "a compiler ran"),
        ({"speedup_low": 0.9}, "not surely faster than onnxruntime"),
    ],
)
def test_what_weakens_a_number_is_said(more: dict[str, Any], caution: str) -> None:
    (found,) = order(one("a", benchmark(1, **more)))
    assert caution in found.notes[0]
    assert found.why.startswith("the only one")

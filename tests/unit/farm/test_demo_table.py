from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from enginehouse.bundle import Manifest
from enginehouse.report import Benchmark, OutputVerification, Report, Timing, Verification
from enginehouse.states import BuildState, Origin
from enginehouse.targets import parse_target
from enginehouse.views import ArtifactView, BuildView
from farm.demo.table import HEADINGS, conditions, origin, rows

NOW = datetime(2026, 11, 1, tzinfo=UTC)


def build(**fields: Any) -> BuildView:
    given = {
        "id": "bld_1",
        "job": "job_1",
        "model": "m" * 64,
        "target": parse_target("openvino:fp16"),
        "phase": None,
        "state": BuildState.SUCCEEDED,
        "reason": "",
        "origin": Origin.BUILT,
        "artifact": "a" * 64,
        "failure": None,
        "attempts": [],
        "pool": None,
        "created": NOW,
        "started": NOW,
        "ended": NOW,
    }
    return BuildView(**{**given, **fields})


def timing(p50: float, p90: float) -> Timing:
    rest = {"count": 200, "p99_ms": 9, "mean_ms": 5, "min_ms": 3, "load_ms": 10, "first_ms": 8}
    return Timing(name="onnxruntime fp32", p50_ms=p50, p90_ms=p90, **rest)


def output(name: str, error: float | None, cosine: float | None) -> OutputVerification:
    return OutputVerification(
        name=name, dtype="float32", shape=[1], max_abs_error=error, cosine=cosine, nonfinite=0, agrees=True
    )


def artifact(report: Report) -> ArtifactView:
    manifest = Manifest(
        model="m" * 64,
        target=parse_target("openvino:fp16"),
        entry="model.xml",
        runtime={},
        hardware_class="x",
        files=[],
    )
    return ArtifactView(id="a" * 64, build="bld_1", manifest=manifest, report=report, created=NOW)


REPORT = Report(
    model="m" * 64,
    target="openvino:fp16",
    size=10_600_000,
    verification=Verification(
        reference="onnxruntime 1.31.1 fp32 cpu",
        inputs="seeded",
        samples=4,
        shapes={"x": [1, 3, 48, 320]},
        tolerance={},
        agrees=True,
        outputs=[output("one", 1e-4, 0.99), output("two", 2e-3, 0.9999), output("classes", None, None)],
    ),
    benchmark=Benchmark(
        artifact=timing(5.0, 6.25),
        baseline=timing(10, 12),
        speedup=2.0,
        warmup=5,
        threads=1,
        shapes={},
        affinity=[0],
        settings={},
        load_before=0,
        load_after=0,
        disturbed=False,
    ),
)


def test_a_row_shows_the_worst_of_all_outputs_and_the_numbers() -> None:
    [row] = rows([build()], {"a" * 64: artifact(REPORT)})
    assert len(row.cells) == len(HEADINGS)
    assert row.cells == (
        *("openvino:fp16", "built", "10.6 MB", "2.00e-03", "0.9900000", "5.00", "6.25", "2.00x", "a" * 12),
    )


def test_a_disturbed_measurement_is_marked() -> None:
    assert REPORT.benchmark is not None
    disturbed = REPORT.model_copy(update={"benchmark": REPORT.benchmark.model_copy(update={"disturbed": True})})
    [row] = rows([build()], {"a" * 64: artifact(disturbed)})
    assert row.cells[7] == "2.00x*"
    assert conditions([disturbed]).endswith("* disturbed: other processes used the cores meanwhile")


def test_what_was_not_measured_is_not_a_number() -> None:
    bare = REPORT.model_copy(update={"benchmark": None, "verification": None})
    [row] = rows([build()], {"a" * 64: artifact(bare)})
    assert row.cells[3:8] == ("-",) * 5


def test_a_failed_build_has_a_row_too() -> None:
    [row] = rows([build(state=BuildState.FAILED, artifact=None, origin=None)], {})
    assert row.cells[:3] == ("openvino:fp16", "failed", "-")
    assert not row.good


@pytest.mark.parametrize(
    ("origins", "said"),
    [
        ([Origin.CACHE, Origin.CACHE], "All 2 builds were served from the cache"),
        ([Origin.BUILT, Origin.CACHE], "1 built, 1 served from the cache"),
        ([Origin.BUILT, Origin.BUILT], "2 built."),
    ],
)
def test_it_says_whether_the_farm_had_to_build(origins: list[Origin], said: str) -> None:
    assert origin([build(origin=each) for each in origins]).startswith(said)


def test_the_conditions_stand_under_the_numbers() -> None:
    assert conditions([REPORT]) == (
        "errors against onnxruntime 1.31.1 fp32 cpu over 4 samples of x 1x3x48x320; "
        "speed-up over onnxruntime fp32, interleaved, 1 thread, 200 runs each"
    )
    assert conditions([]) == ""

"""Named baselines over real builds of the CPU's backends, in real children: built aside, timed beside the artifact."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract import broken_baselines
from contract.backends_models import GOOD, order, write

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.bundle import REQUEST_NAME
from enginehouse.gates import Gates, judge, missed
from enginehouse.report import Benchmark, OtherBaseline, Report
from enginehouse.states import Phase
from enginehouse.targets import Target, parse_target
from workers.backends import get
from workers.child import entry
from workers.child.parent import start
from workers.child.watch import Watch
from workers.cores import core_files
from workers.pipeline import Order

pytestmark = pytest.mark.timeout(300)


def against(*names: str, **options: dict[str, Any]) -> tuple[Target, ...]:
    """Baselines; ``options`` by backend."""
    found = map(parse_target, names)
    return tuple(one.model_copy(update={"options": options.get(one.backend, {})}) for one in found)


def ordered(target: str, baselines: tuple[Target, ...], work: Path, **more: Any) -> Order:
    path = write(GOOD["convolution"](), work / "in")
    told = order(path, target, work, baselines=baselines, **more)
    return told.model_copy(update={"threads": 2, "cores": core_files(folder=work)})


class Done:
    """A build in a child of its own: its report, what it logged, and the phases that it told."""

    def __init__(self, told: Order, main: Callable[..., None] = entry.main) -> None:
        self.lines: list[str] = []
        self.phases: list[Phase] = []
        watch = Watch(
            start("fork", main, told.model_dump_json(), 4096),
            deadline=time.monotonic() + 240,
            memory_bytes=4096 << 20,
            grace_s=0.3,
            entered=self.phases.append,
            line=self.lines.append,
            cores=told.cores,
        )
        outcome = watch.run()
        assert outcome.built is not None, (outcome.failure, self.lines)
        self.manifest, self.report = outcome.built.manifest, outcome.built.report

    @property
    def rows(self) -> dict[str, OtherBaseline]:
        return {one.name: one for one in benchmark_of(self.report).others}


def benchmark_of(report: Report) -> Benchmark:
    assert report.benchmark is not None
    return report.benchmark


def assert_whole(row: OtherBaseline) -> None:
    """Every number of a measured row is there, and they fit each other."""
    assert row.reason == ""
    assert row.artifact_p50_ms is not None
    assert row.p50_ms is not None
    assert row.speedup == pytest.approx(row.p50_ms / row.artifact_p50_ms, rel=0.02)
    assert row.speedup_low is not None
    assert row.speedup_high is not None
    assert row.speedup_low <= row.speedup + 1e-4
    assert row.speedup - 1e-4 <= row.speedup_high
    assert row.pairs is not None
    assert row.pairs >= 6
    assert row.tries in (1, 2, 3)
    assert row.disturbed == bool(row.disturbance)
    assert row.toolchain == get(row.name.partition(":")[0]).toolchain()


def test_each_is_measured_in_turns_with_the_artifact_with_the_same_threads(tmp_path: Path) -> None:
    names = ["openvino:fp32", "onnxruntime:fp32", "litert:fp32"]
    told = ordered("openvino:fp16", against(*names, "openvino:fp16"), tmp_path)
    done = Done(told)
    rows = done.rows
    assert list(rows) == names, "it is no baseline of its own"
    for row in rows.values():
        assert_whole(row)
    assert rows["openvino:fp32"].settings["INFERENCE_NUM_THREADS"] == 2
    assert rows["onnxruntime:fp32"].settings["intra_op_num_threads"] == 2
    assert rows["litert:fp32"].settings["num_threads"] == 2
    assert done.phases[:2] == [Phase.BASELINES, Phase.IMPORT]
    assert Phase.BASELINES in [one.phase for one in done.report.phases]
    page = (told.bundle / "report.html").read_text()
    assert all(f"the speed of {name}" in page for name in names)
    asked = json.loads((told.bundle / REQUEST_NAME).read_text())["baselines"]
    assert [f"{one['backend']}:{one['precision']}" for one in asked] == [*names, "openvino:fp16"]
    assert not [one for one in done.manifest.files if "baselines" in one.path]


def test_gates_over_a_measured_baseline_just_above_and_just_below_what_was_measured(tmp_path: Path) -> None:
    done = Done(ordered("onnxruntime:fp32", against("openvino:fp32"), tmp_path))
    low = done.rows["openvino:fp32"].speedup_low
    assert low is not None
    assert judge(Gates(min_speedup={"openvino:fp32": low}), done.report) is None
    failure = judge(Gates(min_speedup={"openvino:fp32": low * 1.000001}), done.report)
    assert failure is not None
    assert (failure.code, "over openvino:fp32" in failure.detail) == ("build.gate_missed", True)


def test_without_any_nothing_is_built_aside(tmp_path: Path) -> None:
    done = Done(ordered("onnxruntime:fp32", (), tmp_path))
    assert (done.rows, done.phases[0]) == ({}, Phase.IMPORT)
    assert not (tmp_path / "baselines").exists()


def test_one_that_cannot_be_built_has_its_reason_and_fails_nothing(tmp_path: Path) -> None:
    broken = against("openvino:fp32", "litert:fp32", openvino={"no_such_option": 1})
    report = Done(ordered("onnxruntime:fp32", broken, tmp_path)).report
    assert report.verification is not None
    assert report.verification.agrees
    first, second = benchmark_of(report).others
    assert (first.name, first.speedup, first.p50_ms) == ("openvino:fp32", None, None)
    assert "no_such_option" in first.reason
    assert_whole(second)
    assert judge(Gates(min_speedup={"litert:fp32": 1e-9}), report) is None
    (gone,) = missed(Gates(min_speedup={"openvino:fp32": 1e-9}), report)
    assert str(gone).startswith("min_speedup 1e-09, not measured (over openvino:fp32: ")


def test_one_whose_build_dies_or_hangs_does_so_alone(tmp_path: Path) -> None:
    told = ordered("onnxruntime:fp32", against("openvino:fp32", "litert:fp32"), tmp_path)
    done = Done(told, broken_baselines.main)
    assert "the process died" in done.rows["openvino:fp32"].reason
    assert done.rows["litert:fp32"].reason == "it did not end within 5 s"
    assert benchmark_of(done.report).speedup > 0


def test_one_that_was_made_for_other_shapes_has_its_reason(tmp_path: Path) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.random.default_rng(0).random((3, 4, 3, 8, 8), np.float32))
    static = against("openvino:fp32", openvino={"reshape": "static"})
    more = {"shapes": {"x": (2, 3, 8, 8)}, "dataset": "a" * 64, "dataset_path": samples}
    row = Done(ordered("onnxruntime:fp32", static, tmp_path, **more)).rows["openvino:fp32"]
    assert row.reason == "it was made for other shapes than those that are timed"
    assert (row.speedup, row.p50_ms) == (None, None)


def test_one_with_embedded_preprocessing_is_fed_with_what_comes_before_it(tmp_path: Path) -> None:
    embedded = {"preprocess": {"x": {"element_type": "u8", "layout": "nhwc", "scale": [255.0]}}}
    row = Done(ordered("onnxruntime:fp32", against("openvino:fp32", openvino=embedded), tmp_path)).rows["openvino:fp32"]
    assert_whole(row)


def test_a_backend_that_the_worker_does_not_offer_is_said_to_be_missing(tmp_path: Path) -> None:
    told = ordered("onnxruntime:fp32", against("openvino:fp32"), tmp_path)
    row = Done(told.model_copy(update={"backends": ("onnxruntime",)})).rows["openvino:fp32"]
    assert row.reason == "this worker does not offer openvino"


def test_auto_measures_them_in_its_full_build_alone(tmp_path: Path) -> None:
    options = {"budget_s": 10, "backends": ["onnxruntime"], "precisions": ["fp32"]}
    told = ordered("auto", against("openvino:fp32", "onnxruntime:fp32"), tmp_path, options=options)
    done = Done(told.model_copy(update={"backends": ("onnxruntime", "openvino")}))
    assert done.phases[:3] == [Phase.EXPLORE, Phase.BASELINES, Phase.IMPORT]
    assert done.lines.count("baseline openvino:fp32:") == 1
    recommended = next(index for index, line in enumerate(done.lines) if line.startswith("recommended:"))
    assert [line for line in done.lines[:recommended] if line.startswith("against ")] == []
    assert_whole(done.rows["openvino:fp32"])
    assert done.manifest.target.backend == "onnxruntime"
    itself = done.manifest.target == parse_target("onnxruntime:fp32")
    assert ("onnxruntime:fp32" in done.rows) == (not itself)

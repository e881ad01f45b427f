"""What the builder is told for each precision and option, and on whom an engine runs afterwards."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from enginehouse.errors import CompileFailed
from enginehouse.shapes import ShapeRange
from enginehouse.targets import Precision
from enginehouse.versions import engine_loads
from workers.backends import get
from workers.backends.tensorrt import record
from workers.backends.tensorrt.options import TensorRtOptions
from workers.backends.tensorrt.plan import Flag, plan_of
from workers.backends.tensorrt.record import Record
from workers.backends.tensorrt.sparsity import sparse_layers
from workers.backends.tensorrt.timing_cache import label


def flags(precision: Precision = Precision.FP32, **options: Any) -> set[str]:
    return {str(flag) for flag in plan_of(precision, TensorRtOptions(**options)).flags}


def test_only_tf32_allows_tf32() -> None:
    assert flags(Precision.TF32) == {"TF32"}
    for precision in set(get("tensorrt").precisions) - {Precision.TF32}:
        assert flags(precision) == set()  # TensorRT's own default is to allow it: what is not here is cleared


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"sparsity": True}, {"SPARSE_WEIGHTS"}),
        ({"version_compatible": True}, {"VERSION_COMPATIBLE"}),
        ({"refit": "any"}, {"REFIT"}),
        ({"refit": "identical"}, {"REFIT_IDENTICAL"}),
        ({"strip_plan": True}, {"STRIP_PLAN", "REFIT_IDENTICAL"}),
        ({"strip_plan": True, "refit": "any"}, {"STRIP_PLAN", "REFIT"}),
        ({"dla_core": 0}, {"GPU_FALLBACK"}),
        ({"timing_cache": False}, {"DISABLE_TIMING_CACHE"}),
        ({"sparsity": True, "refit": "any"}, {"SPARSE_WEIGHTS", "REFIT"}),
    ],
)
def test_flags(options: dict[str, Any], expected: set[str]) -> None:
    assert flags(**options) == expected


def test_no_plan_ever_names_a_precision_or_two_ways_of_refitting() -> None:
    refits = ("none", "identical", "any")
    for precision, refit, strip in itertools.product(get("tensorrt").precisions, refits, (False, True)):
        plan = plan_of(precision, TensorRtOptions(refit=refit, strip_plan=strip))
        assert not {Flag.REFIT, Flag.REFIT_IDENTICAL} <= plan.flags
        assert plan.refittable == (strip or refit != "none")
        assert plan.stripped == strip
        assert not {str(flag) for flag in plan.flags} & {"FP16", "BF16", "INT8", "FP8"}


def test_numbers() -> None:
    plan = plan_of(Precision.FP16, TensorRtOptions())
    assert (plan.optimization_level, plan.workspace_bytes, plan.aux_streams, plan.dla_core) == (3, None, None, None)
    plan = plan_of(Precision.FP16, TensorRtOptions(workspace_mb=256, aux_streams=0, optimization_level=5))
    assert (plan.workspace_bytes, plan.aux_streams, plan.optimization_level) == (256 * 2**20, 0, 5)
    assert all(not isinstance(value, (list, dict, set)) for value in plan.as_dict().values())


@pytest.mark.parametrize(
    "options",
    [
        {"optimization_level": 6}, {"workspace_mb": 0}, {"aux_streams": -1}, {"hardware_compatibility": "hopper"},
        {"version_compatible": True, "strip_plan": True}, {"version_compatible": True, "refit": "any"},
        {"fp16": True}, {"quantization": "dynamic"}, {"calibration_samples": 1},
    ],
)  # fmt: skip
def test_options_that_cannot_be_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        TensorRtOptions(**options)


def made(**changes: Any) -> Record:
    values: dict[str, Any] = {
        "tensorrt": "10.16.1.11", "gpu": "NVIDIA H200", "compute_capability": "9.0", "cuda_runtime": "13.0",
        "cuda_driver": "13.0", "precision": "fp16", "hardware_compatibility": "none", "version_compatible": False,
        "weights": None, "profiles": ({"x": ShapeRange(min=(1, 3), opt=(2, 3), max=(8, 3))},), "plan": {},
    }  # fmt: skip
    return Record(**(values | changes))


def test_a_record_comes_back_as_it_was_written(tmp_path: Path) -> None:
    made().write(tmp_path)
    assert record.read(tmp_path) == made()
    (tmp_path / "engine.json").write_text('{"tensorrt": 10}')
    with pytest.raises(CompileFailed, match="cannot be read"):
        record.read(tmp_path)
    with pytest.raises(CompileFailed, match="cannot be read"):
        record.read(tmp_path / "nowhere")


@pytest.mark.parametrize(
    ("level", "capability", "runs"),
    [
        ("none", "9.0", True), ("none", "8.9", False), ("none", "10.0", False), ("none", "12.0", False),
        ("same_compute_capability", "9.0", True), ("same_compute_capability", "8.0", False),
        ("ampere_plus", "8.0", True), ("ampere_plus", "8.6", True), ("ampere_plus", "12.0", True),
        ("ampere_plus", "7.5", False),
    ],
)  # fmt: skip
def test_an_engine_is_refused_by_name_before_tensorrt_sees_it(level: str, capability: str, runs: bool) -> None:
    one = made(hardware_compatibility=level)
    if runs:
        one.refuse_unless_runs("NVIDIA Other", capability, "10.16.1.11")
        return
    with pytest.raises(CompileFailed, match=rf"NVIDIA Other, has {capability}") as caught:
        one.refuse_unless_runs("NVIDIA Other", capability, "10.16.1.11")
    assert "hardware_compatibility" in caught.value.hint


@pytest.mark.parametrize(
    ("built", "runtime", "compatible", "runs"),
    [
        ("10.16.1.11", "10.16.1.11", False, True), ("10.16.1.11", "10.16.2.3", False, False),
        ("10.16.1.11", "11.4.0.106", False, False), ("10.16.1.11", "10.17.0.1", True, True),
        ("10.16.1.11", "11.4.0.106", True, True), ("10.16.1.11", "10.9.0.34", True, False),
        ("11.4.0.106", "10.16.1.11", True, False), ("11.4.0.106", "12.0.0.1", True, False),
        ("11.4.0.106", "11.4.0.106", True, True),
    ],
)  # fmt: skip
def test_versions_that_load_each_others_engines(built: str, runtime: str, compatible: bool, runs: bool) -> None:
    assert engine_loads(built, runtime, version_compatible=compatible) is runs
    one = made(tensorrt=built, version_compatible=compatible)
    if runs:
        one.refuse_unless_runs("NVIDIA H200", "9.0", runtime)
    else:
        with pytest.raises(CompileFailed, match="does not load") as caught:
            one.refuse_unless_runs("NVIDIA H200", "9.0", runtime)
        assert (caught.value.where["needs"], caught.value.where["has"]) == (built, runtime)


def test_a_timing_cache_is_for_one_gpu_one_tensorrt_and_one_cuda() -> None:
    values = ("NVIDIA H200", "9.0", "11.4.0.106", "13.0")
    others = [tuple("x" if index == at else value for index, value in enumerate(values)) for at in range(4)]
    assert len({label(*one) for one in (values, *others)}) == 5
    assert len(label("N" * 100, "12.0", "11.4.0.106 (tensorrt-cu13-bindings)", "13.0")) <= 300


def test_what_tensorrt_says_of_sparsity() -> None:
    new = [
        "(Sparsity) Found 3 layer(s) eligible to use sparse tactics: /a/Conv, /b/Conv + /b/Relu, fc",
        "(Sparsity) Chose 2 layer(s) using sparse tactics: /a/Conv, fc",
    ]
    old = [
        "(Sparsity) Layers eligible for sparse math: /a/Conv, /b/Conv + /b/Relu, fc",
        "(Sparsity) TRT inference plan picked sparse implementation for layers: /a/Conv, fc",
    ]
    for lines in (new, old):
        found = sparse_layers(lines)
        assert found.eligible == ("/a/Conv", "/b/Conv + /b/Relu", "fc")
        assert found.taken == ("/a/Conv", "fc")
        assert str(found) == "2 of 3 layers with 2:4 weights run on sparse kernels: /a/Conv, fc"
    none = sparse_layers(["(Sparsity) Found 0 layer(s) eligible to use sparse tactics: ", "something else"])
    assert (none.eligible, none.taken) == ((), ())
    assert str(none) == "0 of 0 layers with 2:4 weights run on sparse kernels"

"""The ladder's order: which targets come after which, and the options that they keep."""

from __future__ import annotations

import pytest

from enginehouse.errors import CompileFailed, GateMissed, PrecisionNotKept, WorkerLost
from enginehouse.ladder import below, described, goes_on
from enginehouse.targets import Precision, Target, parse_target


def _names(text: str, **options) -> list[str]:
    target = parse_target(text).model_copy(update={"options": options})
    return [described(rung).removeprefix(f"{target.backend}:") for rung in below(target)]


@pytest.mark.parametrize(
    ("target", "rungs"),
    [
        ("openvino:int4", ["int8", "int8 mixed", "bf16", "fp16", "tf32", "fp32"]),
        ("openvino:int8", ["int8 mixed", "bf16", "fp16", "tf32", "fp32"]),
        ("tensorrt:int8", ["int8 mixed", "fp16", "bf16", "tf32", "fp32"]),
        ("tensorrt:fp8", ["fp8 mixed", "fp16", "bf16", "tf32", "fp32"]),
        ("onnxruntime:int8", ["int8 mixed", "fp16", "bf16", "tf32", "fp32"]),
        ("openvino:bf16", ["fp16", "tf32", "fp32"]),
        ("openvino:fp16", ["tf32", "fp32"]),
        ("litert:fp16", ["bf16", "tf32", "fp32"]),
        ("tensorrt:tf32", ["fp32"]),
        ("openvino:fp32", []),
    ],
)
def test_the_rungs_below_a_target(target, rungs):
    assert _names(target) == rungs


def test_after_the_mixed_rung_come_the_floats():
    assert _names("openvino:int8", mixed=True) == ["bf16", "fp16", "tf32", "fp32"]


@pytest.mark.parametrize("precision", [one for one in Precision if one is not Precision.AUTO])
@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "tensorrt", "litert", "another"])
def test_every_ladder_ends_in_fp32_and_going_down_step_by_step_is_the_same_way(backend, precision):
    target = Target(backend=backend, precision=precision, requires=("cpu",))
    rungs = below(target)
    assert all(rung.backend == backend and rung.requires == ("cpu",) for rung in rungs)
    assert rungs[-1:] == ([] if precision is Precision.FP32 else [Target(**{**vars(target), "precision": "fp32"})])
    for number, rung in enumerate(rungs):
        assert below(rung) == rungs[number + 1 :]


def test_options_about_quantisation_stay_with_it():
    target = parse_target("openvino:int8").model_copy(
        update={"options": {"preset": "mixed", "calibration": "generated", "keep_float": ["n"], "threads": 2}}
    )
    mixed, *_, fp32 = below(target)
    assert mixed.options == {**target.options, "mixed": True}
    assert fp32.options == {"threads": 2}


def test_exempted_nodes_stay_exempt_at_16_bits_where_the_backend_can():
    def at_fp16(backend: str) -> dict:
        target = parse_target(f"{backend}:int8").model_copy(
            update={"options": {"keep_float": ["n"], "method": "MinMax"}}
        )
        return {rung.precision: rung.options for rung in below(target)}[Precision.FP16]

    assert at_fp16("onnxruntime") == {"keep_float": ["n"]}
    assert at_fp16("openvino") == {}


def test_what_a_ladder_goes_on_from():
    assert goes_on(GateMissed().failure())
    assert goes_on(PrecisionNotKept().failure())
    assert not goes_on(CompileFailed().failure())
    assert not goes_on(WorkerLost().failure())

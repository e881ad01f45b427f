"""Baselines of a request: which are taken, which targets they are for, and what is refused with what words."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from enginehouse.baselines import against
from enginehouse.client import job_request
from enginehouse.errors import RequestError, TargetError, UnknownPrecision
from enginehouse.request import JobRequest, Recipe, fields_of
from enginehouse.targets import Target, parse_target

MODEL = "0" * 64
FP32 = parse_target("openvino:fp32")


def request(*targets: str, **more: Any) -> JobRequest:
    return JobRequest.model_validate({"model": MODEL, "targets": targets or ["openvino:int8"], **more})


def names(asked: JobRequest, target: str) -> list[str]:
    return [str(one) for one in asked.baselines_of(parse_target(target))]


def test_without_a_word_there_are_none() -> None:
    assert request().baselines == ()
    assert request(gates={"min_speedup": 2}, benchmark=False).baselines_of(parse_target("openvino:int8")) == ()
    assert Recipe(model=MODEL, target=FP32).against() == ()


def test_what_a_gate_names_is_measured_for_the_targets_that_it_is_for() -> None:
    asked = request(
        "openvino:int8",
        "onnxruntime:int8@cpu",
        "auto",
        baselines=["litert:fp32"],
        gates={"min_speedup": {"source": 1.5, "onnxruntime:fp32": 1}},
        target_gates={
            "openvino:int8": {"min_speedup": {"OpenVINO:fp32": 1.2, "litert:fp32": 1}},
            "auto": {"min_speedup": {"openvino:fp32": 1}},
        },
    )
    assert names(asked, "openvino:int8") == ["litert:fp32", "openvino:fp32"]
    assert names(asked, "onnxruntime:int8@cpu") == ["litert:fp32", "onnxruntime:fp32"]
    assert names(asked, "auto") == names(asked, "auto@some-pool") == ["litert:fp32", "openvino:fp32"]


def test_a_baseline_in_full_keeps_its_options_where_a_gate_names_it() -> None:
    full = {"backend": "openvino", "precision": "int8", "options": {"quantization": "weights"}}
    asked = request(baselines=[full], gates={"min_speedup": {"openvino:int8": 1}})
    assert asked.baselines_of(parse_target("openvino:int8")) == (Target.model_validate(full),)


def test_a_target_is_none_of_its_own_but_with_other_options_it_is() -> None:
    optioned = FP32.model_copy(update={"options": {"streams": 2}})
    plain = parse_target("onnxruntime:fp32")
    assert against(parse_target("openvino:fp32@cpu"), [FP32, plain]) == (plain,)
    assert against(optioned, [FP32]) == (FP32,)
    assert against(FP32, [optioned]) == (optioned,)
    assert Recipe(model=MODEL, target=FP32, baselines=(FP32, plain)).against() == (plain,)
    assert Recipe(model=MODEL, target=parse_target("auto"), baselines=(FP32,)).against() == (FP32,)


FOUR = ["openvino:fp32", "onnxruntime:fp32", "litert:fp32", "tensorrt:fp32"]


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"baselines": ["auto"]}, "'auto' is no baseline"),
        ({"baselines": ["openvino:fp32@cpu"]}, "a baseline has no hardware tags"),
        ({"baselines": ["openvino"]}, "'openvino' is not BACKEND:PRECISION"),
        ({"baselines": ["openvino:fp33"]}, "'fp33'"),
        (
            {"baselines": [{"backend": "openvino", "precision": "int8", "options": {"mixed": True}}]},
            "cannot have the option 'mixed'",
        ),
        ({"baselines": ["openvino:fp32", "OpenVINO:FP32"]}, "two of the baselines are openvino:fp32"),
        ({"baselines": [*FOUR, "openvino:fp16"]}, "at most 4"),
        (
            {"baselines": FOUR, "gates": {"min_speedup": {"openvino:fp16": 1}}},
            "against 5, .*openvino:fp16.*; 4 at most",
        ),
        ({"baselines": ["openvino:fp32"], "benchmark": False}, "leave 'benchmark' on"),
        ({"gates": {"min_speedup": {"openvino:fp32": 1}}, "benchmark": False}, "leave 'benchmark' on"),
        ({"target_gates": {"openvino:int8": {"min_speedup": {"openvino:int8": 1}}}}, "speed-up over itself"),
    ],
)
def test_what_is_refused_and_why(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        request(**fields)


def test_a_recipe_refuses_the_same() -> None:
    for fields in ({"baselines": ("auto",)}, {"baselines": FOUR * 2}, {"baselines": FOUR, "benchmark": False}):
        with pytest.raises(ValidationError):
            Recipe.model_validate({"model": MODEL, "target": FP32, **fields})


def test_the_client_says_which_baseline_is_wrong_with_the_targets_own_code() -> None:
    with pytest.raises(UnknownPrecision):
        job_request(model=MODEL, targets=["openvino:int8"], baselines=["openvino:fp33"])
    with pytest.raises(TargetError):
        job_request(model=MODEL, targets=["openvino:int8"], baselines=("openvino",))
    with pytest.raises(RequestError, match=r"baselines\.0.*hardware tags"):
        job_request(model=MODEL, targets=["openvino:int8"], baselines=["openvino:fp32@cpu"])


def test_a_bundles_request_asks_for_them_again() -> None:
    recipe = Recipe(model=MODEL, target=parse_target("openvino:int8"), baselines=(FP32,))
    again = Recipe.model_validate_json(recipe.model_dump_json())
    assert again == recipe
    assert JobRequest(**fields_of(again)).baselines_of(again.target) == (FP32,)

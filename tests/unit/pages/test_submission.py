"""The form of a submission: fields to a request, and a request back to the same fields."""

from __future__ import annotations

from typing import Any

import pytest

from api.pages.optionfields import fields_of
from api.pages.submission import SubmissionForm, again, blank, filled, request_of
from enginehouse.errors import EnginehouseError, UnknownPrecision
from enginehouse.request import JobRequest
from enginehouse.states import Priority
from workers.exploration.options import AutoOptions

MODEL = "a" * 64
SCHEMAS: dict[str, dict[str, Any]] = {
    "openvino": {
        "type": "object",
        "properties": {
            "hint": {"type": "string", "enum": ["latency", "throughput"], "default": "latency"},
            "threads": {"anyOf": [{"type": "integer", "minimum": 1, "maximum": 64}, {"type": "null"}], "default": None},
            "share": {"type": "number", "default": 0.5},
            "mixed": {"type": "boolean", "default": False},
            "keep": {"type": "array", "items": {"type": "string"}, "description": "names"},
            "scopes": {"type": "object"},
        },
    },
    "auto": AutoOptions.model_json_schema(),
}


def form(**fields: Any) -> SubmissionForm:
    return SubmissionForm.model_validate({"model": MODEL, "target": ["openvino:fp16"], "verify": "true", **fields})


def asked(**fields: Any) -> JobRequest:
    return request_of(form(**fields), SCHEMAS)


def test_the_least_form_is_the_least_request() -> None:
    assert asked(benchmark="true") == JobRequest(model=MODEL, targets=["openvino:fp16"])


def test_every_field_arrives() -> None:
    found = request_of(
        SubmissionForm.model_validate(
            {
                "model": MODEL,
                "target": ["openvino:fp16", "openvino:int8"],
                "requires": "avx2 + cpu.cores>=8",
                "option:openvino:hint": "throughput",
                "option:openvino:threads": "4",
                "option:openvino:mixed": "true",
                "option:openvino:keep": "a, b",
                "option:openvino:scopes": '{"names": ["x"]}',
                "dataset": "digits@2",
                "gate:min_cosine": "0.999",
                "gate:min_speedup": "1.5",
                "gate:max_bytes": "5000000",
                "over:onnxruntime:fp32": "1.2",
                "baseline": ["onnxruntime:fp32"],
                "ladder": "true",
                "verify": "true",
                "benchmark": "true",
                "priority": "high",
                "time_min": "2.5",
                "memory_mb": "4096",
                "name": "one",
                "shaped": "one",
                "shape:x": "1, 3, 224, 224",
            }
        ),
        SCHEMAS,
    )
    assert [str(target) for target in found.targets] == [
        "openvino:fp16@avx2+cpu.cores>=8",
        "openvino:int8@avx2+cpu.cores>=8",
    ]
    options = {"hint": "throughput", "threads": 4, "mixed": True, "keep": ["a", "b"], "scopes": {"names": ["x"]}}
    assert all(target.options == options for target in found.targets)
    assert found.gates.min_speedup == {"source": 1.5, "onnxruntime:fp32": 1.2}
    assert (found.gates.min_cosine, found.gates.max_bytes) == (0.999, 5000000)
    assert (found.limits.time_s, found.limits.memory_mb) == (150, 4096)
    assert (found.dataset, found.ladder, found.priority, found.name) == ("digits@2", True, Priority.HIGH, "one")
    assert found.shapes == {"x": (1, 3, 224, 224)}


def test_ranges_are_one_profile_and_the_other_way_s_fields_are_left_alone() -> None:
    fields = {"shaped": "range", "shape:x": "9", "min:x": "1x3", "opt:x": "[2, 3]", "max:x": "4, 3"}
    (profile,) = request_of(form(**fields), SCHEMAS).profiles
    assert (profile["x"].min, profile["x"].opt, profile["x"].max) == ((1, 3), (2, 3), (4, 3))
    assert request_of(form(**fields), SCHEMAS).shapes == {}


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"target": []}, "no target is chosen"),
        ({"option:openvino:threads": "many"}, "not a whole number"),
        ({"gate:min_cosine": "much"}, "not a number"),
        ({"gate:nothing": "1"}, "no gate"),
        ({"shaped": "one", "shape:x": "1, -3"}, "not a list of whole numbers"),
        ({"shaped": "range", "min:x": "1"}, "opt and max are left out"),
        ({"memory_mb": "1.5"}, "not a whole number"),
        ({"priority": "urgent"}, "priority"),
        ({"time_min": "nan"}, "not a number"),
        ({"time_min": "inf"}, "not a number"),
        ({"baseline": ["auto"]}, "no baseline"),
    ],
)
def test_what_is_wrong_is_said(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(EnginehouseError, match=says):
        request_of(form(**fields), SCHEMAS)


def test_an_unknown_precision_keeps_its_code() -> None:
    with pytest.raises(UnknownPrecision):
        asked(target=["openvino:fp12"])


def test_a_request_fills_the_form_that_asks_for_it_again() -> None:
    first = JobRequest(
        model=MODEL,
        targets=[{"backend": "openvino", "precision": "int8", "options": {"hint": "throughput", "keep": ["a"]}}],
        gates={"min_speedup": {"source": 1.5, "onnxruntime:fp32": 1.25}, "min_cosine": 0.99},
        baselines=["onnxruntime:fp32"],
        dataset="digits@1",
        profiles=[{"x": {"min": [1, 3], "opt": [2, 3], "max": [4, 3]}}],
        limits={"time_s": 600, "memory_mb": 2048},
        ladder=True,
        benchmark=True,
        verify=True,
        seed=7,
        name="again",
    )
    values = again(first)
    data = {"model": MODEL, "target": list(values.targets), "baseline": list(values.baselines), **values.fields}
    data |= {name: "true" for name in ("ladder", "verify", "benchmark") if getattr(values, name)}
    second = SubmissionForm.model_validate(data)
    assert request_of(second, SCHEMAS) == first
    assert filled(second).fields.items() >= values.fields.items()


def test_a_blank_form_knows_the_model_s_name() -> None:
    assert blank("resnet").get("name") == "resnet"
    assert blank("resnet").verify
    assert blank("resnet").benchmark


def test_options_are_fields_with_bounds_choices_and_defaults() -> None:
    fields = {one.name: one for one in fields_of(SCHEMAS["openvino"])}
    assert (fields["hint"].kind, fields["hint"].choices, fields["hint"].default) == (
        "choice",
        ("latency", "throughput"),
        "latency",
    )
    assert (fields["threads"].kind, fields["threads"].least, fields["threads"].most) == ("number", 1, 64)
    assert fields["mixed"].choices == ("true", "false")
    assert fields["keep"].hint == "names; a list: values with commas"
    auto = {one.name: one for one in fields_of(SCHEMAS["auto"])}
    assert auto["goal"].choices == ("latency", "throughput")
    assert (auto["budget_s"].default, auto["budget_s"].least) == ("300", 5)

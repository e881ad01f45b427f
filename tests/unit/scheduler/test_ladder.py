"""Where a ladder goes on, among what workers have announced."""

from __future__ import annotations

import pytest

from enginehouse.capability import Capability
from enginehouse.signature import ModelSignature
from enginehouse.targets import Precision, Target, parse_target
from scheduler.ladder import next_step
from scheduler.placement import PoolState
from scheduler.requirements import Given

GIVEN = Given(ModelSignature(format="onnx", inputs=[], outputs=[]), samples=10)
OPTIONS = {"threads": {"type": "integer", "minimum": 1}, "mixed": {"type": "boolean", "default": False}}


def pool(
    name: str, *precisions: str, tags=("cpu",), options=OPTIONS, backend="openvino", formats=("onnx",)
) -> PoolState:
    capability = Capability(
        backend=backend,
        toolchain={backend: "1"},
        precisions=[Precision(precision) for precision in precisions],
        formats=list(formats),
        options_schema={"type": "object", "properties": options, "additionalProperties": False},
    )
    return PoolState(name, "hw", frozenset(tags), (capability,), "1", free=1)


def step(text: str, *known: PoolState, online=None, given=GIVEN, **options):
    target = parse_target(text).model_copy(update={"options": options})
    return next_step(target, given, known, known if online is None else online)


def went(found) -> tuple[str, dict] | None:
    return (str(found.target), found.target.options) if found.target else None


def test_the_mixed_rung_comes_first_where_the_option_is_announced():
    whole = pool("a", "int8", "bf16", "fp32")
    assert went(step("openvino:int8", whole)) == ("openvino:int8", {"mixed": True})
    assert went(step("openvino:int8", whole, mixed=True)) == ("openvino:bf16", {})
    without = pool("a", "int8", "bf16", "fp32", options={})
    found = step("openvino:int8", without)
    assert went(found) == ("openvino:bf16", {})
    assert "no option 'mixed'" in found.note


def test_what_nobody_offers_is_passed_over_and_named():
    found = step("openvino:int8", pool("a", "int8", "fp32"), mixed=True)
    assert went(found) == ("openvino:fp32", {})
    assert "openvino:bf16 passed over" in found.note
    assert "offered in fp32, int8" in found.note


def test_options_that_the_next_rung_does_not_know_are_dropped_and_noted():
    older = pool("a", "int8", "fp32", options={"threads": {"type": "integer", "minimum": 4}, "hint": {}})
    found = step("openvino:int8", older, threads=2, hint="latency", streams=1, preset="mixed")
    assert went(found) == ("openvino:fp32", {"hint": "latency"})
    assert found.note.startswith("left out: the options preset, streams, threads")


def test_the_hardware_requirement_stays():
    plain, strong = pool("a", "int8", "bf16", "fp32"), pool("b", "int8", "fp32", tags=("cpu", "amx"))
    assert went(step("openvino:int8@amx", plain, strong, mixed=True)) == ("openvino:fp32@amx", {})


def test_a_rung_that_somebody_online_can_take_comes_before_one_that_nobody_can():
    here, gone = pool("a", "int8", "fp32"), pool("b", "int8", "bf16", "fp32")
    found = step("openvino:int8", here, gone, online=[here], mixed=True)
    assert went(found) == ("openvino:fp32", {})
    assert "openvino:bf16 passed over: no worker online offers openvino:bf16" in found.note
    assert went(step("openvino:int8", here, gone, online=[], mixed=True)) == ("openvino:bf16", {})


@pytest.mark.parametrize(
    ("known", "says"),
    [
        ([], "no worker that was ever announced offers openvino"),
        ([pool("a", "int8", options={})], "offered in int8, not in 'fp32'"),
        ([pool("a", "int8", "fp32", backend="onnxruntime")], "no worker that was ever announced offers openvino"),
        ([pool("a", "int8", "fp32", formats=["tflite"])], "takes tflite, not onnx"),
    ],
)
def test_where_no_rung_is_offered_the_end_says_so(known, says):
    found = step("openvino:int8", *known)
    assert found.target is None
    assert found.note.startswith("the ladder ends here")
    assert says in found.note


def test_nothing_is_above_fp32():
    found = step("openvino:fp32", pool("a", "fp32"))
    assert (found.target, found.note) == (None, "the ladder ends here; there is nothing above fp32")


def test_a_rung_that_needs_a_dataset_is_passed_over_without_one():
    bare = Given(GIVEN.signature)
    found = step("openvino:int4", pool("a", "int4", "int8", "fp32"), given=bare)
    assert isinstance(found.target, Target)
    assert found.target.precision is Precision.FP32
    assert "names no dataset" in found.note


def test_a_rung_is_sought_where_the_baselines_are_online_too():
    plain = pool("x", "fp32", backend="onnxruntime").capabilities[0]
    alone = pool("alone", "int8", "bf16", "fp32", options={})
    both = pool("both", "int8", "fp32", options={})
    both = PoolState(both.name, "hw", both.tags, (*both.capabilities, plain), "1", free=1)
    target, beside = parse_target("openvino:int8"), [parse_target("onnxruntime:fp32"), parse_target("openvino:fp32")]
    assert went(next_step(target, GIVEN, [alone, both], [alone, both])) == ("openvino:bf16", {})
    found = next_step(target, GIVEN, [alone, both], [alone, both], beside)
    assert went(found) == ("openvino:fp32", {})
    assert "openvino:bf16 passed over" in found.note
    assert "to be measured against" in found.note

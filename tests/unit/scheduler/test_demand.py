"""What a build is to placement, as a line of text that reads back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from enginehouse.targets import AUTO, Precision, Target, parse_target
from scheduler.line import demand, wanted

terms = st.sampled_from(
    ["cpu", "sm_90", "cpu.cores>=8", "cpu.isa has amx_int8", "gpu.name=nvidia h200", "tensorrt~=11.4", "pool!=a-1"]
)
kinds = st.tuples(st.sampled_from(["openvino", "tensorrt"]), st.sampled_from(["fp16", "int8"])) | st.just((AUTO, AUTO))


@st.composite
def targets(draw: st.DrawFn) -> Target:
    backend, precision = draw(kinds)
    required = draw(st.lists(terms, max_size=7))
    return Target(
        backend=backend, precision=Precision(precision), requires=tuple(required), options={"threads": len(required)}
    )


@given(targets(), st.sampled_from(["onnx", "torch-export", "tf-savedmodel"]))
def test_a_demand_reads_back_without_the_options(target: Target, model_format: str) -> None:
    text = demand(model_format, target)
    assert wanted(text) == (model_format, target.model_copy(update={"options": {}}))


def test_equal_requirements_are_one_demand() -> None:
    one, other = parse_target("openvino:fp16@cpu+cpu.cores >= 08.0"), parse_target("openvino:FP16@CPU.cores>=8+cpu")
    assert demand("onnx", one) == demand("onnx", other) == "onnx openvino:fp16@cpu+cpu.cores>=8"
    assert demand("onnx", parse_target("openvino:fp16@cpu.cores>=9")) != demand("onnx", one)

"""Placement: the first thing that is missing is the reason; what fits is offered, the freest first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.capability import Capability
from enginehouse.targets import Precision, Target, parse_target
from scheduler.placement import PoolState, place

OPENVINO = Capability(
    backend="openvino", toolchain={}, precisions=[Precision.FP32, Precision.FP16], formats=["onnx"], options_schema={}
)
TENSORRT = OPENVINO.model_copy(update={"backend": "tensorrt"})


def pool(name="p", tags=("cpu",), capabilities=(OPENVINO,), free=1):
    return PoolState(name, f"class-{name}", frozenset(tags), tuple(capabilities), "1", free)


@pytest.mark.parametrize(
    ("target", "model_format", "pools", "reason"),
    [
        ("openvino:fp16", "onnx", [], "no worker is online"),
        ("tensorrt:fp16", "onnx", [pool()], "no worker online offers tensorrt; offered: openvino"),
        ("openvino:int8", "onnx", [pool()], "no worker online offers openvino:int8; offered: fp16, fp32"),
        ("openvino:fp16", "caffe", [pool()], "no worker online reads caffe models for openvino"),
        (
            "openvino:fp16@h200",
            "onnx",
            [pool()],
            "no worker online that offers openvino:fp16 has the tag h200",
        ),
        (
            "openvino:fp16@a+b",
            "onnx",
            [pool(tags=["a"]), pool("q", tags=["b"])],
            "no worker online that offers openvino:fp16 has the tags a, b together",
        ),
        ("openvino:fp16", "onnx", [pool(free=0)], "every slot of p is busy"),
    ],
)
def test_the_reason_names_the_first_thing_that_is_missing(target, model_format, pools, reason):
    found = place(parse_target(target), model_format, pools)
    assert found.now is None
    assert found.reason == reason


def test_the_freest_pool_that_fits_is_first():
    pools = [pool("a", free=1), pool("b", free=3), pool("c", free=9, capabilities=[TENSORRT])]
    found = place(parse_target("openvino:fp16"), "onnx", pools)
    assert [p.name for p in found.pools] == ["b", "a"]
    assert found.now == pools[1]


tag = st.sampled_from(["cpu", "h200", "amx", "sm_90"])
capability = st.builds(
    Capability,
    backend=st.sampled_from(["openvino", "tensorrt"]),
    toolchain=st.just({}),
    precisions=st.lists(st.sampled_from(list(Precision)), min_size=1, unique=True),
    formats=st.lists(st.sampled_from(["onnx", "caffe"]), min_size=1, unique=True),
    options_schema=st.just({}),
)
states = st.builds(
    PoolState,
    st.uuids().map(str),
    st.just("class"),
    st.frozensets(tag),
    st.lists(capability, max_size=2, unique_by=lambda c: c.backend).map(tuple),
    st.just("1"),
    st.integers(0, 2),
)
targets = st.builds(
    Target,
    backend=st.sampled_from(["openvino", "tensorrt"]),
    precision=st.sampled_from([one for one in Precision if one is not Precision.AUTO]),
    requires=st.lists(tag, max_size=2, unique=True).map(tuple),
)


@given(targets, st.lists(states, max_size=4))
def test_exactly_the_pools_that_fit_are_offered_and_silence_means_a_free_slot(target, pools):
    def fits(one: PoolState) -> bool:
        found = one.capability(target.backend)
        reads = found is not None and target.precision in found.precisions and "onnx" in found.formats
        return reads and set(target.requires) <= one.tags

    placement = place(target, "onnx", pools)
    assert {p.name for p in placement.pools} == {p.name for p in pools if fits(p)}
    assert (placement.now is not None) == any(fits(p) and p.free > 0 for p in pools)
    assert (placement.reason == "") == (placement.now is not None)

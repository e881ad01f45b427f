"""Placement: the first thing that is missing is the reason; what fits is offered, the freest first."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from enginehouse.capability import Capability
from enginehouse.constraints import is_constraint, parse
from enginehouse.targets import Precision, Target, parse_target
from scheduler import line
from scheduler.placement import PoolState, place

OPENVINO = Capability(
    backend="openvino", toolchain={}, precisions=[Precision.FP32, Precision.FP16], formats=["onnx"], options_schema={}
)
TENSORRT = OPENVINO.model_copy(update={"backend": "tensorrt"})


def pool(name="p", tags=("cpu",), capabilities=(OPENVINO,), free=1, **facts):
    named = {fact.replace("__", "."): value for fact, value in facts.items()}
    return PoolState(name, f"class-{name}", frozenset(tags), tuple(capabilities), "1", free, facts=named)


def versioned(**packages):
    return OPENVINO.model_copy(update={"toolchain": packages})


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
        (
            "openvino:fp16@gpu.compute_capability>=8.0",
            "onnx",
            [pool(gpu__compute_capability="7.5"), pool("q", gpu__compute_capability="7.5"), pool("r")],
            "no worker online that offers openvino:fp16 meets gpu.compute_capability>=8; "
            "offered: 7.5 by pool p, pool q; nothing by pool r",
        ),
        (
            "openvino:fp16@cpu+cpu.isa has amx_int8",
            "onnx",
            [pool(cpu__isa=["avx2", "avx512f"])],
            "no worker online that offers openvino:fp16 and has cpu meets cpu.isa has amx_int8; "
            "offered: avx2, avx512f by pool p",
        ),
        (
            "openvino:fp16@h200+cpu.cores>=8",
            "onnx",
            [pool(cpu__cores=2)],
            "no worker online that offers openvino:fp16 has the tag h200",
        ),
        (
            "openvino:fp16@cpu.cores>=8+memory_gb>=64",
            "onnx",
            [pool(cpu__cores=8, memory_gb=16), pool("q", cpu__cores=2, memory_gb=64)],
            "no worker online that offers openvino:fp16 meets cpu.cores>=8, memory_gb>=64 together",
        ),
        (
            "openvino:fp16@cpu.cores>=8+memory_gb>=64",
            "onnx",
            [pool(cpu__cores=8, memory_gb=16), pool("q", cpu__cores=2, memory_gb=32)],
            "no worker online that offers openvino:fp16 meets memory_gb>=64; offered: 16 by pool p; 32 by pool q",
        ),
        (
            "openvino:fp16@openvino>=2026.4",
            "onnx",
            [pool(capabilities=[versioned(openvino="2026.3.0")])],
            "no worker online that offers openvino:fp16 meets openvino>=2026.4; offered: 2026.3.0 by pool p",
        ),
        (
            "openvino:fp16@opennvino>=2026.4",
            "onnx",
            [pool(capabilities=[versioned(openvino="2026.3.0", onnx="1.23.2")])],
            "no worker online that offers openvino:fp16 meets opennvino>=2026.4; "
            "offered: nothing of that name; its toolchain is onnx, openvino",
        ),
        (
            "openvino:fp16@pool=q",
            "onnx",
            [pool()],
            "no worker online that offers openvino:fp16 meets pool=q; offered: p by pool p",
        ),
    ],
)
def test_the_reason_names_the_first_thing_that_is_missing(target, model_format, pools, reason):
    found = place(parse_target(target), model_format, pools)
    assert found.pools == ()
    assert found.reason == found.waits_for == reason


def test_where_pools_can_build_it_it_waits_for_their_slots():
    found = place(parse_target("openvino:fp16"), "onnx", [pool("b", free=0), pool("a", free=1)])
    assert (found.reason, found.waits_for) == ("", "it waits for a slot of pool a or 1 more")


def test_the_freest_pool_that_fits_is_first():
    pools = [pool("a", free=1), pool("b", free=3), pool("c", free=9, capabilities=[TENSORRT])]
    found = place(parse_target("openvino:fp16"), "onnx", pools)
    assert [p.name for p in found.pools] == ["b", "a"]


def test_packages_are_those_of_the_targets_backend():
    tensorrt = TENSORRT.model_copy(update={"toolchain": {"tensorrt": "11.4.0", "onnx": "1.22.0"}})
    both = pool(capabilities=[versioned(openvino="2026.4.1", onnx="1.23.2"), tensorrt])
    assert place(parse_target("openvino:fp16@onnx>=1.23"), "onnx", [both]).pools == (both,)
    assert not place(parse_target("tensorrt:fp16@onnx>=1.23"), "onnx", [both]).pools
    assert not place(parse_target("openvino:fp16@tensorrt>=11"), "onnx", [both]).pools


def test_a_pool_has_many_values_and_a_reason_stays_short():
    pools = [pool(f"p{number:03}", cpu__cores=number) for number in range(40)]
    reason = place(parse_target("openvino:fp16@cpu.cores>=100"), "onnx", pools).reason
    assert reason.endswith("; and 35 more")
    assert reason.count("pool p0") == 5


def test_a_build_goes_where_its_baselines_can_be_built_too():
    plain = OPENVINO.model_copy(update={"backend": "onnxruntime", "precisions": [Precision.FP32]})
    both, other = pool("both", capabilities=[OPENVINO, plain]), pool("other", free=9)
    beside = [parse_target("onnxruntime:fp32"), parse_target("openvino:fp32")]
    found = place(parse_target("openvino:fp16"), "onnx", [other, both], beside)
    assert [one.name for one in found.pools] == ["both"]
    assert place(parse_target("openvino:fp16"), "onnx", [other], beside).reason == (
        "no worker online that offers openvino:fp16 offers onnxruntime:fp32, which it is to be measured against"
    )
    half = pool("half", capabilities=[OPENVINO, TENSORRT])
    beside = [parse_target("onnxruntime:fp32"), parse_target("tensorrt:fp16")]
    assert place(parse_target("openvino:fp16"), "onnx", [half, both], beside).reason == (
        "no worker online that offers openvino:fp16 offers onnxruntime:fp32, tensorrt:fp16 together, "
        "which it is to be measured against"
    )
    deaf = pool("deaf", capabilities=[OPENVINO, plain.model_copy(update={"formats": ["caffe"]})])
    assert place(parse_target("openvino:fp16"), "onnx", [deaf], beside[:1]).pools == ()


def test_builds_with_other_baselines_are_another_demand():
    target, others = parse_target("openvino:fp16@b+a"), [parse_target("openvino:fp32"), parse_target("litert:fp32")]
    demand = line.demand("onnx", target, others)
    assert demand == line.demand("onnx", target, others[::-1]) != line.demand("onnx", target)
    assert (
        line.wanted(demand) == line.wanted(line.demand("onnx", target)) == ("onnx", parse_target("openvino:fp16@a+b"))
    )
    assert [str(one) for one in line.beside(demand)] == ["litert:fp32", "openvino:fp32"]
    assert line.beside(line.demand("onnx", target)) == ()


tag = st.sampled_from(["cpu", "h200", "amx", "sm_90"])
capability = st.builds(
    Capability,
    backend=st.sampled_from(["openvino", "tensorrt"]),
    toolchain=st.sampled_from([{}, {"onnx": "1.22.3"}, {"onnx": "1.23.2"}]),
    precisions=st.lists(st.sampled_from(list(Precision)), min_size=1, unique=True),
    formats=st.lists(st.sampled_from(["onnx", "caffe"]), min_size=1, unique=True),
    options_schema=st.just({}),
)
facts = st.fixed_dictionaries(
    {},
    optional={
        "cpu.cores": st.integers(1, 4),
        "cpu.isa": st.lists(st.sampled_from(["avx2", "amx_int8"]), unique=True),
        "gpu.compute_capability": st.sampled_from(["7.5", "9.0", ["7.5", "9.0"]]),
    },
)
constraint = st.sampled_from(
    [
        *(f"cpu.cores{op}{number}" for op in (">=", "<", "=", "!=") for number in (1, 2, 4)),
        *("cpu.isa has avx2", "cpu.isa has amx_int8", "gpu.compute_capability>=8.0", "gpu.compute_capability<8.0"),
        *("onnx>=1.23", "onnx~=1.22.0"),
    ]
)
states = st.builds(
    PoolState,
    st.uuids().map(str),
    st.just("class"),
    st.frozensets(tag),
    st.lists(capability, max_size=2, unique_by=lambda c: c.backend).map(tuple),
    st.just("1"),
    st.integers(0, 2),
    facts=facts,
)
targets = st.builds(
    Target,
    backend=st.sampled_from(["openvino", "tensorrt"]),
    precision=st.sampled_from([one for one in Precision if one is not Precision.AUTO]),
    requires=st.lists(tag | constraint, max_size=3, unique=True).map(tuple),
)


@given(targets, st.lists(states, max_size=4))
def test_exactly_the_pools_that_fit_are_offered_and_silence_means_that_there_are_some(target, pools):
    def fits(one: PoolState) -> bool:
        found = one.capability(target.backend)
        reads = found is not None and target.precision in found.precisions and "onnx" in found.formats
        told = {**found.toolchain, **one.facts} if found else {}
        return reads and all(
            parse(term).holds(told) if is_constraint(term) else term in one.tags for term in target.requires
        )

    placement = place(target, "onnx", pools)
    assert {p.name for p in placement.pools} == {p.name for p in pools if fits(p)}
    assert (placement.reason == "") == bool(placement.pools)
    assert placement.waits_for


@given(targets, st.lists(states, max_size=4), tag | constraint)
def test_asking_for_more_never_adds_a_pool(target, pools, more):
    fewer = place(target.model_copy(update={"requires": (*target.requires, more)}), "onnx", pools).pools
    assert {p.name for p in fewer} <= {p.name for p in place(target, "onnx", pools).pools}


@given(targets, st.lists(states, max_size=4), st.randoms())
def test_the_order_of_what_is_required_and_saying_it_twice_change_nothing(target, pools, random):
    shuffled = [*target.requires, *target.requires]
    random.shuffle(shuffled)
    asked = target.model_copy(update={"requires": tuple(shuffled)})
    assert place(asked, "onnx", pools) == place(target, "onnx", pools)


@given(targets, st.lists(states, max_size=4))
def test_where_no_pool_fits_there_is_a_reason(target, pools):
    placement = place(target, "onnx", pools)
    assert placement.pools or placement.reason
    assert all(one.meets(target) for one in placement.pools)

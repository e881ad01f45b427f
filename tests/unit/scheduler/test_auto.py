"""``auto`` in a submission: where it goes, and which gates its choice must meet."""

from __future__ import annotations

from dataclasses import replace

from enginehouse.capability import Capability
from enginehouse.gates import Gates
from enginehouse.request import JobRequest
from enginehouse.targets import Precision, parse_target
from scheduler.auto import gathered, targets_of, ungated
from scheduler.placement import PoolState, place

AUTO = Capability(
    backend="auto", toolchain={}, precisions=[Precision.AUTO], formats=["onnx"], options_schema={"type": "object"}
)


def pool(name: str, *tags: str, formats: tuple[str, ...] = ("onnx",)) -> PoolState:
    return PoolState(
        name=name,
        hardware_class=name,
        tags=frozenset(tags),
        capabilities=(AUTO.model_copy(update={"formats": list(formats)}),),
        pipeline="1",
        free=1,
    )


POOLS = [pool("small-1a", "cpu"), pool("large-2b", "cpu", "amx_int8"), pool("keras-3c", "cpu", formats=("keras",))]


def targets(*wanted: str, **more: object) -> list[str]:
    request = JobRequest(model="0" * 64, targets=list(wanted), **more)
    return [str(one) for one in targets_of(request, "onnx", POOLS)]


def test_without_a_tag_it_goes_to_every_pool_that_reads_the_model() -> None:
    assert targets("auto", "openvino:fp32") == ["auto@large-2b", "auto@small-1a", "openvino:fp32"]


def test_only_pools_that_offer_its_baselines_get_one() -> None:
    plain = Capability(
        backend="onnxruntime", toolchain={}, precisions=[Precision.FP32], formats=["onnx"], options_schema={}
    )
    small, large, _ = POOLS
    third = replace(small, name="third", capabilities=(*small.capabilities, plain))
    whole = [small, replace(large, capabilities=(*large.capabilities, plain)), third]
    request = JobRequest(model="0" * 64, targets=["auto"], baselines=("onnxruntime:fp32",))
    assert [str(one) for one in targets_of(request, "onnx", whole)] == ["auto@large-2b", "auto@third"]


def test_a_tag_leaves_the_pool_to_the_dispatcher() -> None:
    assert targets("auto@amx_int8") == ["auto@amx_int8"]
    assert targets("auto@cpu") == ["auto@cpu"]
    assert targets("auto@cpu.cores>=8") == ["auto@cpu.cores>=8"]


def test_a_constraint_chooses_among_pools_as_a_tag_does() -> None:
    sized = [replace(one, facts={"cpu.cores": cores}) for one, cores in zip(POOLS[:2], (2, 8), strict=True)]
    assert [one.name for one in place(parse_target("auto@cpu.cores>=8"), "onnx", sized).pools] == ["large-2b"]


def test_with_one_pool_or_none_it_stays_one_build() -> None:
    request = JobRequest(model="0" * 64, targets=["auto"])
    assert [str(one) for one in targets_of(request, "onnx", POOLS[:1])] == ["auto"]
    assert [str(one) for one in targets_of(request, "onnx", [])] == ["auto"]


def test_a_pools_own_name_is_a_tag() -> None:
    placement = place(parse_target("auto@large-2b"), "onnx", POOLS)
    assert [one.name for one in placement.pools] == ["large-2b"]


def test_the_gates_about_the_model_are_part_of_what_is_asked_for() -> None:
    gates = Gates(min_cosine=0.99, min_speedup=2, max_bytes=1000)
    request = JobRequest(model="0" * 64, targets=["auto@cpu", "openvino:int8"], gates=gates)
    chosen, other = targets_of(request, "onnx", POOLS)
    assert chosen.options == {"gates": {"min_cosine": 0.99, "max_bytes": 1000}}
    assert other.options == {}


def test_its_own_gates_take_the_place_of_the_jobs() -> None:
    own = parse_target("auto@cpu").model_copy(update={"options": {"gates": {"min_cosine": 0.9}}})
    request = JobRequest(model="0" * 64, targets=[own], gates=Gates(min_cosine=0.99))
    assert targets_of(request, "onnx", POOLS) == [own]


def test_gates_for_auto_hold_in_every_pool_it_goes_to() -> None:
    request = JobRequest(model="0" * 64, targets=["auto"], target_gates={"auto": Gates(min_cosine=0.9)})
    found = targets_of(request, "onnx", POOLS)
    assert [one.options for one in found] == [{"gates": {"min_cosine": 0.9}}] * 2
    assert [request.gates_of(one).min_cosine for one in found] == [0.9, 0.9]


def test_what_was_spread_and_gated_is_found_again_as_it_was_asked_for() -> None:
    request = JobRequest(
        model="0" * 64, targets=["auto", "openvino:fp32", "auto@cpu"], gates=Gates(max_abs_error=0.5, max_p50_ms=9)
    )
    sent = targets_of(request, "onnx", POOLS)
    assert len(sent) == 4
    assert all("gates" in one.options for one in sent if one.backend == "auto")
    bare = [ungated(one, request.gates) for one in sent]
    again = gathered(bare, {"small-1a", "large-2b", "gone-9z"})
    assert [str(one) for one in again] == ["auto", "auto", "openvino:fp32", "auto@cpu"]
    assert not any(one.options for one in again)


def test_gates_of_its_own_and_a_pool_that_was_asked_for_by_name_stay() -> None:
    own = parse_target("auto@small-1a").model_copy(update={"options": {"gates": {"max_abs_error": 0.1}}})
    assert ungated(own, Gates(max_abs_error=0.5)) == own
    assert gathered([own], {"small-1a", "large-2b"}) == [own]
    other = parse_target("auto@large-2b")
    assert gathered([own, other], {"small-1a", "large-2b"}) == [own, other]

"""What online workers could build for a host."""

from __future__ import annotations

from enginehouse.capability import Capability, Gpu, Hardware
from enginehouse.fingerprint import Fingerprint
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.targets import Precision
from scheduler.buildable import Buildable, buildable
from scheduler.placement import PoolState
from scheduler.requirements import Given

GIVEN = Given(ModelSignature(format="onnx", inputs=[TensorSpec(name="x", dtype="float32", shape=[1])], outputs=[]))
H200 = Gpu(name="NVIDIA H200", kind="nvidia", compute_capability="9.0", driver="580.1")
NEW, OLD = ("avx2", "avx512_vnni", "cpu", "intel", "x86_64"), ("avx2", "cpu", "intel", "x86_64")


def capability(backend: str, package: str, version: str, *precisions: str) -> Capability:
    return Capability(
        backend=backend,
        toolchain={package: version},
        precisions=[Precision(one) for one in precisions],
        formats=["onnx"],
        options_schema={},
    )


OPENVINO = capability("openvino", "openvino", "2026.4.1", "fp32", "bf16")
TENSORRT = capability("tensorrt", "tensorrt-cu13", "10.16.1.11", "fp16")


def pool(name: str, capabilities: tuple[Capability, ...], *tags: str) -> PoolState:
    return PoolState(name, name, frozenset(tags), capabilities, "1", free=1)


def host(*tags: str, gpus: tuple[Gpu, ...] = (), **runtimes: str) -> Fingerprint:
    hardware = Hardware(hardware_class="h", tags=sorted(tags), cpu_model="c", cores=1, memory_mb=1, gpus=list(gpus))
    return Fingerprint(hardware=hardware, runtimes={name.replace("_", "-"): one for name, one in runtimes.items()})


def ask(
    on: Fingerprint, *pools: PoolState, backends: tuple[str, ...] = (), precisions: tuple[Precision, ...] = ()
) -> Buildable:
    announced = [found for one in pools for found in one.capabilities]
    return buildable(on, GIVEN, pools, announced, backends, precisions)


def test_what_the_host_could_run_of_what_is_offered() -> None:
    plan = ask(host(*OLD, openvino="2026.4.1"), pool("cpu", (OPENVINO, TENSORRT), *NEW, "sm_90"))
    assert [str(target) for target in plan.targets] == ["openvino:fp32"]
    assert "none of" in plan.reasons["openvino:bf16"]
    assert "no tensorrt" in plan.reasons["tensorrt:fp16"]
    assert "not in 'int8'" in plan.reasons["openvino:int8"]
    assert "online" in plan.reasons["litert:fp32"]
    assert not [pair for pair in plan.reasons if pair.endswith("auto")]
    assert [one.name for one in plan.pools] == ["cpu"]


def test_only_what_is_wanted_is_looked_at() -> None:
    plan = ask(
        host(*NEW, openvino="2026.4.1"),
        pool("cpu", (OPENVINO,), *NEW),
        backends=("openvino",),
        precisions=(Precision.FP32, Precision.FP16),
    )
    assert [str(target) for target in plan.targets] == ["openvino:fp32"]
    assert set(plan.reasons) == {"openvino:fp16"}


def test_a_tag_of_the_host_keeps_a_build_from_pools_that_would_not_do() -> None:
    on = host(*OLD, "sm_90", "nvidia-gpu", gpus=(H200,), tensorrt="10.16.1.11")
    right, wrong = (pool(name, (TENSORRT,), *NEW, "nvidia-gpu", name) for name in ("sm_90", "sm_89"))
    assert [str(target) for target in ask(on, right).targets] == ["tensorrt:fp16"]
    plan = ask(on, wrong, right)
    assert [str(target) for target in plan.targets] == ["tensorrt:fp16@sm_90"]
    assert [one.name for one in plan.pools] == ["sm_90"]
    assert "9.0" in ask(on, wrong).reasons["tensorrt:fp16"]


def test_where_no_tag_tells_the_pools_apart_one_is_named() -> None:
    newer = capability("openvino", "openvino", "2027.0.0", "fp32")
    on = host(*NEW, openvino="2026.4.1")
    plan = ask(on, pool("a", (newer,), *NEW), pool("b", (OPENVINO,), *NEW))
    assert [str(target) for target in plan.targets] == ["openvino:fp32@b"]
    alone = ask(on, pool("a", (newer,), *NEW))
    assert not alone.targets
    assert "2027.0.0" in alone.reasons["openvino:fp32"]


def test_with_nobody_online_there_is_nothing() -> None:
    plan = buildable(host(openvino="2026.4.1"), GIVEN, [], [OPENVINO])
    assert not plan.targets
    assert plan.reasons["openvino:fp32"] == "no worker is online"

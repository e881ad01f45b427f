"""What constraints can ask about, from what workers announce."""

from __future__ import annotations

import pytest

from enginehouse.capability import Capability, Gpu, Hardware
from enginehouse.constraints import FACTS, parse
from enginehouse.targets import Precision
from enginehouse.work import SignOn
from scheduler.facts import facts_of, of_toolchain
from scheduler.pools import pool_name

H200 = Gpu(name="NVIDIA H200", kind="nvidia", memory_mb=143_771, compute_capability="9.0", driver="580.65.06")
H100 = Gpu(name="NVIDIA H100 80GB HBM3", kind="nvidia", memory_mb=81_559, compute_capability="9.0", driver="580.65.06")
ARC = Gpu(name="Intel(R) Arc(TM) A770", kind="intel-gpu")


def announced(*gpus: Gpu, **changes: object) -> SignOn:
    hardware = {
        "hardware_class": "cpu-intel-xeon-8c",
        "tags": ["amx_int8", "avx2", "cpu", "intel", "x86_64"],
        "cpu_model": "Intel(R) Xeon(R) Platinum 8480+",
        "cores": 8,
        "memory_mb": 64_000,
        "gpus": list(gpus),
        **changes,
    }
    return SignOn(
        name="one", boot_id="boot-0001", slots=1, pipeline="2", hardware=Hardware(**hardware), capabilities=[]
    )


def test_a_machine_without_a_gpu() -> None:
    assert facts_of(announced()) == {
        "cpu.cores": 8,
        "cpu.isa": ["amx_int8", "avx2"],
        "cpu.model": "Intel(R) Xeon(R) Platinum 8480+",
        "memory_gb": 67,
        "pipeline": "2",
    }


def test_every_fact_but_the_pools_name_is_filled() -> None:
    assert {*facts_of(announced(H200)), "pool"} == set(FACTS)


def test_what_is_sold_as_eighty_gigabytes_has_them() -> None:
    found = facts_of(announced(H100))
    assert parse("gpu.memory_gb>=80").holds(found)
    assert parse("memory_gb>=64").holds(found)


def test_gpus_that_differ_are_told_one_by_one_and_those_that_do_not_once() -> None:
    found = facts_of(announced(H200, H100, H100))
    assert found["gpu.count"] == 3
    assert found["gpu.name"] == ["NVIDIA H100 80GB HBM3", "NVIDIA H200"]
    assert found["gpu.memory_gb"] == [85, 150]
    assert found["gpu.driver"] == "580.65.06"


def test_beside_an_nvidia_gpu_the_others_are_not_told() -> None:
    assert facts_of(announced(ARC, H200)) == facts_of(announced(H200))
    alone = facts_of(announced(ARC))
    assert alone["gpu.name"] == ARC.name
    assert "gpu.memory_gb" not in alone


@pytest.mark.parametrize(
    "change",
    [
        {"cores": 16},
        {"memory_mb": 128_000},
        {"cpu_model": "another"},
        {"gpus": [H200.model_copy(update={"driver": "590.1"})]},
        {"gpus": [H200.model_copy(update={"memory_mb": 70_000})]},
        {"gpus": [H200, H200]},
    ],
)
def test_workers_that_differ_in_a_fact_are_of_different_pools(change: dict[str, object]) -> None:
    here = announced(H200)
    assert pool_name(announced(**{"gpus": [H200], **change})) != pool_name(here)  # type: ignore[arg-type]


def test_less_than_a_gigabyte_parts_no_pool() -> None:
    assert pool_name(announced(H200, memory_mb=64_001)) == pool_name(announced(H200, memory_mb=64_002))


def test_packages_have_one_spelling_and_a_runtime_answers_to_its_backends_name() -> None:
    capability = Capability(
        backend="tensorrt",
        toolchain={"tensorrt-cu13": "11.4.0", "CUDA_Bindings": "13.0.1"},
        precisions=[Precision.FP16],
        formats=["onnx"],
        options_schema={},
    )
    found = of_toolchain(capability)
    assert found == {"tensorrt-cu13": "11.4.0", "cuda-bindings": "13.0.1", "tensorrt": "11.4.0"}
    assert parse("tensorrt~=11.4").holds(found)
    assert parse("Cuda_Bindings>=13").holds(found)

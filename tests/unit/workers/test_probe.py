"""What a node is, from real and written-down machines."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import pytest

from enginehouse.capability import Gpu
from enginehouse.host.memory import memory_mb
from enginehouse.host.names import gpu_tags, hardware_class, model_tag, tags
from workers.probe import probe
from workers.probe.cpu import Cpu, cpu_quota, isa_tags, parse_cpuinfo, physical_cores
from workers.probe.nvidia import nvidia_gpus

XEON = """processor\t: 0
vendor_id\t: GenuineIntel
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu avx2 avx512f avx512_vnni avx512_bf16 amx_bf16 amx_tile amx_int8 lm

processor\t: 1
vendor_id\t: Other
"""
GRAVITON = (
    "processor\t: 0\nFeatures\t: fp asimd asimdhp asimddp sve i8mm bf16\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n"
)


def test_this_node() -> None:
    found = probe(("rack7",))
    hardware = found.hardware
    assert platform.machine() in ("x86_64", "aarch64")
    assert {"cpu", platform.machine(), "rack7"} <= set(hardware.tags)
    assert hardware.tags == sorted(hardware.tags)
    assert 1 <= found.threads <= hardware.cores <= len(os.sched_getaffinity(0))
    assert hardware.memory_mb > 100
    offered = {one.backend for one in found.capabilities}
    assert {"openvino", "onnxruntime"} <= offered
    assert set(found.missing) <= {"tensorrt"}
    assert ("tensorrt" in offered) <= ("nvidia-gpu" in hardware.tags)
    assert hardware.hardware_class.startswith("cpu-")


def test_the_probe_keeps_secrets_from_its_helper(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONSTARTUP_TOKEN", "x")
    monkeypatch.setenv("ENGINEHOUSE_TOKEN", "hunter2")
    assert probe().capabilities
    assert os.environ["ENGINEHOUSE_TOKEN"] == "hunter2"


def test_cpuinfo_of_both_machines() -> None:
    xeon = parse_cpuinfo(XEON)
    assert (xeon["model"], xeon["vendor"]) == ("Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", "intel")
    assert isa_tags(xeon["flags"].split()) == (
        "avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_tile", "amx_int8", "amx_bf16",
    )  # fmt: skip
    arm = parse_cpuinfo(GRAVITON)
    assert (arm["model"], arm["vendor"]) == ("0x41 0xd40", "arm")
    assert isa_tags(arm["flags"].split()) == ("asimddp", "asimdhp", "bf16", "i8mm", "sve")


def cpu(model: str = "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz", isa: tuple[str, ...] = ("avx2",)) -> Cpu:
    return Cpu(model=model, vendor="intel", machine="x86_64", isa=isa, cores=8, threads=4)


def test_hardware_classes_are_slugs_that_differ_where_speed_does() -> None:
    full = cpu(isa=("avx2", "avx512f", "avx512_vnni", "amx_tile", "amx_int8"))
    assert hardware_class(full, []) == "cpu-intel-xeon-platinum-8481c-8c-avx512_vnni-amx_int8"
    assert hardware_class(cpu(), []) == "cpu-intel-xeon-platinum-8481c-8c-avx2"
    h200 = Gpu(name="NVIDIA H200", kind="nvidia", compute_capability="9.0")
    assert hardware_class(cpu(), [h200, h200]).endswith("-avx2-2xh200")
    assert hardware_class(cpu("AMD EPYC 9654 96-Core Processor"), []) == "cpu-amd-epyc-9654-8c-avx2"


def test_tags_name_what_a_target_may_require() -> None:
    gpu = Gpu(name="NVIDIA H200", kind="nvidia", compute_capability="9.0")
    assert tags(cpu(), [gpu], ["zone-a"]) == [
        "avx2", "cpu", "h200", "intel", "nvidia-gpu", "sm_90", "x86_64", "zone-a",
    ]  # fmt: skip
    assert gpu_tags(Gpu(name="Intel(R) Arc", kind="intel-gpu")) == ["intel-gpu"]


@pytest.mark.parametrize(
    ("name", "tag"),
    [
        ("NVIDIA H200", "h200"),
        ("NVIDIA A100-SXM4-80GB", "a100"),
        ("NVIDIA A100 80GB PCIe", "a100"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("Tesla T4", "t4"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA H100 NVL", "h100"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
    ],
)
def test_a_gpus_name_in_one_word(name: str, tag: str) -> None:
    assert model_tag(name) == tag


def test_asking_for_gpus_never_fails() -> None:
    for gpu in nvidia_gpus():
        assert gpu.kind == "nvidia"


@pytest.mark.parametrize(
    ("files", "own", "quota"),
    [
        ({"cpu.max": "150000 100000"}, "0::/", 1.5),
        ({"cpu.max": "max 100000"}, "0::/", None),
        ({"pod/cpu.max": "50000 100000", "cpu.max": "200000 100000"}, "0::/pod", 0.5),
        ({"cpu/box/cpu.cfs_quota_us": "250000", "cpu/box/cpu.cfs_period_us": "100000"}, "4:cpu:/box", 2.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/", None),
        ({}, "", None),
    ],
)
def test_processor_quotas(files: dict[str, str], own: str, quota: float | None, tmp_path: Path) -> None:
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    (tmp_path / "own").write_text(own)
    assert cpu_quota(tmp_path / "root", tmp_path / "own") == quota


def test_memory_is_the_tightest_limit(tmp_path: Path) -> None:
    (tmp_path / "meminfo").write_text("MemTotal:  8388608 kB\nMemFree: 1 kB\n")
    (tmp_path / "own").write_text("0::/box")
    (tmp_path / "box").mkdir()
    arguments = (tmp_path / "meminfo", tmp_path, tmp_path / "own")
    assert memory_mb(*arguments) == 8192
    (tmp_path / "box/memory.max").write_text("max")
    assert memory_mb(*arguments) == 8192
    (tmp_path / "box/memory.max").write_text(str(2 << 30))
    assert memory_mb(*arguments) == 2048


def test_hyper_threads_are_not_cores(tmp_path: Path) -> None:
    for core, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        place = tmp_path / f"cpu{core}/topology"
        place.mkdir(parents=True)
        (place / "thread_siblings_list").write_text(siblings)
    assert physical_cores({0, 1, 2, 3}, tmp_path) == 2
    assert physical_cores({0, 1}, tmp_path) == 2
    assert physical_cores({0, 2}, tmp_path) == 1
    assert physical_cores({5, 6}, tmp_path) == 2

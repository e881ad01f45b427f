"""What a host is, read without a toolchain."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from enginehouse import fingerprint
from enginehouse.capability import Gpu
from enginehouse.errors import RequestError
from enginehouse.fingerprint import Fingerprint, this_host
from enginehouse.host import nvidia_smi
from workers.probe import probe

TWO = (
    "NVIDIA H200, GPU-11111111-aaaa, 143771, 9.0, 580.95.05\n"
    "NVIDIA GeForce RTX 4090, GPU-22222222-bbbb, [N/A], [N/A], 580.95.05\n"
    "\n"
    "a line that is none\n"
)


def test_a_host_and_the_worker_on_it_have_the_same_names() -> None:
    here, worker = this_host().hardware, probe().hardware
    assert here.hardware_class == worker.hardware_class
    assert (here.tags, here.cores, here.memory_mb) == (worker.tags, worker.cores, worker.memory_mb)


def test_no_toolchain_is_imported_and_the_versions_are_the_installed_ones() -> None:
    code = (
        "import sys; from enginehouse.fingerprint import this_host; print(this_host().model_dump_json()); "
        "foreign = {'openvino', 'onnxruntime', 'ai_edge_litert', 'numpy', 'pynvml', 'workers'} & set(sys.modules); "
        "sys.exit(', '.join(foreign) or 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = Fingerprint.model_validate_json(done.stdout)
    import onnxruntime

    assert found.runtimes["onnxruntime"] == onnxruntime.__version__
    assert found.os == sys.platform


def test_elsewhere_than_on_linux_it_is_written_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fingerprint.sys, "platform", "darwin")
    with pytest.raises(RequestError, match="darwin") as caught:
        this_host()
    assert "docs/resolve.md" in caught.value.hint


def test_the_drivers_tool_is_read() -> None:
    (first, uuid), (second, _) = nvidia_smi.parse(TWO)
    assert first == Gpu(
        name="NVIDIA H200", kind="nvidia", memory_mb=143771, compute_capability="9.0", driver="580.95.05"
    )
    assert uuid == "GPU-11111111-aaaa"
    assert (second.memory_mb, second.compute_capability) == (None, None)
    assert nvidia_smi.parse("No devices were found\n") == []


def test_gpus_come_from_the_tool_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '%s' '{TWO}'\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    host = this_host()
    assert [gpu.name for gpu in host.hardware.gpus] == ["NVIDIA H200", "NVIDIA GeForce RTX 4090"]
    assert {"nvidia-gpu", "h200", "sm_90", "rtx-4090"} <= set(host.hardware.tags)
    assert host.hardware.hardware_class.endswith("-1xh200-1xrtx-4090")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "GPU-2222")
    assert [gpu.name for gpu in this_host().hardware.gpus] == ["NVIDIA GeForce RTX 4090"]
    tool.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed' >&2\nexit 9\n")
    assert this_host().hardware.gpus == []


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("runtimes", {"openvino": ""}), ("runtimes", {"x" * 101: "1"}),
        ("runtimes", {str(n): "1" for n in range(65)}), ("os", "x" * 33), ("secrets", "mine"),
    ],
)  # fmt: skip
def test_a_fingerprint_has_a_size(field: str, value: object) -> None:
    good = {"hardware": {"hardware_class": "h", "tags": [], "cpu_model": "c", "cores": 1, "memory_mb": 1}}
    assert Fingerprint.model_validate(good).os == "linux"
    with pytest.raises(ValidationError):
        Fingerprint.model_validate({**good, field: value})
    good["hardware"]["tags"] = [str(number) for number in range(257)]  # type: ignore[index]
    with pytest.raises(ValidationError, match="no host has more"):
        Fingerprint.model_validate(good)

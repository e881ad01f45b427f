"""NVIDIA GPUs, as the driver shows them."""

from __future__ import annotations

import re
from contextlib import suppress
from typing import Any

from enginehouse.capability import Gpu

_WORDS = re.compile(r"\b(nvidia|geforce|tesla|quadro|graphics|device|gpu|generation|embedded)\b")
_SIZE = re.compile(r"\b\d+\s?gb\b|\b(hbm\w*|pcie?|sxm\d*|nvl|mig)\b")


def nvidia_gpus() -> list[Gpu]:
    """All of them; empty where there is no driver."""
    try:
        import pynvml
    except ImportError:
        return []
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return []
    try:
        driver = _text(pynvml.nvmlSystemGetDriverVersion())
        return [_gpu(pynvml, index, driver) for index in range(pynvml.nvmlDeviceGetCount())]
    except pynvml.NVMLError:
        return []
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def _gpu(nvml: Any, index: int, driver: str) -> Gpu:
    handle = nvml.nvmlDeviceGetHandleByIndex(index)
    memory = capability = None
    with suppress(nvml.NVMLError):
        memory = int(nvml.nvmlDeviceGetMemoryInfo(handle).total) // 2**20
    with suppress(nvml.NVMLError):
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        capability = f"{major}.{minor}"
    return Gpu(
        name=_text(nvml.nvmlDeviceGetName(handle)),
        kind="nvidia",
        memory_mb=memory,
        compute_capability=capability,
        driver=driver,
    )


def gpu_tags(gpu: Gpu) -> list[str]:
    """What a target may require: the kind, the model in one word, the architecture ('nvidia-gpu', 'h200', 'sm_90')."""
    if gpu.kind != "nvidia":
        return [gpu.kind]
    tags = ["nvidia-gpu"]
    if model := model_tag(gpu.name):
        tags.append(model)
    if gpu.compute_capability:
        tags.append("sm_" + gpu.compute_capability.replace(".", ""))
    return tags


def model_tag(name: str) -> str:
    """'NVIDIA H200' → 'h200', 'NVIDIA GeForce RTX 4090' → 'rtx-4090', 'NVIDIA A100-SXM4-80GB' → 'a100'."""
    plain = name.lower().replace("-", " ")
    plain = _SIZE.sub(" ", _WORDS.sub(" ", plain))
    return re.sub(r"[^a-z0-9.]+", "-", plain).strip("-.")[:64]


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value

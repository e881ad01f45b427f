"""NVIDIA GPUs, as the driver shows them, and as many of them as CUDA may use here."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from enginehouse.capability import Gpu

_WORDS = re.compile(r"\b(nvidia|geforce|tesla|quadro|graphics|device|gpu|generation|embedded)\b")
_SIZE = re.compile(r"\b\d+\s?gb\b|\b(hbm\w*|pcie?|sxm\d*|nvl|mig)\b")


@dataclass(frozen=True)
class Card:
    """A GPU with what tells it from its twin: its UUID. ``cuda``: the version that the driver speaks, '13.0'."""

    gpu: Gpu
    uuid: str
    cuda: str


def nvidia_gpus() -> list[Gpu]:
    """All that may be used here; empty where there is no driver."""
    return [card.gpu for card in cards()]


def cards() -> list[Card]:
    """All that may be used here, in the driver's order (by bus address)."""
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
        cuda = _version(pynvml.nvmlSystemGetCudaDriverVersion())
        found = [_card(pynvml, index, driver, cuda) for index in range(pynvml.nvmlDeviceGetCount())]
        return visible(found, os.environ.get("CUDA_VISIBLE_DEVICES"))
    except pynvml.NVMLError:
        return []
    finally:
        with suppress(pynvml.NVMLError):
            pynvml.nvmlShutdown()


def visible(found: Sequence[Card], allowed: str | None) -> list[Card]:
    """Those that CUDA_VISIBLE_DEVICES names, by index or by the beginning of a UUID; None: all of them.

    As CUDA has it, names after one that does not exist are not looked at.
    """
    if allowed is None:
        return list(found)
    kept: list[Card] = []
    for name in allowed.split(","):
        named = [
            card
            for index, card in enumerate(found)
            if name.strip() == str(index) or (name.strip().startswith("GPU-") and card.uuid.startswith(name.strip()))
        ]
        if len(named) != 1:
            break
        kept += named
    return kept


def _card(nvml: Any, index: int, driver: str, cuda: str) -> Card:
    uuid = _text(nvml.nvmlDeviceGetUUID(nvml.nvmlDeviceGetHandleByIndex(index)))
    return Card(_gpu(nvml, index, driver), uuid, cuda)


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


def _version(number: int) -> str:
    """13000 → '13.0'."""
    return f"{number // 1000}.{number % 1000 // 10}"

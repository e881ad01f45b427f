"""NVIDIA GPUs, as the driver shows them, and as many of them as CUDA may use here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from enginehouse.capability import Gpu
from enginehouse.host.nvidia_smi import usable


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
    """Those that CUDA_VISIBLE_DEVICES names; None: all of them."""
    return [found[index] for index in usable([card.uuid for card in found], allowed)]


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


def _text(value: str | bytes) -> str:
    return value.decode() if isinstance(value, bytes) else value


def _version(number: int) -> str:
    """13000 → '13.0'."""
    return f"{number // 1000}.{number % 1000 // 10}"

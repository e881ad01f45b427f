"""Versions: what loads what. Pure functions and the vendors' tables."""

from __future__ import annotations

import re
from collections.abc import Mapping

RUNTIMES: Mapping[str, tuple[str, ...]] = {
    "openvino": ("openvino",),
    "onnxruntime": ("onnxruntime", "onnxruntime-gpu"),
    "litert": ("ai-edge-litert",),
    "tensorrt": ("tensorrt", "tensorrt-cu13", "tensorrt-cu12", "tensorrt-cu13-bindings", "tensorrt-cu12-bindings"),
}
"""Backend to the packages that bring its runtime, the one that is looked for first in front."""

OPSETS: Mapping[tuple[int, int], tuple[int, int]] = {
    (1, 13): (17, 8),
    (1, 14): (18, 8),
    (1, 15): (19, 8),
    (1, 16): (19, 9),
    (1, 17): (20, 9),
    (1, 18): (21, 10),
    (1, 31): (26, 13),
}
"""ONNX Runtime release to the newest opset and ONNX IR version that it reads; between two rows the older one holds.
To 1.20 from onnxruntime.ai/docs/reference/compatibility.html, 1.31 as that release itself answers."""

DRIVERS: Mapping[int, int] = {11: 450, 12: 525, 13: 580}
"""CUDA major version to the oldest driver branch that runs it
(docs.nvidia.com/deploy/cuda-compatibility/minor-version-compatibility.html)."""


def release(version: str) -> tuple[int, ...]:
    """'10.16.1.11' → (10, 16, 1, 11), for comparing; what is no number ends it."""
    found = re.match(r"\d{1,9}(\.\d{1,9}){0,5}", version)
    return tuple(int(part) for part in found[0].split(".")) if found else ()


def engine_loads(built: str, runtime: str, *, version_compatible: bool) -> bool:
    """Whether a TensorRT of this version loads an engine that was built by that one.

    Without version compatibility only the same version does. With it: a newer one of the same major version, and 11
    takes engines of 10.
    """
    made, here = release(built), release(runtime)
    if not made or not here:
        return False
    if not version_compatible:
        return made == here
    return (here[0] == made[0] or (made[0], here[0]) == (10, 11)) and here >= made


def engine_fits(level: str, built: str, here: str) -> bool:
    """Whether an engine of this hardware compatibility level, built for that compute capability, runs on this one."""
    made, has = release(built), release(here)
    return has >= (8, 0) if level == "ampere_plus" else bool(made) and has == made


def runtime_of(backend: str, runtimes: Mapping[str, str]) -> tuple[str, str] | None:
    """Name and version of the package among these that is the backend's runtime."""
    return next(((name, runtimes[name]) for name in RUNTIMES.get(backend, ()) if name in runtimes), None)

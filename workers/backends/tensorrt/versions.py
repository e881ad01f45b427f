"""Everything that differs between TensorRT 10 and 11 for us, and which distribution brings it.

What also differs and is met elsewhere: the inspector's JSON (``inspector``). What does not matter, because we never
used it: weak typing, INT8 calibrators, precision flags (gone in 11).
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

DISTRIBUTIONS = (
    "tensorrt",
    "tensorrt-cu13",
    "tensorrt-cu12",
    "tensorrt-cu13-bindings",
    "tensorrt-cu12-bindings",
)
"""NVIDIA's own index, its containers and its archives install TensorRT under one of these names."""

_ALWAYS_STRONG = 11


def installed() -> tuple[str, str]:
    """Name and version of the distribution that is here, without importing it. Raises PackageNotFoundError."""
    for name in DISTRIBUTIONS:
        try:
            return name, importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    raise importlib.metadata.PackageNotFoundError(DISTRIBUTIONS[0])


def major(version: str) -> int:
    """'10.16.1.11' → 10."""
    return int(version.split(".")[0])


def release(version: str) -> tuple[int, ...]:
    """'10.16.1.11' → (10, 16, 1, 11), for comparing."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def network_flags(trt: Any) -> int:
    """Creation flags of a strongly typed network. From 11 on every network is one, and the flag is deprecated."""
    if major(trt.__version__) >= _ALWAYS_STRONG:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)


def runs_on(built: str, runtime: str, *, version_compatible: bool) -> bool:
    """Whether a runtime of this version loads an engine that was built by that one.

    Without version compatibility only the same version does. With it: a newer one of the same major version, and 11
    takes engines of 10 (NVIDIA's support matrix, engine portability).
    """
    if not version_compatible:
        return release(built) == release(runtime)
    same_or_next = major(runtime) == major(built) or (major(built), major(runtime)) == (10, 11)
    return same_or_next and release(runtime) >= release(built)

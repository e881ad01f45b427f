"""Everything that differs between TensorRT 10 and 11 for us, and which distribution brings it.

What also differs and is met elsewhere: the inspector's JSON (``inspector``). What does not matter, because we never
used it: weak typing, INT8 calibrators, precision flags (gone in 11).
"""

from __future__ import annotations

import importlib.metadata
from typing import Any

from enginehouse.versions import RUNTIMES

DISTRIBUTIONS = RUNTIMES["tensorrt"]
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


def network_flags(trt: Any) -> int:
    """Creation flags of a strongly typed network. From 11 on every network is one, and the flag is deprecated."""
    if major(trt.__version__) >= _ALWAYS_STRONG:
        return 0
    return 1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)

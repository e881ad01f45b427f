"""Every backend by its name. Importing this imports no toolchain."""

from __future__ import annotations

import importlib

from enginehouse.errors import UnknownBackend
from workers.backends.base import Backend

NAMES = ("openvino", "onnxruntime", "litert", "tensorrt")


def get(name: str) -> Backend:
    """The backend of that name. Raises UnknownBackend."""
    if name not in NAMES:
        raise UnknownBackend(f"'{name}' is not one of {', '.join(NAMES)}", backend=name)
    made: Backend = importlib.import_module(f"workers.backends.{name}").BACKEND
    return made


def all_backends() -> list[Backend]:
    """Every backend that this code has, whether its toolchain is installed or not."""
    return [get(name) for name in NAMES]

"""Toolchains that send no usage data and start no threads while they are imported. Import this before any of them."""

from __future__ import annotations

import os
import sys

_ENVIRONMENT = {
    # A pool of threads that exists before a fork is dead after it.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    # ONNX Runtime would start its uploader's thread.
    "ORT_DISABLE_TELEMETRY": "1",
}


def quiet() -> None:
    """Set what the toolchains look at. OpenVINO takes its own stub where the telemetry package cannot be imported."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


quiet()

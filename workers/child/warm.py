"""What the warm parent imports once, so that no build pays for it. Nothing here starts a runtime or a thread."""

from __future__ import annotations

import atexit
import contextlib
import gc
import importlib
import os

import workers.child.quiet

_MODULES = (
    "numpy",
    "onnx",
    "onnx.numpy_helper",
    "workers.backends.openvino.convert",
    "workers.backends.openvino.run",
    "workers.backends.openvino.explain",
    "workers.backends.onnxruntime.convert",
    "workers.backends.onnxruntime.lower",
    "workers.backends.onnxruntime.run",
    "workers.backends.onnxruntime.explain",
    "workers.backends.litert.convert",
    "workers.backends.litert.run",
    "workers.backends.litert.explain",
    "workers.pipeline",
    "workers.pipeline.footprint",
    "workers.pipeline.measure",
    "workers.pipeline.verify",
    "workers.child.entry",
)

for _name in _MODULES:
    # A worker without one of the toolchains offers the others.
    with contextlib.suppress(ImportError):
        importlib.import_module(_name)

# What is loaded by now stays: a collection in a child would copy the pages that hold it.
gc.collect()
gc.freeze()

# When the agent is gone this process ends, and with it, by their parent-death signal, the builds: at once, not after
# the toolchains' own teardown.
atexit.register(os._exit, 0)

__all__ = ["workers"]

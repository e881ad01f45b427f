"""Reads a model of any format that the farm takes. Nothing of it is run."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from pathlib import Path

from enginehouse.errors import ModelFormatUnsupported
from enginehouse.formats import Format
from enginehouse.signature import ModelSignature
from scheduler.inspection.formats import recognise

_READERS = {
    Format.ONNX: "onnx_model",
    Format.TORCH_EXPORT: "torch_export_model",
    Format.TORCHSCRIPT: "torchscript_model",
    Format.SAVED_MODEL: "saved_model",
    Format.KERAS: "keras_model",
    Format.TFLITE: "tflite_model",
    Format.CAFFE: "caffe_model",
}
"""Format to the module here whose ``read(files)`` gives the signature."""


def read_model(files: Sequence[tuple[str, Path]]) -> ModelSignature:
    """The signature. ``files``: path in the upload and where it lies now; the first is the model itself.

    Raises ModelUnreadable or one of its kinds.
    """
    found = recognise(files)
    if found not in _READERS:
        raise ModelFormatUnsupported(f"the farm does not read {found} yet")
    reader = importlib.import_module(f"scheduler.inspection.{_READERS[found]}")
    signature: ModelSignature = reader.read(files)
    return signature

"""The formats in which a source model may come."""

from __future__ import annotations

from enum import StrEnum


class Format(StrEnum):
    """What a model's bytes are, as inspection found it. A worker announces, per backend, which of them it takes."""

    ONNX = "onnx"
    TORCH_EXPORT = "torch-export"
    TORCHSCRIPT = "torchscript"
    SAVED_MODEL = "tf-savedmodel"
    KERAS = "keras"
    TFLITE = "tflite"
    CAFFE = "caffe"


LONE_FILES = {
    Format.ONNX: "model.onnx",
    Format.TORCH_EXPORT: "model.pt2",
    Format.TORCHSCRIPT: "model.pt",
    Format.SAVED_MODEL: "saved_model.zip",
    Format.KERAS: "model.keras",
    Format.TFLITE: "model.tflite",
    Format.CAFFE: "model.prototxt",
}
"""The path of a model's main file that came without one."""

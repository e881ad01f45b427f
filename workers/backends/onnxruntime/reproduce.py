"""The script that does ONNX Runtime's part of a build outside the farm."""

from __future__ import annotations

from workers.backends.workpiece import Workpiece

_LEVELS = {"basic": "ORT_ENABLE_BASIC", "extended": "ORT_ENABLE_EXTENDED", "all": "ORT_ENABLE_ALL"}


def script(piece: Workpiece) -> str:
    """Optimise and load."""
    level = _LEVELS[piece.options.level]
    return f"""import onnxruntime

options = onnxruntime.SessionOptions()
options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.{level}
options.optimized_model_filepath = "model.optimised.onnx"
session = onnxruntime.InferenceSession("{piece.source.path.name}", options, providers=["CPUExecutionProvider"])
print([one.name for one in session.get_outputs()])
"""

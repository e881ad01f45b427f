"""The script that does OpenVINO's part of a build outside the farm."""

from __future__ import annotations

from enginehouse.targets import Precision
from workers.backends.workpiece import Workpiece


def script(piece: Workpiece) -> str:
    """Convert, save, compile, run."""
    half = piece.precision is Precision.FP16
    return f"""import openvino

model = openvino.convert_model("{piece.source.path.name}")
openvino.save_model(model, "model.xml", compress_to_fp16={half})
compiled = openvino.Core().compile_model("model.xml", "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
print(compiled)
"""

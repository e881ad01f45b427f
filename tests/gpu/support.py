"""What the GPU tests share: a build that has run, the reference, a model with room for every kernel."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from contract.backends_models import model, value, weights
from onnx import TensorProto, helper

from workers.backends import get
from workers.backends.base import Saved, Session, Setting
from workers.pipeline import Order
from workers.pipeline.run import Result


def wide() -> Any:
    """Convolutions that are large enough for INT8, FP8 and sparse kernels."""
    return model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="first", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("Conv", ["r", "v"], ["d"], name="second", pads=[1, 1, 1, 1]),
            helper.make_node("GlobalAveragePool", ["d"], ["p"], name="pool"),
            helper.make_node("Flatten", ["p"], ["f"], name="flat"),
            helper.make_node("MatMul", ["f", "m"], ["y"], name="matmul"),
        ],
        [value("x", TensorProto.FLOAT, [8, 64, 56, 56])],
        [value("y", TensorProto.FLOAT, [8, 128])],
        {
            "w": weights(128, 64, 3, 3, scale=0.05),
            "v": weights(128, 128, 3, 3, seed=1, scale=0.05),
            "m": weights(128, 128, seed=2),
        },
    )


class Built:
    """A build that has run, with what it left."""

    def __init__(self, told: Order, result: Result) -> None:
        self.order = told
        self.report = result.report
        self.manifest = result.manifest
        self.saved = Saved(told.bundle, result.manifest.entry, tuple(one.path for one in result.manifest.files))

    def session(self) -> Session:
        backend = get("tensorrt")
        return backend.load(self.saved, backend.check(self.order.recipe.target, "onnx"), Setting(threads=1))

    def notes(self, text: str) -> list[str]:
        return [note for note in self.report.notes if text in note]


def reference(path: Path, feeds: dict[str, Any]) -> dict[str, Any]:
    """What ONNX Runtime makes of it."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return dict(zip([one.name for one in session.get_outputs()], session.run(None, feeds), strict=True))


def close(mine: dict[str, Any], true: dict[str, Any], share: float) -> None:
    """Equal up to a share of each output's largest magnitude."""
    assert set(mine) == set(true)
    for name, wanted in true.items():
        assert mine[name].dtype == wanted.dtype
        assert mine[name].shape == wanted.shape
        assert np.abs(mine[name] - wanted).max() <= share * np.abs(wanted).max() + 1e-6, name

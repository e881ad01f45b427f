"""Whether the artifact has the precision that was asked for: the file is looked at, not what made it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx

from enginehouse.errors import PrecisionNotKept
from enginehouse.targets import Precision
from workers.backends.base import Setting
from workers.backends.onnxruntime.run import OnnxRuntimeSession
from workers.backends.workpiece import Workpiece
from workers.stages.graph import FLOATING, all_graphs, all_nodes, elements
from workers.stages.quantize import quantizes

_FEW = 0.5


def check_kept(piece: Workpiece, path: Path) -> None:
    """Raise PrecisionNotKept where an fp16 artifact holds no half weights, or an int8 one no quantised operators."""
    model = _graph(path, piece.work)
    if piece.precision is Precision.INT8:
        if not any(quantizes(node.op_type) for node in all_nodes(model.graph)):
            raise PrecisionNotKept("the artifact has no quantised operators: ONNX Runtime folded them back to float")
        return
    share = half_share(model)
    if share == 0.0:
        raise PrecisionNotKept("the artifact holds no half-precision weights: ONNX Runtime folded them back to float")
    if share is not None and share < _FEW:
        piece.notes.say(f"{share:.1%} of the weights are half precision: the others belong to nodes that stay float")


def half_share(model: Any) -> float | None:
    """The share of floating weights that are half precision; None where there are no floating weights."""
    counts = {True: 0, False: 0}
    for graph in all_graphs(model.graph):
        for tensor in graph.initializer:
            if tensor.data_type in FLOATING and tensor.dims:
                counts[tensor.data_type == onnx.TensorProto.FLOAT16] += elements(tensor)
    total = sum(counts.values())
    return counts[True] / total if total else None


def _graph(path: Path, work: Path) -> Any:
    """The artifact as ONNX; a .ort file is loaded and written as it was loaded."""
    if path.suffix != ".ort":
        return onnx.load(path, load_external_data=False)
    folder = work / "kept"
    folder.mkdir(parents=True, exist_ok=True)
    OnnxRuntimeSession(path, Setting(threads=1), optimise=False, executed=folder / "model.onnx")
    model = onnx.load(folder / "model.onnx", load_external_data=False)
    for file in folder.iterdir():
        file.unlink()
    return model

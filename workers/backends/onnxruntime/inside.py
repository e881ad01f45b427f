"""The tensors of an artifact, as ONNX Runtime computes them in the graph that was cast or quantised."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from workers.backends.base import Array, Arrays
from workers.backends.onnxruntime import record
from workers.backends.workpiece import Workpiece
from workers.stages.graph import FLOATING, load_model
from workers.stages.operators import tensor_types
from workers.stages.ranges import values_of


def values(piece: Workpiece, feeds: Arrays, wanted: Collection[str]) -> dict[str, Array]:
    """Tensor name to values: the stages keep the names of the tensors that stay. Nothing of an fp32 artifact.

    Of a quantised tensor what is read of it counts: the rounding to eight bits is a ReLU's bound, too.
    """
    staged = record.kept(piece.work).get("staged")
    if staged is None:
        return {}
    path = Path(staged)
    model = load_model(path)
    types = tensor_types(model)
    made = [name for node in model.graph.node for name in node.output if types.get(name) in FLOATING]
    read = _read_back(model)
    places = {name: read.get(name, name) for name in made if name in wanted}
    if not places:
        return {}
    looked_at = list(dict.fromkeys(places.values()))
    found = dict(zip(looked_at, values_of(model, path.parent, looked_at, feeds, piece.threads), strict=True))
    return {name: found[place] for name, place in places.items()}


def _read_back(model: Any) -> dict[str, str]:
    """Tensor that is quantised to the tensor that its readers read."""
    back = {node.input[0]: node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"}
    pairs = [(node.input[0], node.output[0]) for node in model.graph.node if node.op_type == "QuantizeLinear"]
    return {name: back[rounded] for name, rounded in pairs if rounded in back}

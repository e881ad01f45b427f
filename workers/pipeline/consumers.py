"""What a model does with its integer inputs: the range that an index may have, the constants it is compared with."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

from workers.pipeline.source import nodes

# An index keeps its value through these.
_TRANSPARENT = frozenset(
    {
        "Cast", "Identity", "Unsqueeze", "Squeeze", "Reshape", "Transpose", "Flatten", "Expand",
        "Slice", "Split", "Concat", "Tile", "Pad",
    }
)  # fmt: skip
_MOST_CONSTANTS = 1 << 20
_SWITCHES = 4
_SHAPE_LIKE = {"Reshape": 1, "Expand": 1, "Tile": 1, "TopK": 1, "ConstantOfShape": 0, "Range": None, "Slice": None}


@dataclass(frozen=True)
class Use:
    """How an integer input is used.

    ``below``: it must be smaller than this; ``equals``: constants that it is compared with;
    ``shape_like``: it is a size.
    """

    below: int | None = None
    equals: tuple[int, ...] = ()
    shape_like: bool = False


def uses(model: Any) -> dict[str, Use]:
    """Input name to its use, for every integer input of the graph."""
    from onnx import TensorProto, numpy_helper

    integer = {TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64}
    integer |= {TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64}
    every = list(nodes(model.graph))
    readers: dict[str, list[tuple[Any, int]]] = defaultdict(list)
    constants: dict[str, Any] = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in every:
        for position, name in enumerate(node.input):
            readers[name].append((node, position))
        if node.op_type == "Constant" and node.attribute and node.attribute[0].name == "value":
            constants[node.output[0]] = node.attribute[0].t

    def numbers(name: str) -> list[int]:
        tensor = constants.get(name)
        if tensor is None or tensor.external_data or math.prod(tensor.dims) > _MOST_CONSTANTS:
            return []
        return [int(value) for value in numpy_helper.to_array(tensor).ravel()]

    def walk(start: str) -> Use:
        below: list[int] = []
        equals: list[int] = []
        shape_like = False
        queue, seen = [start], {start}
        while queue:
            name = queue.pop()
            for node, position in readers[name]:
                kind = node.op_type
                if kind in ("Gather", "GatherElements") and position == 1:
                    dims = list(constants[node.input[0]].dims) if node.input[0] in constants else []
                    axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
                    if dims:
                        below.append(dims[axis])
                elif kind == "OneHot" and position == 0:
                    below += numbers(node.input[1])[:1]
                elif kind == "Equal":
                    values = numbers(node.input[1 - position])
                    if len(values) > _SWITCHES:  # a one-hot written as a comparison with 0, 1, 2 ...
                        below.append(max(values) + 1)
                    else:
                        equals += values
                elif position and kind in _SHAPE_LIKE and _SHAPE_LIKE[kind] in (None, position):
                    shape_like = True
                elif kind in _TRANSPARENT and (position == 0 or kind == "Concat"):
                    fresh = [output for output in node.output if output and output not in seen]
                    seen.update(fresh)
                    queue.extend(fresh)
        return Use(min(below, default=None), tuple(dict.fromkeys(equals)), shape_like)

    return {one.name: walk(one.name) for one in model.graph.input if one.type.tensor_type.elem_type in integer}

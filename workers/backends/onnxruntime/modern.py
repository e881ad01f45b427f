"""Models from ONNX's first years in a form that ONNX Runtime runs: weights are no inputs, operator set 7 or newer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from enginehouse.errors import UnsupportedOperator
from workers.backends.base import first_line
from workers.backends.workpiece import Source

_IR_WITHOUT_INPUTS = 4
_OLDEST_RUN = 7
_CONVERTED_TO = 13
"""The version converter knows the way from operator set 1 to here best: later sets turn attributes into inputs."""


def modern(source: Source) -> Path:
    """The source model's own file, or one beside it (and so beside its external data) that says the same today.

    Raises UnsupportedOperator where onnx's version converter knows no way.
    """
    signature = source.signature
    old_set = signature.opsets.get("", _OLDEST_RUN) < _OLDEST_RUN
    if not old_set and (signature.ir_version or 0) >= _IR_WITHOUT_INPUTS:
        return source.path
    path = source.path.with_name(f"{source.path.name}.modern")
    if path.exists():
        return path
    import onnx

    model = onnx.load(source.path, load_external_data=False)
    if old_set:
        model = _converted(model, signature.opsets[""])
    if not _without_weight_inputs(model) and not old_set:
        return source.path
    onnx.save(model, path)
    return path


def _converted(model: Any, version: int) -> Any:
    from onnx import version_converter

    print(f"operator set {version} is converted to {_CONVERTED_TO} by onnx's version converter", flush=True)  # noqa: T201
    model.ir_version = max(model.ir_version, 3)
    _slopes_by_channel(model)
    try:
        return version_converter.convert_version(model, _CONVERTED_TO)
    except Exception as error:
        raise UnsupportedOperator(
            f"ONNX Runtime runs operator set {_OLDEST_RUN} and newer, the model has {version}, and onnx's version "
            f"converter cannot lift it: {first_line(error)}",
            advice="Export the model again with a newer operator set, 17 for example.",
            opset=version,
        ) from error


def _slopes_by_channel(model: Any) -> None:
    """PRelu's slopes in the shape that operator set 7 broadcasts: [C, 1, …]. The version converter leaves them [C]."""
    from onnx import shape_inference

    graph = shape_inference.infer_shapes(model).graph
    ranks = {one.name: len(one.type.tensor_type.shape.dim) for one in (*graph.input, *graph.value_info)}
    weights = {tensor.name: tensor for tensor in model.graph.initializer}
    for node in model.graph.node:
        slope = weights.get(node.input[1]) if node.op_type == "PRelu" else None
        if slope is not None and len(slope.dims) == 1 and slope.dims[0] > 1:
            shape = [slope.dims[0], *[1] * max(0, ranks.get(node.input[0], 2) - 2)]
            slope.dims[:] = shape
            for one in model.graph.input:
                if one.name == slope.name:
                    del one.type.tensor_type.shape.dim[:]
                    for size in shape:
                        one.type.tensor_type.shape.dim.add().dim_value = size


def _without_weight_inputs(model: Any) -> bool:
    """Take the weights out of the graph's inputs, where formats before IR 4 had to list them; whether there were any.

    ONNX Runtime folds such a weight away and leaves its input behind, which then nobody can feed.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    model.ir_version = max(model.ir_version, _IR_WITHOUT_INPUTS)
    if len(inputs) == len(model.graph.input):
        return False
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    return True

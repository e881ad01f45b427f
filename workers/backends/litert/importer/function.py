"""An ONNX model as one TensorFlow function with the model's own signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tensorflow as tf

from enginehouse.errors import UnsupportedOperator
from workers.backends.litert.importer.gelu import fold
from workers.backends.litert.importer.node import OPERATORS, Unsupported
from workers.backends.litert.importer.translate import Graph, element
from workers.backends.litert.importer.value import Value
from workers.backends.litert.importer.weights import Weights

INPUT, OUTPUT = "input_{}", "output_{}"
"""Names of the function's arguments and results by their positions: TensorFlow takes fewer letters than ONNX."""


def function(model: Any, shapes: Mapping[str, Sequence[int | None]]) -> tuple[Any, Any]:
    """The concrete function of an onnx.ModelProto whose weights are in memory, and the module that holds its weights.

    ``model``: as ``prepared`` gives it. ``shapes``: input name to sizes, None for one that stays open.
    Raises UnsupportedOperator, ConversionFailed.
    """
    versions = {one.domain or "": one.version for one in model.opset_import}
    graph = Graph(model.graph, versions)
    specs = []
    for index, one in enumerate(graph.inputs):
        try:
            kind = element(one.type.tensor_type.elem_type)
        except (Unsupported, KeyError, TypeError) as error:
            raise UnsupportedOperator(f"TensorFlow Lite takes no input like '{one.name}': {error}") from error
        specs.append(tf.TensorSpec(shapes[one.name], kind, INPUT.format(index)))

    weights = Weights()

    def call(*tensors: Any) -> dict[str, Any]:
        weights.begin()
        made = graph.run([Value(tensor) for tensor in tensors])
        return {OUTPUT.format(i): tf.identity(one.first(), OUTPUT.format(i)) for i, one in enumerate(made)}

    try:
        return tf.function(call, input_signature=specs, autograph=False).get_concrete_function(), weights.module
    finally:
        weights.end()


def prepared(model: Any) -> tuple[Any, list[list[str]]]:
    """The model in operators that have a rule here, and for each of its nodes the names of those it stands for.

    Operators without a rule that are defined by others are replaced by these; groups of nodes that are one operator of
    TensorFlow Lite by that one. Every node of ``model`` has a name.
    """
    made = _defined(model)
    owners = _owners(list(model.graph.node), list(made.graph.node))
    folded = fold(made)
    nodes = zip(made.graph.node, owners, strict=True)
    return made, [folded.get(node.name, [owner]) for node, owner in nodes]


def _defined(model: Any) -> Any:
    from onnx import defs, shape_inference
    from onnx.inliner import inline_selected_functions

    versions = {one.domain: one.version for one in model.opset_import}
    wanted = set()
    for node in model.graph.node:
        if node.op_type in OPERATORS or node.domain not in ("", "ai.onnx"):
            continue
        version = versions.get(node.domain, 1)
        if defs.has(node.op_type, version, "") and _is_function(defs.get_schema(node.op_type, version, "")):
            wanted.add((node.domain, node.op_type))
    if not wanted:
        return model
    model = shape_inference.infer_shapes(model)  # bodies depend on their inputs' types
    return inline_selected_functions(model, sorted(wanted), inline_schema_functions=True)


def _owners(before: list[Any], after: list[Any]) -> list[str]:
    """For each node, the name of the node of ``before`` that it is, or that was replaced by it and its neighbours."""
    found: list[str] = []
    rest = iter(after)
    for node in before:
        outputs = {name for name in node.output if name}
        for one in rest:
            found.append(node.name)
            outputs -= set(one.output)
            if not outputs:
                break
    return [*found, *[one.name for one in rest]]


def _is_function(schema: Any) -> bool:
    return bool(schema.has_function or schema.has_context_dependent_function)

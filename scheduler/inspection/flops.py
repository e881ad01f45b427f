"""How many floating-point operations an ONNX graph takes, by the shapes in it. Weights are not looked at.

Two operations count for each multiply-add of convolutions, matrix products and recurrent layers; the rest, additions of
biases included, is not counted. Dynamic dimensions count as 1.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

import onnx.inliner
from onnx import GraphProto, ModelProto, NodeProto, helper

from scheduler.inspection.onnx_shapes import Scope, Shape, attributes

_MAX_NODES = 50_000
_MAX_BYTES = 64 * 1024**2
_SECONDS = 3.0


class _Unknown(Exception):
    """What the count needs cannot be derived."""


def flops(model: ModelProto) -> int | None:
    """Operations of one inference. None where they cannot be derived, and for a graph that multiplies nothing.

    Never raises, whatever the model is. The model stays as it is.
    """
    try:
        graph = _inlined(model).graph if model.functions else model.graph
        if len(graph.node) > _MAX_NODES:
            return None
        opsets = {"" if one.domain == "ai.onnx" else one.domain: one.version for one in model.opset_import}
        scope = Scope({"": 1, **opsets}, time.monotonic() + _SECONDS)
        if graph is not model.graph:
            scope.begin(model.graph)
        return _graph(graph, scope) or None
    except Exception:  # noqa: BLE001 - the model is a stranger's; what cannot be derived is not told
        return None


def _inlined(model: ModelProto) -> ModelProto:
    """The model's graph with its functions written out, without the weights."""
    light = ModelProto(ir_version=max(model.ir_version, 8))
    light.opset_import.extend(model.opset_import)
    light.functions.extend(model.functions)
    graph = light.graph
    graph.name = "graph"
    graph.input.extend(model.graph.input)
    named = {value.name for value in graph.input}
    for tensor in model.graph.initializer:
        if tensor.name not in named:  # the inliner must not give this name to something else
            graph.input.append(helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims))
    size = 0
    for node in model.graph.node:
        size += node.ByteSize()
        if size > _MAX_BYTES:
            raise _Unknown("too large")
        graph.node.append(node)
    graph.output.extend(model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    made: ModelProto = onnx.inliner.inline_local_functions(light)
    return made


def _graph(graph: GraphProto, scope: Scope) -> int:
    scope.begin(graph)
    told = {value.name: value for value in (*graph.value_info, *graph.output)}
    total = 0
    for node in graph.node:
        inner = []
        for one in node.attribute:
            if one.HasField("g"):
                below = Scope(scope.opsets, scope.until, scope)
                inner.append(_graph(one.g, below))
                if node.op_type == "If":  # its outputs are those of either branch
                    for name, made in zip(node.output, one.g.output, strict=False):
                        kind = below.type(made.name)
                        if kind is not None:
                            scope.types.setdefault(name, kind)
        if any(inner) and node.op_type != "If":
            raise _Unknown(f"how often {node.op_type} runs")
        total += max(inner, default=0)
        scope.learn(node, told)
        rule = _RULES.get(node.op_type)
        if rule:
            total += 2 * rule(node, scope)
    return total


def _input(node: NodeProto, scope: Scope, index: int) -> Shape:
    return _shape(node, scope, node.input, index)


def _output(node: NodeProto, scope: Scope) -> Shape:
    return _shape(node, scope, node.output, 0)


def _shape(node: NodeProto, scope: Scope, names: Sequence[str], index: int) -> Shape:
    found = scope.shape(names[index]) if index < len(names) else None
    if found is None:
        raise _Unknown(f"{node.op_type} {node.name}")
    return found


def _convolution(weight: int) -> Callable[[NodeProto, Scope], int]:
    """Weights are [outputs, inputs of a group, kernel …]: every output number takes one number of each of the rest."""

    def rule(node: NodeProto, scope: Scope) -> int:
        return math.prod(_output(node, scope)) * math.prod(_input(node, scope, weight)[1:])

    return rule


def _transposed(node: NodeProto, scope: Scope) -> int:
    """Weights are [inputs, outputs of a group, kernel …]: every input number gives one to each of the rest."""
    return math.prod(_input(node, scope, 0)) * math.prod(_input(node, scope, 1)[1:])


def _product(second: int) -> Callable[[NodeProto, Scope], int]:
    def rule(node: NodeProto, scope: Scope) -> int:
        left, right = _input(node, scope, 0), _input(node, scope, second)
        rows, columns = left[-2:-1], right[-1:] if len(right) > 1 else []
        batch = _broadcast(left[:-2], right[:-2])
        depth = _depth(node, left[-1], right[-2:][0])
        return math.prod(batch) * math.prod(rows) * math.prod(columns) * depth

    return rule


def _broadcast(left: Shape, right: Shape) -> Shape:
    length = max(len(left), len(right))
    pairs = zip([1] * (length - len(left)) + left, [1] * (length - len(right)) + right, strict=True)
    return [max(pair) for pair in pairs]


def _gemm(node: NodeProto, scope: Scope) -> int:
    left, right = _input(node, scope, 0), _input(node, scope, 1)
    turned = attributes(node)
    rows, depth = left[::-1] if turned.get("transA") else left
    same, columns = right[::-1] if turned.get("transB") else right
    return rows * _depth(node, depth, same) * columns


def _depth(node: NodeProto, left: int, right: int) -> int:
    """The dimension that a product sums over: told by one side where the other's is dynamic."""
    if left != right and 1 not in {left, right}:
        raise _Unknown(f"{node.op_type} {node.name}")
    return max(left, right)


def _einsum(node: NodeProto, scope: Scope) -> int:
    """Every combination of indices is one multiply-add, where two tensors are multiplied."""
    equation = next(one.s.decode() for one in node.attribute if one.name == "equation").replace(" ", "")
    terms = equation.split("->")[0].split(",")
    if len(terms) != 2 or "." in equation:
        raise _Unknown(equation)
    sizes: dict[str, int] = {}
    for index, term in enumerate(terms):
        sizes.update(zip(term, _input(node, scope, index), strict=True))
    return math.prod(sizes.values())


def _recurrent(gates: int) -> Callable[[NodeProto, Scope], int]:
    """W is [directions, gates * hidden, inputs], R [directions, gates * hidden, hidden]; both at every step."""

    def rule(node: NodeProto, scope: Scope) -> int:
        steps = math.prod(_input(node, scope, 0)[:2])
        directions, rows, inputs = _input(node, scope, 1)
        return steps * directions * rows * (inputs + rows // gates)

    return rule


_RULES: dict[str, Callable[[NodeProto, Scope], int]] = {
    "Conv": _convolution(1),
    "ConvInteger": _convolution(1),
    "ConvTranspose": _transposed,
    "DeformConv": _convolution(1),
    "Einsum": _einsum,
    "FusedConv": _convolution(1),
    "FusedGemm": _gemm,
    "FusedMatMul": _product(1),
    "GRU": _recurrent(3),
    "Gemm": _gemm,
    "LSTM": _recurrent(4),
    "MatMul": _product(1),
    "MatMulInteger": _product(1),
    "QLinearConv": _convolution(3),
    "QLinearMatMul": _product(3),
    "RNN": _recurrent(1),
}

"""GELU as exporters write it: x · 0.5 · (1 + erf(x / √2)) over five nodes, which TensorFlow Lite has a kernel for."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from onnx import helper, numpy_helper

_CLOSE = 1e-4


def fold(model: Any) -> dict[str, list[str]]:
    """Replace every such group of nodes by one Gelu node, in the last one's place and with its name.

    Returns the names of the nodes behind each such name.
    """
    graph, replaced = model.graph, dict[str, list[str]]()
    makers = {output: node for node in graph.node for output in node.output}
    readers: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    kept = {one.name for one in graph.output}
    numbers = _Numbers(graph, makers)
    for erf in [node for node in graph.node if node.op_type == "Erf"]:
        found = _group(erf, makers, readers, numbers)
        if found is None:
            continue
        x, nodes = found
        inner = {output for node in nodes for output in node.output} - set(nodes[-1].output)
        if inner & kept or any(reader not in nodes for name in inner for reader in readers.get(name, [])):
            continue
        last = nodes[-1]
        names = [node.name for node in nodes]
        made = helper.make_node("Gelu", [x], list(last.output), name=last.name)
        position = next(index for index, node in enumerate(graph.node) if node is last)
        replaced[names[-1]] = names
        graph.node[position].CopyFrom(made)
    return replaced


class _Numbers:
    """Constants of one element."""

    def __init__(self, graph: Any, makers: dict[str, Any]) -> None:
        self._tensors = {tensor.name: tensor for tensor in graph.initializer}
        self._makers = makers

    def get(self, name: str) -> float | None:
        """The number behind a name."""
        tensor = self._tensors.get(name)
        maker = self._makers.get(name)
        if tensor is None and maker is not None and maker.op_type == "Constant":
            tensor = next((one.t for one in maker.attribute if one.name == "value"), None)
        if maker is not None and maker.op_type == "Identity":
            return self.get(maker.input[0])
        if tensor is None or int(np.prod(tensor.dims, dtype=np.int64)) != 1:
            return None
        return float(numpy_helper.to_array(tensor).astype(np.float64).reshape(()))

    def beside(self, node: Any, value: float) -> str | None:
        """A node's other input, where one of its two inputs is this number."""
        for one, other in (node.input, reversed(node.input)):
            number = self.get(one)
            if number is not None and abs(number - value) < _CLOSE * max(1.0, abs(value)):
                return str(other)
        return None


def _group(
    erf: Any, makers: dict[str, Any], readers: dict[str, list[Any]], numbers: _Numbers
) -> tuple[str, list[Any]] | None:
    scaled = makers.get(erf.input[0])
    x = None
    if scaled is not None and scaled.op_type == "Div" and numbers.get(scaled.input[1]) is not None:
        x = numbers.beside(scaled, float(np.sqrt(2)))
    elif scaled is not None and scaled.op_type == "Mul":
        x = numbers.beside(scaled, float(np.sqrt(0.5)))
    plus = _only(erf, readers)
    if x is None or plus is None or plus.op_type != "Add" or numbers.beside(plus, 1.0) is None:
        return None
    for nodes in _products(plus, x, makers, readers, numbers):
        return x, [scaled, erf, plus, *nodes]
    return None


def _products(
    plus: Any, x: str, makers: dict[str, Any], readers: dict[str, list[Any]], numbers: _Numbers
) -> Iterator[list[Any]]:
    """The two products with x and 0.5 that end the group, in whichever order they are made."""
    first = _only(plus, readers)
    if first is None or first.op_type != "Mul":
        return
    other = next((name for name in first.input if name != plus.output[0]), None)
    half = makers.get(other or "")
    if other == x:  # (x · (1 + erf)) · 0.5
        second = _only(first, readers)
        if second is not None and second.op_type == "Mul" and numbers.beside(second, 0.5) is not None:
            yield [first, second]
    elif numbers.beside(first, 0.5) is not None:  # ((1 + erf) · 0.5) · x
        second = _only(first, readers)
        if second is not None and second.op_type == "Mul" and x in second.input:
            yield [first, second]
    elif half is not None and half.op_type == "Mul" and numbers.beside(half, 0.5) == x:  # (1 + erf) · (0.5 · x)
        yield [half, first]


def _only(node: Any, readers: dict[str, list[Any]]) -> Any:
    """The one node that reads a node's output."""
    found = readers.get(node.output[0], [])
    return found[0] if len(found) == 1 else None

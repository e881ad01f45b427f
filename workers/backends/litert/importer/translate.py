"""An ONNX graph as TensorFlow operations, node by node.

Each node's operations lie in a name scope that begins with the node's number (``n12_conv1/Conv2D``): TensorFlow Lite
joins these names where it fuses operations, which is how the layer report finds the nodes again.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import onnx
import tensorflow as tf
from onnx import numpy_helper

from enginehouse.errors import ConversionFailed, EnginehouseError, UnsupportedOperator
from workers.backends.litert.importer.known import note
from workers.backends.litert.importer.node import OPERATORS, Node, Unsupported
from workers.backends.litert.importer.value import Value

_STANDARD = ("", "ai.onnx")
_UNSAFE = re.compile(r"[^A-Za-z0-9_.\-]")
_LONGEST = 60
_HALVES = ("float16", "bfloat16", "float64")
"""Computed in float32: TensorFlow Lite's kernels have no other floating-point type."""

_BRANCHING = ("If", "Loop", "Scan")


def element(kind: int) -> np.dtype[Any]:
    """The NumPy type in which an ONNX element type is computed. Raises Unsupported."""
    found = onnx.helper.tensor_dtype_to_np_dtype(kind)
    if found.name in _HALVES:
        return np.dtype(np.float32)
    if found.kind not in "biuf":
        raise Unsupported(f"element type {found.name}")
    return found


def array(tensor: Any) -> np.ndarray[Any, Any]:
    """An initialiser's elements in the type in which they are computed."""
    found = numpy_helper.to_array(tensor)
    return found.astype(np.float32) if found.dtype.name in _HALVES else found


class Graph:
    """A graph or a subgraph that is being translated."""

    def __init__(self, proto: Any, versions: Mapping[str, int], outer: Graph | None = None, scope: str = "") -> None:
        self._proto = proto
        self._versions = versions
        self._outer = outer
        self._scope = scope
        self._weights = {tensor.name: tensor for tensor in proto.initializer}
        self._values: dict[str, Value] = {}

    @property
    def inputs(self) -> list[Any]:
        """The graph's inputs that are not weights."""
        return [one for one in self._proto.input if one.name not in self._weights]

    def run(self, values: Sequence[Value]) -> list[Value]:
        """The outputs' values for these inputs' values. Raises UnsupportedOperator, ConversionFailed."""
        self._values.update({spec.name: value for spec, value in zip(self.inputs, values, strict=True)})
        wanted = _wanted(self._proto)
        for index, node in enumerate(self._proto.node):
            if any(name in wanted for name in node.output):
                self._add(index, node, wanted)
        return [self._value(one.name) for one in self._proto.output]

    def _value(self, name: str) -> Value:
        if name not in self._values and name in self._weights:
            self._values[name] = Value(array(self._weights[name]))
        if name not in self._values and self._outer is not None:
            return self._outer._value(name)
        return self._values[name]

    def _add(self, index: int, proto: Any, wanted: set[str]) -> None:
        operator = proto.op_type if proto.domain in _STANDARD else f"{proto.domain}.{proto.op_type}"
        version = self._versions.get(proto.domain, self._versions.get("", 1))
        where = {"operators": [operator], "nodes": [proto.name], "opset": version}
        translate = OPERATORS.get(operator)
        if translate is None:
            raise UnsupportedOperator(
                f"the import of ONNX into TensorFlow Lite has no rule for {operator} (node '{proto.name}')", **where
            )
        try:
            inputs = [self._value(name) if name else None for name in proto.input]
            node = Node(proto, inputs, version, [name in wanted for name in proto.output])
            if proto.op_type in _BRANCHING:
                node.graphs = {
                    one.name: Graph(one.g, self._versions, self, self._scope or f"n{index}")
                    for one in proto.attribute
                    if one.type == onnx.AttributeProto.GRAPH
                }
            made = self._made(translate, node, _label(self._scope or f"n{index}", proto))
        except (EnginehouseError, MemoryError):
            raise
        except Unsupported as error:
            detail = f"TensorFlow Lite cannot take {operator} (node '{proto.name}'): {error}"
            raise UnsupportedOperator(detail, **where) from error
        except Exception as error:
            text = " ".join(str(error).split())[:300]
            raise ConversionFailed(f"{operator} (node '{proto.name}'): {text}", **where) from error
        note(node, made)
        for name, value in zip(proto.output, made, strict=False):
            if name and value is not None:
                self._values[name] = value
            elif name in wanted:
                raise UnsupportedOperator(f"output '{name}' of {operator} (node '{proto.name}') is not made", **where)

    @staticmethod
    def _made(translate: Any, node: Node, label: str) -> Sequence[Value | None]:
        """What the operator makes; computed at once where every input is known."""
        known = bool(node.inputs) and all(value.constant for value in node.values()) and not node.graphs
        if not known or tf.executing_eagerly():
            with tf.name_scope(label):
                made = translate(node)
            return [made] if isinstance(made, Value) else made
        with tf.init_scope():
            made = translate(node)
            several = [made] if isinstance(made, Value) else made
            return [value and Value(np.asarray(value.first())) for value in several]


def _label(number: str, proto: Any) -> str:
    """A node in a subgraph has the number of the node that the subgraph belongs to."""
    return f"{number}_{_UNSAFE.sub('_', proto.name or proto.op_type)[-_LONGEST:]}"


def _wanted(graph: Any) -> set[str]:
    """The tensors that the outputs depend on."""
    wanted = {one.name for one in graph.output}
    for node in reversed(graph.node):
        if any(name in wanted for name in node.output):
            wanted.update(_read(node))
    return wanted


def _read(node: Any) -> Iterator[str]:
    """The tensors that a node reads, those of its subgraphs included."""
    yield from node.input
    for attribute in node.attribute:
        if attribute.type == onnx.AttributeProto.GRAPH:
            for inner in attribute.g.node:
                yield from _read(inner)
            yield from (one.name for one in attribute.g.output)

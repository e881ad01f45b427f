"""Shapes in an ONNX graph, node after node, by the rules of onnx's own schemas. Dynamic dimensions count as 1.

Unlike onnx's inference of a whole graph it needs no copy of the weights, and it computes the small integer tensors that
exporters build shapes of.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import (
    GraphProto,
    NodeProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
    defs,
    helper,
    numpy_helper,
    shape_inference,
)

_SMALL = 1024
"""Elements up to which a tensor may be one that shapes are made of."""
_DTYPES = {TensorProto.INT64: np.int64, TensorProto.INT32: np.int32}

Shape = list[int]
Integers = npt.NDArray[Any]


class OutOfTime(Exception):
    """The walk takes longer than it may."""


@dataclass
class Scope:
    """What is known of tensors. ``outer``: the graph around a subgraph. ``until``: time.monotonic() to stop at."""

    opsets: Mapping[str, int]
    until: float
    outer: Scope | None = None
    types: dict[str, TypeProto] = field(default_factory=dict)
    values: dict[str, Integers] = field(default_factory=dict)
    constants: dict[str, TensorProto] = field(default_factory=dict)

    def type(self, name: str) -> TypeProto | None:
        """The type with its shape, None where it is not known."""
        found = self.types.get(name)
        return found if found is not None or self.outer is None else self.outer.type(name)

    def value(self, name: str) -> Integers | None:
        """The numbers of a small integer tensor, None where they are not known."""
        found = self.values.get(name)
        return found if found is not None or self.outer is None else self.outer.value(name)

    def data(self, name: str) -> TensorProto | None:
        """A small tensor of any type, None where it is not known."""
        value = self.value(name)
        if value is not None:
            return numpy_helper.from_array(value, name)
        found = self.constants.get(name)
        return found if found is not None or self.outer is None else self.outer.data(name)

    def shape(self, name: str) -> Shape | None:
        """The shape, None where not all of it is known."""
        found = self.type(name)
        if found is None or not found.tensor_type.HasField("shape"):
            return None
        dims = found.tensor_type.shape.dim
        return [dim.dim_value for dim in dims] if all(dim.HasField("dim_value") for dim in dims) else None

    def begin(self, graph: GraphProto) -> None:
        """Learn a graph's inputs and constants."""
        for value in graph.input:
            self._told(value)
        for tensor in graph.initializer:
            self.hold(tensor, tensor.name)
        for sparse in graph.sparse_initializer:
            self.types[sparse.values.name] = helper.make_tensor_type_proto(sparse.values.data_type, sparse.dims)

    def hold(self, tensor: TensorProto, name: str) -> None:
        """Learn a constant."""
        self.types[name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        external = tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data) > 0
        if external or len(tensor.dims) > 1 or sum(tensor.dims) > _SMALL:
            return
        self.constants[name] = tensor
        if tensor.data_type in _DTYPES:
            self.values[name] = numpy_helper.to_array(tensor)

    def learn(self, node: NodeProto, told: Mapping[str, ValueInfoProto]) -> None:
        """Learn what a node makes. ``told``: the shapes that the file gives, taken where none can be derived."""
        if time.monotonic() > self.until:
            raise OutOfTime
        if node.op_type == "Constant":
            for one in node.attribute:
                if one.HasField("t"):
                    self.hold(one.t, node.output[0])
                    return
        made = self._folded(node)
        if made is not None and made.size <= _SMALL:
            self.values[node.output[0]] = made
            self.types[node.output[0]] = helper.make_tensor_type_proto(
                helper.np_dtype_to_tensor_dtype(made.dtype), made.shape
            )
            return
        derived = self._derived(node)
        for name in node.output:
            if name in derived:
                self.types[name] = possible(derived[name])
            if self.shape(name) is None and name in told:
                self._told(told[name])

    def _told(self, value: ValueInfoProto) -> None:
        kind = TypeProto()
        kind.CopyFrom(value.type)
        self.types[value.name] = fixed(kind)

    def _derived(self, node: NodeProto) -> dict[str, TypeProto]:
        types, data = {}, {}
        for name in node.input:
            if not name:
                continue
            kind = self.type(name)
            if kind is None:
                return {}
            types[name] = kind
            value = self.data(name)
            if value is not None:
                data[name] = value
        try:
            schema = defs.get_schema(node.op_type, self.opsets[node.domain], node.domain)
            opsets = [helper.make_opsetid(domain, version) for domain, version in self.opsets.items()]
            found: dict[str, TypeProto] = shape_inference.infer_node_outputs(
                schema, node, types, data, opset_imports=opsets
            )
            return found
        except Exception:  # noqa: BLE001 - an operator that onnx does not know, or that contradicts itself
            return {}

    def _folded(self, node: NodeProto) -> Integers | None:
        """The value of a node that works on small integer tensors, as exporters compute shapes."""
        if node.domain not in {"", "ai.onnx"} or len(node.output) != 1:
            return None
        if node.op_type == "Shape":
            shape = self.shape(node.input[0])
            given = attributes(node)
            return None if shape is None else np.array(shape[given.get("start", 0) : given.get("end")], np.int64)
        rule = _FOLDS.get(node.op_type)
        values = [self.value(name) if name else None for name in node.input]
        if rule is None or any(value is None and name for value, name in zip(values, node.input, strict=True)):
            return None
        try:
            made = rule(values, attributes(node))
        except (ValueError, IndexError, TypeError, ZeroDivisionError, OverflowError):
            return None
        return made if made is not None and made.dtype in {np.dtype(np.int64), np.dtype(np.int32)} else None


def fixed(kind: TypeProto) -> TypeProto:
    """The type with 1 for every dimension that is not told."""
    for dim in kind.tensor_type.shape.dim:
        if dim.dim_value < 1:
            dim.dim_value = 1
    return kind


def possible(kind: TypeProto) -> TypeProto:
    """The type with 1 for every dimension that became nothing, as windows make of dynamic ones that count as 1."""
    for dim in kind.tensor_type.shape.dim:
        if dim.HasField("dim_value") and dim.dim_value < 1:
            dim.dim_value = 1
    return kind


def attributes(node: NodeProto) -> dict[str, Any]:
    """A node's integer attributes."""
    return {one.name: list(one.ints) if one.ints else one.i for one in node.attribute if one.ints or one.HasField("i")}


def _slice(values: Sequence[Any], _: Mapping[str, Any]) -> Integers | None:
    if len(values) < 3 or values[0].ndim != 1:
        return None
    (start,), (end,) = values[1], values[2]
    step = values[4] if len(values) > 4 and values[4] is not None else [1]
    return np.asarray(values[0][int(start) : int(end) : int(step[0])])


def _gather(values: Sequence[Any], given: Mapping[str, Any]) -> Integers:
    return np.asarray(np.take(values[0], values[1], given.get("axis", 0)))


def _concat(values: Sequence[Any], _: Mapping[str, Any]) -> Integers:
    return np.concatenate(values)


def _cast(values: Sequence[Any], given: Mapping[str, Any]) -> Integers | None:
    kind = _DTYPES.get(given.get("to", 0))
    return None if kind is None else np.asarray(values[0], kind)


def _unsqueeze(values: Sequence[Any], _: Mapping[str, Any]) -> Integers | None:
    return values[0].reshape(1) if values[0].ndim == 0 else None


def _squeeze(values: Sequence[Any], _: Mapping[str, Any]) -> Integers | None:
    return values[0].reshape(()) if values[0].size == 1 else None


def _quotient(values: Sequence[Any], _: Mapping[str, Any]) -> Integers | None:
    return None if np.any(values[1] == 0) else np.asarray(np.trunc(values[0] / values[1]).astype(values[0].dtype))


def _operation(function: Callable[..., Any]) -> Callable[[Sequence[Any], Mapping[str, Any]], Integers]:
    return lambda values, _: np.asarray(function(*values))


_FOLDS: dict[str, Callable[[Sequence[Any], Mapping[str, Any]], Integers | None]] = {
    "Add": _operation(np.add),
    "Cast": _cast,
    "Concat": _concat,
    "Div": _quotient,
    "Gather": _gather,
    "Identity": _operation(np.asarray),
    "Max": _operation(np.maximum),
    "Min": _operation(np.minimum),
    "Mul": _operation(np.multiply),
    "Neg": _operation(np.negative),
    "ReduceProd": lambda values, given: np.asarray(values[0].prod(keepdims=bool(given.get("keepdims", 1)))),
    "Slice": _slice,
    "Squeeze": _squeeze,
    "Sub": _operation(np.subtract),
    "Unsqueeze": _unsqueeze,
}

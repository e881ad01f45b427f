"""A float32 graph with half-precision weights and activations; what overflows or loses its digits stays in float32.

Which nodes stay follows NVIDIA ModelOpt's AutoCast (nodes by name and type, values and weights out of range) and
PyTorch's automatic mixed precision (operators that it runs in float32): values beyond a quarter of the type's range on
the samples, since the samples are few; weights that would become infinite or zero; powers, exponentials, roots and sums
that are graph nodes of their own. A normalisation or a softmax that is one node does not stay: runtimes keep its inside
in float32. Numbers that become integers stay, since half precision counts to 2048 only (bfloat16 to 256).

Imports numpy, onnx and the stages' own parts: ``embed`` puts this into scripts that run outside the farm.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from workers.stages.graph import (
    FLOATING,
    QDQ,
    all_graphs,
    all_nodes,
    array,
    attribute,
    lift_constants,
    set_repeated,
    set_values,
    subgraphs,
)
from workers.stages.operators import Operator, operator, operator_sets, tensor_types, unique_tensors

_LARGEST = {"float16": 65504.0, "bfloat16": 3.3895313892515355e38}
_TINIEST = {"float16": 2.0**-24, "bfloat16": 2.0**-133}
_NORMAL = {"float16": 2.0**-14, "bfloat16": 2.0**-126}
_MARGIN = 4.0

_SENSITIVE = frozenset(
    {
        "Pow", "Exp", "Log", "Sqrt", "Reciprocal", "Softplus", "Sinh", "Cosh", "Tan", "Asin", "Acos",
        "CumSum", "CumProd", "ReduceSum", "ReduceMean", "ReduceProd", "ReduceL1", "ReduceL2", "ReduceSumSquare",
        "ReduceLogSum", "ReduceLogSumExp", "LpNormalization", "LpPool", "GlobalLpPool", "MeanVarianceNormalization",
    }
)  # fmt: skip
_PLAIN = frozenset(
    {
        "Add", "Sub", "Mul", "Div", "Neg", "Abs", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
        "Transpose", "Slice", "Gather", "Concat", "Split", "Expand", "Tile", "Where", "Min", "Max", "Clip",
    }
)  # fmt: skip
_COUNTING = _PLAIN | {"Cast", "Floor", "Ceil", "Round", "Mod", "Sqrt", "Range", "Sign"}
"""What stands between a number and the index, size or position that it becomes."""
_UNTOUCHED = frozenset(
    {"Cast", "CastLike", "Constant", "ConstantOfShape", "EyeLike", "RandomNormal", "RandomUniform", "Shape", "Size"}
)
"""Not worth a word: their own type is written in them, or they take numbers of any."""
_PRODUCTS = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul", "FusedConv", "FusedGemm", "FusedMatMul"})
_FLOAT_INPUTS = {"Resize": (1, 2), "Upsample": (1,)}
"""Regions and scales stay float32: a size is computed from them."""


def cast_model(
    model: Any,
    folder: Path,
    half: str,
    largest: Mapping[str, float],
    *,
    keep: Collection[str] = (),
    keep_types: Collection[str] = (),
    keep_io: bool = True,
) -> tuple[list[str], int]:
    """Cast in place. ``half``: 'float16' or 'bfloat16'; ``largest``: tensor name to the largest magnitude seen.

    ``folder``: where external data lies. Returns the names of the nodes that stay in float32 though the type could
    hold them, or that the operator's schema keeps there, and how many nodes work in half precision now.
    """
    unique_tensors(model)
    lift_constants(model.graph)
    cast = _Cast(model, folder, half)
    cast.choose(largest, frozenset(keep), frozenset(keep_types) | _SENSITIVE)
    if not cast.low:  # made of nothing but such operators: then they are what was asked for
        cast.choose(largest, frozenset(keep), frozenset(keep_types))
    cast.weights()
    cast.rewrite(model.graph, keep_io, outermost=True)
    return cast.kept, len(cast.low)


class _Cast:
    """One model's way into half precision. Tensors are told by their names."""

    def __init__(self, model: Any, folder: Path, half: str) -> None:
        self.model = model
        self.folder = folder
        self.half = half
        self.element = TensorProto.DataType.Value(half.upper())
        self.types = tensor_types(model)
        self.versions = operator_sets(model)
        self.floats = {name for name, kind in self.types.items() if kind == TensorProto.FLOAT}
        self.initial = {tensor.name: tensor for graph in all_graphs(model.graph) for tensor in graph.initializer}
        self.extremes: dict[str, tuple[float, float]] = {}
        self.low: set[str] = set()
        self.kept: list[str] = []
        self.is_half: set[str] = set()
        """tensors whose own name means half precision now"""
        self.twins: dict[str, str] = {}
        """tensor to its name in the other precision, where it exists in every scope"""
        self.outputs = {one.name for graph in all_graphs(model.graph) for one in graph.output}

    # -- which nodes --------------------------------------------------------------------------

    def choose(self, largest: Mapping[str, float], keep: frozenset[str], keep_types: frozenset[str]) -> None:
        """Fill ``low`` with the names of the nodes that go to half precision, and ``kept`` with those that do not."""
        makers = {name: node for node in all_nodes(self.model.graph) for name in node.output if name}
        readers: dict[str, list[Any]] = defaultdict(list)
        for node in all_nodes(self.model.graph):
            for name in node.input:
                readers[name].append(node)
        beyond = {name for name, value in largest.items() if value > _LARGEST[self.half] / _MARGIN}
        counting = self._counting(makers)
        self.kept = []
        stays: set[str] = set()
        for node in all_nodes(self.model.graph):
            known = operator(node, self.versions)
            if known is None or not self._castable(node, known):
                continue
            self.low.add(node.name)
            tensors = {*node.input, *node.output}
            if (
                node.name in keep
                or node.op_type in keep_types
                or node.name in counting
                or tensors & beyond
                or any(self._out_of_range(name, node.op_type) for name in node.input if name in self.initial)
            ):
                stays.add(node.name)
        self.low -= stays
        self._join_islands(makers, readers)
        for node in all_nodes(self.model.graph):
            tells = node.op_type not in _UNTOUCHED | QDQ and not any(subgraphs(node))
            if tells and node.name not in self.low and self.floats.intersection((*node.input, *node.output)):
                self.kept.append(node.name)

    def _castable(self, node: Any, known: Operator) -> bool:
        """Whether the operator takes half precision where the node has float32; nothing is unknown about it."""
        if node.op_type in _UNTOUCHED or any(subgraphs(node)):
            return False
        if TensorProto.FLOAT in (attribute(node, "dtype"), attribute(node, "output_dtype")):
            return False
        if node.op_type.endswith("LayerNormalization") and any(
            node.output[1:]
        ):  # its statistics have a type of their own
            return False
        if any(name and name not in self.types for name in (*node.input, *node.output)):
            return False
        ports = self._ports(node, known)
        return any(ports[0]) or any(ports[1])

    def _ports(self, node: Any, known: Operator) -> tuple[list[bool], list[bool]]:
        """For each input and output whether it is half precision when the node is."""
        fixed = _FLOAT_INPUTS.get(node.op_type, ())
        takes = [
            name in self.floats and index not in fixed and known.input(index).takes(self.half)
            for index, name in enumerate(node.input)
        ]
        gives = [name in self.floats and known.output(index).takes(self.half) for index, name in enumerate(node.output)]
        return takes, gives

    def _out_of_range(self, name: str, kind: str) -> bool:
        """Whether a weight would become infinite; or zero, where one number counts (a divisor, an epsilon)."""
        if name not in self.floats:
            return False
        if name not in self.extremes:
            values = np.abs(array(self.initial[name], self.folder))
            values = values[np.isfinite(values) & (values > 0)]
            self.extremes[name] = (float(values.min()), float(values.max())) if values.size else (1.0, 1.0)
        smallest, most = self.extremes[name]
        if most > _LARGEST[self.half]:
            return True
        return most < _NORMAL[self.half] if kind in _PRODUCTS else smallest < _TINIEST[self.half]

    def _counting(self, makers: Mapping[str, Any]) -> set[str]:
        """Nodes whose results become integers, sizes or scales."""
        found: set[str] = set()
        queue: list[str] = []
        for node in all_nodes(self.model.graph):
            if node.op_type == "Cast" and attribute(node, "to") not in FLOATING | {TensorProto.BOOL}:
                queue.append(node.input[0])
            elif node.op_type == "Range":
                queue += node.input
            else:
                queue += [name for index, name in enumerate(node.input) if index in _FLOAT_INPUTS.get(node.op_type, ())]
        while queue:
            node = makers.get(queue.pop())
            if node is not None and node.op_type in _COUNTING and node.name not in found:
                found.add(node.name)
                queue += node.input
        return found

    def _join_islands(self, makers: Mapping[str, Any], readers: Mapping[str, list[Any]]) -> None:
        """A plain node among nodes that stay would only be cast there and back: it stays too."""
        changed = True
        while changed:
            changed = False
            for node in all_nodes(self.model.graph):
                if node.name not in self.low or node.op_type not in _PLAIN:
                    continue
                around = [makers[name] for name in node.input if name in self.floats and name in makers]
                if not around or self.outputs.intersection(node.output):
                    continue
                around += [other for name in node.output for other in readers.get(name, [])]
                if all(other.name not in self.low and other.op_type not in _UNTOUCHED for other in around):
                    self.low.discard(node.name)
                    changed = True

    # -- the graph ----------------------------------------------------------------------------

    def weights(self) -> None:
        """Initialisers in half precision where nodes want them so; in both where both are wanted."""
        wanted: dict[str, set[bool]] = defaultdict(set)
        for node in all_nodes(self.model.graph):
            takes, _ = self._now(node)
            for index, name in enumerate(node.input):
                wanted[name].add(takes[index])
        for graph in all_graphs(self.model.graph):
            for name in (one.name for one in graph.output):
                wanted[name].add(False)
            for tensor in list(graph.initializer):
                if tensor.data_type != TensorProto.FLOAT or True not in wanted[tensor.name]:
                    continue
                if False in wanted[tensor.name]:
                    twin = self.twins[tensor.name] = self._fresh(f"{tensor.name}.{self.half}")
                    copy = graph.initializer.add()
                    copy.CopyFrom(tensor)
                    copy.name = twin
                    self.is_half.add(twin)
                    set_values(copy, self._rounded(tensor))
                else:
                    set_values(tensor, self._rounded(tensor))
                    self.is_half.add(tensor.name)

    def rewrite(self, graph: Any, keep_io: bool, *, outermost: bool) -> None:
        """Casts before nodes that want another precision than there is, and the tensors' types as they are now."""
        whole = not outermost or keep_io
        if not whole:
            for one in graph.input:
                self.is_half |= {one.name} & self.floats
        outputs = {one.name for one in graph.output} & self.floats
        nodes: list[Any] = []
        casts: dict[tuple[str, bool], str] = {}

        def wanted(name: str, as_half: bool) -> str:
            if (name in self.is_half) == as_half:
                return name
            if name in self.twins:
                return self.twins[name]
            if (name, as_half) not in casts:
                word = self.half if as_half else "float"
                casts[name, as_half] = made = self._fresh(f"{name}.{word}")
                nodes.append(self._cast(name, made, as_half))
            return casts[name, as_half]

        for node in graph.node:
            takes, gives = self._now(node)
            for index, name in enumerate(node.input):
                if name in self.floats:
                    node.input[index] = wanted(name, takes[index])
            for inner in subgraphs(node):
                self.rewrite(inner, keep_io, outermost=False)
            nodes.append(node)
            for index, name in enumerate(node.output):
                if gives[index]:
                    self.is_half.add(name)
                if name in outputs and gives[index] == whole:  # an output is what it was, or half like all others
                    node.output[index] = made = self._fresh(f"{name}.{self.half if gives[index] else 'float'}")
                    nodes.append(self._cast(made, name, not gives[index]))
                    self.is_half ^= {name}
                    self.is_half |= {made} if gives[index] else set()
                    self.twins[name] = made
        set_repeated(graph.node, nodes)
        for one in (*graph.input, *graph.output, *graph.value_info):
            if one.name in self.is_half and one.type.tensor_type.elem_type == TensorProto.FLOAT:
                one.type.tensor_type.elem_type = self.element

    def _now(self, node: Any) -> tuple[list[bool], list[bool]]:
        """For each input and output whether it is half precision as things were decided."""
        known = operator(node, self.versions) if node.name in self.low else None
        return self._ports(node, known) if known else ([False] * len(node.input), [False] * len(node.output))

    def _cast(self, name: str, made: str, as_half: bool) -> Any:
        element = self.element if as_half else TensorProto.FLOAT
        return helper.make_node("Cast", [name], [made], name=f"{made}/cast", to=element)

    def _fresh(self, name: str) -> str:
        while name in self.types:
            name += "_"
        self.types[name] = TensorProto.UNDEFINED
        return name

    def _rounded(self, tensor: Any) -> Any:
        values = array(tensor, self.folder)
        most = _LARGEST[self.half]
        return np.where(np.isfinite(values), np.clip(values, -most, most), values).astype(
            helper.tensor_dtype_to_np_dtype(self.element)
        )

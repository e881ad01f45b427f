"""What operators take and give: element types by their schemas, the standard's and ONNX Runtime's own.

Imports onnx, and onnxruntime for operators of its domains: ``embed`` puts this into scripts that run outside the farm.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import onnx
from onnx import TensorProto

from workers.stages.graph import all_graphs, all_nodes, bare, subgraphs

_STANDARD = ("", "ai.onnx")
_ELEMENTS = {
    "float": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "bfloat16": TensorProto.BFLOAT16,
    "double": TensorProto.DOUBLE,
    "int8": TensorProto.INT8,
    "uint8": TensorProto.UINT8,
    "int32": TensorProto.INT32,
    "int64": TensorProto.INT64,
    "bool": TensorProto.BOOL,
}


@dataclass(frozen=True)
class Port:
    """An input or output: its type variable (or its one type), and all types that it may have."""

    variable: str
    types: frozenset[str]

    def takes(self, element: str) -> bool:
        """Whether a tensor of this element type may go through."""
        return f"tensor({element})" in self.types


@dataclass(frozen=True)
class Operator:
    """An operator's ports; the last one of a list stands for all further ones."""

    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]

    def input(self, index: int) -> Port:
        """The port of an input."""
        return self.inputs[min(index, len(self.inputs) - 1)]

    def output(self, index: int) -> Port:
        """The port of an output."""
        return self.outputs[min(index, len(self.outputs) - 1)]


def operator(node: Any, versions: dict[str, int]) -> Operator | None:
    """The schema of a node's operator, or None. ``versions``: domain to operator set."""
    domain = "" if node.domain in _STANDARD else node.domain
    return _operator(domain, node.op_type, versions.get(domain, 1))


def operator_sets(model: Any) -> dict[str, int]:
    """Domain to version, the standard domain by its empty name."""
    return {("" if one.domain in _STANDARD else one.domain): one.version for one in model.opset_import}


def unique_tensors(model: Any) -> None:
    """Rename tensors inside branches and bodies that have the name of another graph's, so that names tell tensors."""
    seen: set[str] = set()

    def walk(graph: Any, names: dict[str, str]) -> None:
        names = dict(names)

        def define(name: str) -> str:
            fresh, number = name, 2
            while fresh in seen:
                fresh, number = f"{name}.{number}", number + 1
            seen.add(fresh)
            names[name] = fresh
            return fresh

        for one in (*graph.input, *graph.initializer):
            one.name = define(one.name)
        for node in graph.node:
            node.input[:] = [names.get(name, name) for name in node.input]
            for inner in subgraphs(node):
                walk(inner, names)
            node.output[:] = [define(name) if name else name for name in node.output]
        for one in (*graph.output, *graph.value_info):
            one.name = names.get(one.name, one.name)

    walk(model.graph, {})


def tensor_types(model: Any) -> dict[str, int]:
    """Tensor name to element type (onnx.TensorProto's number) of all that can be inferred; tensors only.

    Names must tell tensors (``unique_tensors``).
    """
    found: dict[str, int] = {}
    for source in (onnx.shape_inference.infer_shapes(bare(model)), model):
        for graph in all_graphs(source.graph):
            for one in (*graph.input, *graph.output, *graph.value_info):
                if one.type.tensor_type.elem_type:
                    found[one.name] = one.type.tensor_type.elem_type
            found.update({tensor.name: tensor.data_type for tensor in graph.initializer})
    versions = operator_sets(model)
    for node in all_nodes(model.graph):
        known = operator(node, versions)
        if known is None or all(name in found for name in node.output if name):
            continue
        bound = {known.input(i).variable: found[name] for i, name in enumerate(node.input) if name in found}
        for index, name in enumerate(node.output):
            variable = known.output(index).variable
            element = bound.get(variable) or _ELEMENTS.get(variable.removeprefix("tensor(").removesuffix(")"))
            if name and element:
                found.setdefault(name, element)
    return found


@cache
def _operator(domain: str, name: str, version: int) -> Operator | None:
    if onnx.defs.has(name, version, domain):
        schema = onnx.defs.get_schema(name, version, domain)
        ports = [tuple(Port(one.type_str, frozenset(one.types)) for one in side) for side in _sides(schema)]
        return Operator(*ports)
    for schema in _runtime_schemas().get((domain, name), []):
        if schema.since_version <= version:
            allowed = {one.type_param_str: frozenset(one.allowed_type_strs) for one in schema.type_constraints}
            ports = [
                tuple(Port(one.typeStr, allowed.get(one.typeStr, frozenset({one.typeStr}))) for one in side)
                for side in _sides(schema)
            ]
            return Operator(*ports)
    return None


def _sides(schema: Any) -> tuple[Any, Any]:
    return schema.inputs, schema.outputs


@cache
def _runtime_schemas() -> dict[tuple[str, str], list[Any]]:
    """ONNX Runtime's own operators, newest first."""
    from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

    found: dict[tuple[str, str], list[Any]] = {}
    for schema in get_all_operator_schema():
        if schema.domain not in _STANDARD:
            found.setdefault((schema.domain, schema.name), []).append(schema)
    for each in found.values():
        each.sort(key=lambda schema: -schema.since_version)
    return found

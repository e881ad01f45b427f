"""ONNX files of any size: the graph in memory, its weights where they lie, read one at a time.

Imports numpy and onnx only: ``embed`` puts this into scripts that run outside the farm.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

_INLINE_BYTES = 1_500_000_000
"""A protobuf cannot exceed 2 GiB: weights of larger models go beside it."""
_SMALL_BYTES = 1024
"""Smaller tensors stay in the graph in any case: shapes and scales are looked at by every toolchain."""
_IR_WITHOUT_INPUTS = 4
_ALIGNMENT = 4096

FLOATING = frozenset({TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE})
QDQ = frozenset({"QuantizeLinear", "DequantizeLinear"})


def load_model(path: Path) -> Any:
    """The onnx.ModelProto with external data left where it is, local functions inlined, weights not among inputs.

    Every node has a name; one without a name is given its first output's, and names that occur twice a number.
    """
    return tidied(onnx.load(path, load_external_data=False))[0]


def tidied(model: Any) -> tuple[Any, bool]:
    """The model as ``load_model`` gives it, and whether it had to be changed for that."""
    changed = False
    if model.functions:
        from onnx.inliner import inline_local_functions

        model, changed = inline_local_functions(model), True
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs = [one for one in model.graph.input if one.name not in weights]
    if model.ir_version < _IR_WITHOUT_INPUTS or len(inputs) < len(model.graph.input):
        model.ir_version, changed = max(model.ir_version, _IR_WITHOUT_INPUTS), True
        set_repeated(model.graph.input, inputs)
    return model, name_nodes(model) or changed


def name_nodes(model: Any) -> bool:
    """Give every node a name of its own; whether any had none."""
    seen: dict[str, int] = {}
    changed = False
    for node in all_nodes(model.graph):
        wanted = node.name or next((output for output in node.output if output), node.op_type)
        count = seen[wanted] = seen.get(wanted, 0) + 1
        name = wanted if count == 1 else f"{wanted}.{count}"
        changed |= name != node.name
        node.name = name
    return changed


def subgraphs(node: Any) -> Iterator[Any]:
    """The graphs inside a node: branches and bodies."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs


def all_graphs(graph: Any) -> Iterator[Any]:
    """The graph and those inside its nodes, outermost first."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from all_graphs(inner)


def all_nodes(graph: Any) -> Iterator[Any]:
    """All nodes, those of subgraphs included."""
    for each in all_graphs(graph):
        yield from each.node


def attribute(node: Any, name: str, otherwise: Any = None) -> Any:
    """An attribute's value."""
    return next((helper.get_attribute_value(one) for one in node.attribute if one.name == name), otherwise)


def operator_set(model: Any) -> int:
    """The version of the standard operators."""
    return max((one.version for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)


def array(tensor: Any, folder: Path) -> Any:
    """A tensor's values as a NumPy array, read from ``folder`` where they lie outside."""
    if not uses_external_data(tensor):
        return numpy_helper.to_array(tensor)
    return numpy_helper.to_array(
        TensorProto(data_type=tensor.data_type, dims=tensor.dims, raw_data=_outside(tensor, folder))
    )


def set_values(tensor: Any, values: Any) -> None:
    """Give a tensor other values, in their own element type; its name stays."""
    name = tensor.name
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(values).reshape(values.shape), name))


def elements(tensor: Any) -> int:
    """How many numbers a tensor holds."""
    return math.prod(tensor.dims)


def bytes_of(tensor: Any) -> int:
    """A tensor's size in bytes, wherever it lies."""
    if not uses_external_data(tensor):
        return tensor.ByteSize()  # type: ignore[no-any-return]
    return int(np.dtype(helper.tensor_dtype_to_np_dtype(tensor.data_type)).itemsize * elements(tensor))


def save_model(model: Any, folder: Path, path: Path, inline: int = _INLINE_BYTES) -> list[Path]:
    """Write the model to ``path``; weights that lie in ``folder`` are taken along. The files that were written.

    All of it is one file where it is at most ``inline`` bytes, else the weights are in ``path``.data.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    tensors = [tensor for graph in all_graphs(model.graph) for tensor in graph.initializer]
    for node in all_nodes(model.graph):
        for one in node.attribute:
            for tensor in ([one.t] if one.HasField("t") else []) + list(one.tensors):
                _bring_in(tensor, folder)
    beside = path.with_name(f"{path.name}.data")
    if sum(bytes_of(tensor) for tensor in tensors) <= inline:
        for tensor in tensors:
            _bring_in(tensor, folder)
        path.write_bytes(model.SerializeToString())
        return [path]
    with beside.open("wb") as handle:
        for tensor in tensors:
            if bytes_of(tensor) > _SMALL_BYTES:
                _put_outside(tensor, folder, handle, beside.name)
            else:
                _bring_in(tensor, folder)
    path.write_bytes(model.SerializeToString())
    return [path, beside]


def lift_constants(graph: Any) -> None:
    """Floating constants as initialisers, in every graph: Constant nodes, and Identity nodes of initialisers.

    A node that makes an output of its graph stays. Names must tell tensors.
    """
    same: dict[str, str] = {}
    for each in all_graphs(graph):
        outputs = {one.name for one in each.output}
        initial = {tensor.name for tensor in each.initializer if tensor.data_type in FLOATING}
        kept = []
        for node in each.node:
            if outputs.intersection(node.output):
                kept.append(node)
                continue
            tensor = constant(node)
            if tensor is not None and tensor.data_type in FLOATING:
                each.initializer.add().CopyFrom(tensor)
                each.initializer[-1].name = node.output[0]
                initial.add(node.output[0])
            elif node.op_type == "Identity" and same.get(node.input[0], node.input[0]) in initial:
                same[node.output[0]] = same.get(node.input[0], node.input[0])
            else:
                kept.append(node)
        if len(kept) < len(each.node):
            set_repeated(each.node, kept)
    if same:
        for node in all_nodes(graph):
            node.input[:] = [same.get(name, name) for name in node.input]


def set_repeated(field: Any, values: Iterable[Any]) -> None:
    """Give a repeated field other messages; those that are in it are copied first, since clearing it ends them."""
    copies = [type(one).FromString(one.SerializeToString()) for one in values]
    del field[:]
    field.extend(copies)


def constant(node: Any) -> Any:
    """What a Constant node holds as a tensor (the attribute itself where it is one), or None."""
    if node.op_type != "Constant" or node.domain not in ("", "ai.onnx"):
        return None
    for one in node.attribute:
        if one.name == "value":
            return one.t
        if one.name in ("value_float", "value_floats"):
            values = np.asarray(helper.get_attribute_value(one), np.float32)
            return numpy_helper.from_array(values, node.output[0])
    return None


def bare(model: Any) -> Any:
    """The model with its larger weights as inputs: what type inference and version conversion need, and no more."""
    found = onnx.ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph, source = found.graph, model.graph
    graph.name = source.name or "graph"
    graph.node.extend(source.node)
    graph.input.extend(source.input)
    graph.output.extend(source.output)
    graph.value_info.extend(source.value_info)
    for tensor in source.initializer:
        if bytes_of(tensor) <= _SMALL_BYTES and not uses_external_data(tensor):
            graph.initializer.add().CopyFrom(tensor)
        else:
            graph.input.add().CopyFrom(helper.make_tensor_value_info(tensor.name, tensor.data_type, list(tensor.dims)))
    forget_shapes(found)
    return found


def forget_shapes(model: Any) -> None:
    """Leave only the types of what is noted of inner tensors: noted shapes are wrong at times, and inference stops."""
    for graph in all_graphs(model.graph):
        for one in graph.value_info:
            if one.type.HasField("tensor_type"):
                one.type.tensor_type.ClearField("shape")


def _outside(tensor: Any, folder: Path) -> bytes:
    """The bytes of a tensor that lies outside; onnx looks that it lies in the folder and is long enough."""
    copy = TensorProto()
    copy.CopyFrom(tensor)
    load_external_data_for_tensor(copy, str(folder))
    return bytes(copy.raw_data)


def _bring_in(tensor: Any, folder: Path) -> None:
    if uses_external_data(tensor):
        tensor.raw_data = _outside(tensor, folder)
        _forget_place(tensor)


def _put_outside(tensor: Any, folder: Path, handle: Any, location: str) -> None:
    if uses_external_data(tensor):
        data = _outside(tensor, folder)
    elif tensor.HasField("raw_data"):
        data = tensor.raw_data
    else:
        data = numpy_helper.from_array(numpy_helper.to_array(tensor)).raw_data
        set_values(tensor, numpy_helper.to_array(tensor))
    handle.write(b"\0" * (-handle.tell() % _ALIGNMENT))
    offset = handle.tell()
    handle.write(data)
    tensor.ClearField("raw_data")
    _forget_place(tensor)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", str(offset)), ("length", str(len(data)))):
        tensor.external_data.add(key=key, value=value)


def _forget_place(tensor: Any) -> None:
    del tensor.external_data[:]
    tensor.ClearField("data_location")

"""The signature of an ONNX model, read from its protobuf. Nothing is run, no external data is loaded."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import AttributeProto, GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto, ValueInfoProto

from enginehouse.errors import ModelUnreadable, TooLarge
from enginehouse.signature import ModelSignature, TensorSpec
from scheduler.inspection.external import check_external, is_external
from scheduler.inspection.flops import flops
from scheduler.inspection.formats import refuse_by_name
from scheduler.inspection.text import clean
from scheduler.inspection.wire import truncation

MAX_PROTOBUF = 2 * 1024**3 - 1
_MAX_RANK = 64
_MAX_LISTED = 10_000
"""Inputs, outputs, operator-set domains or operator types that an answer may list."""

_TOLERATED = (
    "Field 'shape' of 'type' is required but missing",
    "Field 'type' of 'value_info' is required but missing",
    "Field 'name' of 'graph' is required to be non-empty",
    "Tensor initializers must have a non-empty name",
    "Nodes in a graph must be topologically sorted",
)
"""What the checker refuses and runtimes take: real exporters write such models, and the reference runs them."""

_BITS = {
    **dict.fromkeys(("UINT2", "INT2"), 2),
    **dict.fromkeys(("UINT4", "INT4", "FLOAT4E2M1"), 4),
    **dict.fromkeys(("FLOAT6E2M3", "FLOAT6E3M2"), 6),
    **dict.fromkeys(("UINT8", "INT8", "BOOL", "FLOAT8E4M3FN", "FLOAT8E4M3FNUZ", "FLOAT8E5M2", "FLOAT8E5M2FNUZ"), 8),
    **dict.fromkeys(("FLOAT8E8M0",), 8),
    **dict.fromkeys(("UINT16", "INT16", "FLOAT16", "BFLOAT16"), 16),
    **dict.fromkeys(("FLOAT", "INT32", "UINT32"), 32),
    **dict.fromkeys(("DOUBLE", "INT64", "UINT64", "COMPLEX64"), 64),
    **dict.fromkeys(("COMPLEX128",), 128),
}
_DTYPES: dict[int, str] = {number: name for name, number in TensorProto.DataType.items()}
_REAL = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}
_NUMPY = {"FLOAT": "float32", "DOUBLE": "float64"}


@dataclass
class _Walk:
    """All that hangs below a model, found without recursion."""

    nodes: Counter[str] = field(default_factory=Counter)
    tensors: list[TensorProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)
    sparse: list[SparseTensorProto] = field(default_factory=list)


def read(files: Sequence[tuple[str, Path]]) -> ModelSignature:
    """Inspect a model. ``files``: path in the upload and where it lies now; the first is the model itself.

    Raises ModelUnreadable or one of its kinds.
    """
    name, path = files[0]
    sizes = {uploaded: local.stat().st_size for uploaded, local in files}
    if sizes[name] > MAX_PROTOBUF:
        raise TooLarge(
            f"the model has {sizes[name]} bytes; a protobuf ends at {MAX_PROTOBUF}",
            advice="Save the weights as external data: onnx.save(model, path, save_as_external_data=True).",
        )
    model = _parse(name, path)
    walk = _walk(model)
    signature = ModelSignature(
        format="onnx",
        producer=clean(f"{_text(model.producer_name)} {_text(model.producer_version)}"),
        ir_version=model.ir_version,
        opsets=_opsets(model),
        inputs=_inputs(model.graph),
        outputs=[_spec(value, "output") for value in _few(model.graph.output, "outputs")],
        operators=dict(sorted(_few(walk.nodes.items(), "operator types"), key=lambda item: (-item[1], item[0]))),
        parameters=sum(_elements(tensor) for tensor in walk.weights),
    )
    external = _check_tensors(walk, name, sizes)
    signature.flops = flops(model)
    if external:
        # The checker would look for the files beside the model, where an upload's are not. They are checked already.
        for tensor in external:
            name, kind = tensor.name, tensor.data_type
            tensor.Clear()
            tensor.name, tensor.data_type = name, kind
            tensor.dims.append(0)
        checked: bytes | str = model.SerializeToString()
    else:
        checked = str(path)
    del model, walk, external  # the checker makes a copy of its own
    _check(checked)
    return signature


def _parse(name: str, path: Path) -> ModelProto:
    data = path.read_bytes()
    model = ModelProto()
    try:
        model.ParseFromString(data)
    except DecodeError as error:
        cut = truncation(data)
        if cut:
            raise ModelUnreadable(cut, advice="Copy or export the file again and compare its size.") from None
        refuse_by_name(name)
        if "MaxDepth" in str(error):
            raise ModelUnreadable("the model nests its graphs deeper than a protobuf may") from None
        raise ModelUnreadable("the file is not an ONNX model: its bytes are no ModelProto") from None
    if not model.HasField("graph"):
        refuse_by_name(name)
        cut = truncation(data)
        raise ModelUnreadable(cut or "the file is not an ONNX model: it has no graph")
    return model


def _walk(model: ModelProto) -> _Walk:
    walk = _Walk()
    graphs: list[GraphProto] = [model.graph]
    for training in model.training_info:
        graphs += [training.initialization, training.algorithm]
    nodes: list[Iterable[NodeProto]] = [function.node for function in model.functions]
    for function in model.functions:
        _attributes(function.attribute_proto, walk, graphs)
    while graphs or nodes:
        if graphs:
            graph = graphs.pop()
            walk.weights.extend(graph.initializer)
            walk.tensors.extend(graph.initializer)
            walk.sparse.extend(graph.sparse_initializer)
            walk.weights.extend(sparse.values for sparse in graph.sparse_initializer)
            nodes.append(graph.node)
        for node in nodes.pop():
            domain = _text(node.domain)
            operator = clean(_text(node.op_type))
            walk.nodes[operator if domain in {"", "ai.onnx"} else f"{clean(domain)}.{operator}"] += 1
            _attributes(node.attribute, walk, graphs)
            if operator == "Constant":  # some exporters write weights as these
                made = [one.t for one in node.attribute if one.name == "value" and one.HasField("t")]
                walk.weights.extend(one for one in made if one.data_type in _REAL and _elements(one) > 1)
    for sparse in walk.sparse:
        walk.tensors += [sparse.values, sparse.indices]
    return walk


def _attributes(attributes: Iterable[AttributeProto], walk: _Walk, graphs: list[GraphProto]) -> None:
    """Collect what attributes hold. Their declared type is not asked: it may lie."""
    for attribute in attributes:
        if attribute.HasField("t"):
            walk.tensors.append(attribute.t)
        if attribute.HasField("g"):
            graphs.append(attribute.g)
        if attribute.HasField("sparse_tensor"):
            walk.sparse.append(attribute.sparse_tensor)
        walk.tensors.extend(attribute.tensors)
        graphs.extend(attribute.graphs)
        walk.sparse.extend(attribute.sparse_tensors)


def _check_tensors(walk: _Walk, model: str, sizes: dict[str, int]) -> list[TensorProto]:
    """Check every tensor's dimensions against its bytes; return those whose bytes are in other files."""
    external = []
    for tensor in walk.tensors:
        needed = _bytes(tensor)
        if is_external(tensor):
            check_external(tensor, needed, model, sizes)
            external.append(tensor)
        elif tensor.HasField("raw_data") and len(tensor.raw_data) != needed:
            raise ModelUnreadable(
                f"tensor {clean(tensor.name)}: type and dimensions need {needed} bytes, it has {len(tensor.raw_data)}",
                tensor=clean(tensor.name),
            )
    return external


def _check(model: bytes | str) -> None:
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        if not any(fragment in str(error) for fragment in _TOLERATED):
            raise ModelUnreadable(f"the ONNX checker refuses the model: {clean(str(error), 600)}") from None


def _elements(tensor: TensorProto) -> int:
    """Number of elements; Python's integers do not overflow, and the rank is bounded so that they stay short."""
    if len(tensor.dims) > _MAX_RANK or any(dim < 0 for dim in tensor.dims):
        raise ModelUnreadable(f"tensor {clean(tensor.name)} has impossible dimensions", tensor=clean(tensor.name))
    return math.prod(tensor.dims)


def _bytes(tensor: TensorProto) -> int:
    elements = _elements(tensor)
    kind = _DTYPES.get(tensor.data_type, "")
    if kind == "STRING" and not is_external(tensor) and not tensor.HasField("raw_data"):
        return 0
    if kind not in _BITS:
        raise ModelUnreadable(
            f"tensor {clean(tensor.name)} has an element type ({tensor.data_type}) without a size",
            tensor=clean(tensor.name),
        )
    return -(-elements * _BITS[kind] // 8)


def _opsets(model: ModelProto) -> dict[str, int]:
    found = {}
    for opset in _few(model.opset_import, "operator sets"):
        domain = clean(_text(opset.domain))
        found["" if domain == "ai.onnx" else domain] = opset.version
    return found


def _inputs(graph: GraphProto) -> list[TensorSpec]:
    """Inputs that must be fed: before IR version 4 a graph lists its initialisers among its inputs."""
    held = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
    return [_spec(value, "input") for value in _few(graph.input, "inputs") if value.name not in held]


def _spec(value: ValueInfoProto, what: str) -> TensorSpec:
    name = _text(value.name)
    if not name or clean(name, 500) != name:  # what is shown must be what is fed
        raise ModelUnreadable(
            f"the {what} '{clean(name)}' has a name that is empty, too long or has control characters",
            advice="Rename the model's inputs and outputs.",
        )
    kind = value.type.WhichOneof("value") or "undefined"
    if kind != "tensor_type":
        return TensorSpec(name=name, dtype=kind.removesuffix("_type"), shape=[None])
    tensor = value.type.tensor_type
    if not tensor.HasField("shape"):
        return TensorSpec(name=name, dtype=_dtype(tensor.elem_type), shape=[None])
    if len(tensor.shape.dim) > _MAX_RANK:
        raise ModelUnreadable(f"the {what} '{name}' has {len(tensor.shape.dim)} dimensions")
    return TensorSpec(name=name, dtype=_dtype(tensor.elem_type), shape=[_dimension(dim) for dim in tensor.shape.dim])


def _dimension(dim: Any) -> int | str | None:
    if dim.HasField("dim_value"):
        value = int(dim.dim_value)
        return value if value >= 0 else None  # some exporters write -1 for unknown
    symbol = clean(_text(dim.dim_param), 100)
    return None if symbol in {"", "?"} else symbol  # Paddle writes '?' for each unknown one: no two are the same


def _dtype(number: int) -> str:
    name: str = _DTYPES.get(number, "UNDEFINED")
    return _NUMPY.get(name, name.lower())


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _few(items: Any, what: str) -> Iterator[Any]:
    if len(items) > _MAX_LISTED:
        raise ModelUnreadable(f"the model has {len(items)} {what}; the farm reads {_MAX_LISTED}")
    return iter(items)

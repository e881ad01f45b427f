"""TensorFlow's saved_model.pb: the fields that the farm reads, and which signature it serves. Other fields are skipped.

Numbers and names follow tensorflow/core/protobuf/{saved_model,meta_graph,saved_object_graph}.proto and
tensorflow/core/framework/{graph,node_def,function,op_def,attr_value,tensor,tensor_shape}.proto
(TensorFlow, Apache License 2.0).
"""

from __future__ import annotations

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory  # type: ignore[import-untyped]

FILE = "saved_model.pb"
SERVE = "serve"
DEFAULT = "serving_default"

# message: (number, name, type); a type is a scalar, a message, 'repeated TYPE' or 'map TYPE' (from string).
_MESSAGES: dict[str, tuple[tuple[int, str, str], ...]] = {
    "SavedModel": ((2, "meta_graphs", "repeated MetaGraph"),),
    "MetaGraph": (
        (1, "meta_info", "MetaInfo"),
        (2, "graph", "Graph"),
        (3, "saver", "Saver"),
        (5, "signatures", "map Signature"),
        (7, "objects", "Objects"),
    ),
    "MetaInfo": ((4, "tags", "repeated string"), (5, "tensorflow_version", "string")),
    "Saver": ((1, "filename_tensor_name", "string"),),
    "Signature": ((1, "inputs", "map TensorInfo"), (2, "outputs", "map TensorInfo")),
    "TensorInfo": ((1, "name", "string"), (2, "dtype", "int32"), (3, "shape", "Shape")),
    "Shape": ((2, "dim", "repeated Dim"), (3, "unknown_rank", "bool")),
    "Dim": ((1, "size", "int64"),),
    "Graph": ((1, "node", "repeated Node"), (2, "library", "Library")),
    "Library": ((1, "function", "repeated Function"),),
    "Function": ((1, "signature", "Op"), (3, "node", "repeated Node")),
    "Op": ((1, "name", "string"),),
    "Node": ((1, "name", "string"), (2, "op", "string"), (3, "input", "repeated string"), (5, "attr", "map Attr")),
    "Attr": (
        (1, "list", "Attrs"),
        (2, "s", "bytes"),
        (6, "type", "int32"),
        (7, "shape", "Shape"),
        (8, "tensor", "Tensor"),
        (10, "func", "Call"),
    ),
    "Attrs": ((9, "func", "repeated Call"),),
    "Tensor": ((1, "dtype", "int32"), (2, "shape", "Shape")),
    "Call": ((1, "name", "string"),),
    "Objects": ((1, "node", "repeated Object"),),
    "Object": ((1, "child", "repeated Child"), (6, "function", "Callable")),
    "Child": ((1, "node", "int32"), (2, "name", "string")),
    "Callable": ((1, "concrete", "repeated string"),),
}

_PACKAGE = "enginehouse.saved_model"
_FIELD = descriptor_pb2.FieldDescriptorProto
_SCALARS = {
    "string": _FIELD.TYPE_STRING,
    "bytes": _FIELD.TYPE_BYTES,
    "int32": _FIELD.TYPE_INT32,
    "int64": _FIELD.TYPE_INT64,
    "bool": _FIELD.TYPE_BOOL,
}


def _typed(field: Any, kind: str) -> None:
    if kind in _SCALARS:
        field.type = _SCALARS[kind]
    else:
        field.type, field.type_name = _FIELD.TYPE_MESSAGE, f".{_PACKAGE}.{kind}"


def _described() -> Any:
    file = descriptor_pb2.FileDescriptorProto(name="enginehouse_saved_model.proto", package=_PACKAGE, syntax="proto3")
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, label, kind in fields:
            repeated = kind.startswith(("repeated ", "map "))
            field = message.field.add(
                name=label, number=number, label=_FIELD.LABEL_REPEATED if repeated else _FIELD.LABEL_OPTIONAL
            )
            if not kind.startswith("map "):
                _typed(field, kind.removeprefix("repeated "))
                continue
            entry = message.nested_type.add(name=f"{label.capitalize()}Entry")
            entry.options.map_entry = True
            _typed(entry.field.add(name="key", number=1, label=_FIELD.LABEL_OPTIONAL), "string")
            _typed(entry.field.add(name="value", number=2, label=_FIELD.LABEL_OPTIONAL), kind.removeprefix("map "))
            _typed(field, f"{name}.{entry.name}")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.SavedModel"))


SavedModel = _described()
"""The message class of the file."""

DTYPES = {
    1: "float32", 2: "float64", 3: "int32", 4: "uint8", 5: "int16", 6: "int8", 7: "string", 8: "complex64",
    9: "int64", 10: "bool", 11: "qint8", 12: "quint8", 13: "qint32", 14: "bfloat16", 15: "qint16", 16: "quint16",
    17: "uint16", 18: "complex128", 19: "float16", 20: "resource", 21: "variant", 22: "uint32", 23: "uint64",
    24: "float8_e5m2", 25: "float8_e4m3fn", 29: "int4", 30: "uint4",
}  # fmt: skip
"""TensorFlow's DataType as NumPy names."""


def served(model: Any) -> tuple[Any, str]:
    """The meta graph that is tagged for serving (or the only one), and the key of the signature that is taken from it.

    The signature is 'serving_default', or the only one. Raises LookupError with a sentence.
    """
    graphs = list(model.meta_graphs)
    tagged = [graph for graph in graphs if SERVE in graph.meta_info.tags]
    if len(tagged) != 1 and len(graphs) != 1:
        raise LookupError(f"it has {len(graphs)} graphs, {len(tagged)} of them tagged '{SERVE}'; there must be one")
    graph = (tagged or graphs)[0]
    keys = sorted(key for key in graph.signatures if not key.startswith("__"))
    if DEFAULT in keys:
        return graph, DEFAULT
    if len(keys) != 1:
        has = f"{len(keys)} signatures ({', '.join(keys[:10])}) and none is '{DEFAULT}'" if keys else "no signature"
        raise LookupError(f"it has {has}")
    return graph, keys[0]

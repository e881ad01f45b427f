"""A .tflite file as objects, and back."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.tools import flatbuffer_utils

from enginehouse.errors import ModelUnreadable

Model = Any
"""schema.ModelT"""

_IDENTIFIER = b"TFL3"
_NAMES = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
_OPERATORS = {value: name for name, value in vars(schema.BuiltinOperator).items() if isinstance(value, int)}


def unpacked(data: bytes) -> Model:
    """The model's objects. Raises ModelUnreadable."""
    if data[4:8] != _IDENTIFIER:
        raise ModelUnreadable("the file is not a TensorFlow Lite flatbuffer")
    try:
        return flatbuffer_utils.read_model_from_bytearray(data)
    except Exception as error:
        raise ModelUnreadable(f"the flatbuffer is damaged: {type(error).__name__}: {error}") from error


def packed(model: Model) -> bytes:
    """The file's bytes."""
    return bytes(flatbuffer_utils.convert_object_to_bytearray(model))


def kind(tensor: Any) -> str:
    """A tensor's element type: FLOAT32, INT8, …"""
    return _NAMES[tensor.type]


def operator(model: Model, op: Any) -> str:
    """An operator's type: CONV_2D, …; a custom one's own name."""
    code = model.operatorCodes[op.opcodeIndex]
    if code.customCode:
        return text(code.customCode)
    return _OPERATORS.get(flatbuffer_utils.get_builtin_code_from_operator_code(code), "?")


def text(name: Any) -> str:
    """A name as str; the flatbuffer holds bytes."""
    return name.decode(errors="replace") if isinstance(name, bytes) else str(name or "")


def content(model: Model, tensor: Any) -> np.ndarray[Any, Any] | None:
    """A constant's bytes; None for a tensor that is computed."""
    found = model.buffers[tensor.buffer].data
    if found is None or not len(found):
        return None
    return found.view(np.uint8) if isinstance(found, np.ndarray) else np.frombuffer(bytes(found), np.uint8)


def constants(model: Model) -> Iterator[tuple[Any, Any]]:
    """Every constant with its subgraph."""
    for graph in model.subgraphs:
        for tensor in graph.tensors:
            if content(model, tensor) is not None:
                yield graph, tensor


def code(model: Model, name: str, version: int) -> int:
    """The index of a built-in operator among the model's operators, entered if it is not there."""
    number = getattr(schema.BuiltinOperator, name)
    for index, one in enumerate(model.operatorCodes):
        if flatbuffer_utils.get_builtin_code_from_operator_code(one) == number and not one.customCode:
            one.version = max(one.version, version)
            return index
    made = schema.OperatorCodeT()
    made.builtinCode = number
    made.deprecatedBuiltinCode = min(number, 127)
    made.version = version
    model.operatorCodes.append(made)
    return len(model.operatorCodes) - 1

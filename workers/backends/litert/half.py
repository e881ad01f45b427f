"""fp16: every float32 constant stored in half precision, with a DEQUANTIZE before its readers.

The same form as TensorFlow's converter makes; XNNPACK unpacks the weights once, while it loads.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from workers.backends.litert.flatbuffer import Model, code, constants, content, kind, text

_FEWEST = 2
"""A number alone stays as it is."""
_VERSION = 3
"""Of DEQUANTIZE: the first that takes float16 is 3."""


def halve(model: Model) -> list[str]:
    """Store the constants in half; names of those that do not fit into its range and stay in float32."""
    kept: list[str] = []
    wanted = []
    for graph, tensor in constants(model):
        found = content(model, tensor)
        if kind(tensor) != "FLOAT32" or found is None or found.size < 4 * _FEWEST:
            continue
        numbers = found.view(np.float32)
        finite = numbers[np.isfinite(numbers)]
        if finite.size and np.abs(finite).max() > np.finfo(np.float16).max:
            kept.append(text(tensor.name))
        else:
            wanted.append((graph, tensor))
    if wanted:
        index = code(model, "DEQUANTIZE", _VERSION)
        done: dict[int, int] = {}
        for graph, tensor in wanted:
            _store(model, graph, tensor, index, done)
        _prune(model, done)
    return kept


def _store(model: Model, graph: Any, tensor: Any, dequantize: int, done: dict[int, int]) -> None:
    """``tensor`` becomes what DEQUANTIZE gives, so that its readers stay as they are."""
    if tensor.buffer not in done:
        buffer = schema.BufferT()
        numbers = content(model, tensor).view(np.float32).astype(np.float16)  # type: ignore[union-attr]
        buffer.data = numbers.view(np.uint8)
        model.buffers.append(buffer)
        done[tensor.buffer] = len(model.buffers) - 1
    half = schema.TensorT()
    half.name = tensor.name + b"_half"
    half.shape, half.type, half.buffer = tensor.shape, schema.TensorType.FLOAT16, done[tensor.buffer]
    half.quantization = schema.QuantizationParametersT()
    graph.tensors.append(half)
    tensor.buffer = 0
    op = schema.OperatorT()
    op.opcodeIndex = dequantize
    op.inputs = [len(graph.tensors) - 1]
    op.outputs = [next(i for i, one in enumerate(graph.tensors) if one is tensor)]
    op.builtinOptionsType = schema.BuiltinOptions.DequantizeOptions
    op.builtinOptions = schema.DequantizeOptionsT()
    graph.operators.insert(0, op)


def _prune(model: Model, done: dict[int, int]) -> None:
    """Empty the buffers that nobody reads any more."""
    read = {tensor.buffer for graph in model.subgraphs for tensor in graph.tensors}
    for old in set(done) - read:
        model.buffers[old].data = None


def is_half(model: Model) -> bool:
    """Whether constants are stored in half."""
    return any(kind(tensor) == "FLOAT16" for _, tensor in constants(model))

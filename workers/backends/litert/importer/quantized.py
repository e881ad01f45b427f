"""Models that are quantised already: their rounding is kept, computed in float."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value

_RANGES = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767), "uint16": (0, 65535)}


def _spread(numbers: Any, rank: int, axis: int) -> Any:
    """A scale per channel, ready to broadcast."""
    if len(numbers.shape) != 1 or numbers.shape[0] == 1 or rank == 1:
        return tf.reshape(numbers, []) if len(numbers.shape) == 1 and numbers.shape[0] == 1 else numbers
    axis = axis + rank if axis < 0 else axis
    return tf.reshape(numbers, [-1 if i == axis else 1 for i in range(rank)])


@operator("QuantizeLinear")
def _quantize(node: Node) -> Value:
    kind = node.value(2).dtype.name if node.has(2) else "uint8"
    if kind not in _RANGES or node.attribute("block_size", 0):
        raise Unsupported(f"{kind}, or blocks")
    x = tf.convert_to_tensor(node.first())
    axis = node.attribute("axis", 1)
    scale = tf.cast(_spread(node.first(1), x.shape.rank, axis), tf.float32)
    zero = tf.cast(_spread(node.first(2), x.shape.rank, axis), tf.float32) if node.has(2) else 0.0
    low, high = _RANGES[kind]
    rounded = tf.round(tf.cast(x, tf.float32) / scale) + zero
    return Value(tf.cast(tf.clip_by_value(rounded, low, high), kind))


@operator("DequantizeLinear")
def _dequantize(node: Node) -> Value:
    if node.attribute("block_size", 0):
        raise Unsupported("blocks")
    x = tf.convert_to_tensor(node.first())
    axis = node.attribute("axis", 1)
    scale = tf.cast(_spread(node.first(1), x.shape.rank, axis), tf.float32)
    found = tf.cast(x, tf.float32)
    if node.has(2):
        found -= tf.cast(_spread(node.first(2), x.shape.rank, axis), tf.float32)
    return Value(found * scale)


@operator("DynamicQuantizeLinear")
def _dynamic(node: Node) -> list[Value]:
    x = tf.convert_to_tensor(node.first())
    low, high = tf.minimum(tf.reduce_min(x), 0.0), tf.maximum(tf.reduce_max(x), 0.0)
    scale = (high - low) / 255.0
    zero = tf.clip_by_value(tf.round(-low / scale), 0.0, 255.0)
    found = tf.clip_by_value(tf.round(x / scale) + zero, 0.0, 255.0)
    return [Value(tf.cast(found, tf.uint8)), Value(scale), Value(tf.cast(zero, tf.uint8))]


@operator("MatMulInteger")
def _matmul_integer(node: Node) -> Value:
    a, b = (tf.cast(node.first(index), tf.float32) for index in range(2))
    if node.has(2):
        zero = tf.cast(node.first(2), tf.float32)
        a -= tf.reshape(zero, [-1, 1]) if zero.shape.rank == 1 and zero.shape[0] != 1 else zero
    if node.has(3):
        b -= tf.cast(node.first(3), tf.float32)
    return Value(tf.cast(tf.matmul(a, b), np.int32))

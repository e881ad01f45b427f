"""Models that are quantised already: their rounding is kept, computed in float."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.convolution import convolved
from workers.backends.litert.importer.matrix import product
from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value
from workers.backends.litert.importer.window import window

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


def _real(node: Node, index: int, axis: int = 1) -> Any:
    """An input with its scale and zero point, which follow it, in float."""
    x = tf.convert_to_tensor(node.first(index))
    scale = tf.cast(_spread(node.first(index + 1), x.shape.rank, axis), tf.float32)
    zero = tf.cast(_spread(node.first(index + 2), x.shape.rank, axis), tf.float32)
    return (tf.cast(x, tf.float32) - zero) * scale


def _whole(node: Node, x: Any, index: int) -> Value:
    """A result in integers by the scale and zero point at these inputs."""
    kind = node.value(index + 1).dtype.name
    low, high = _RANGES[kind]
    scale, zero = (tf.cast(_spread(node.first(index + i), x.shape.rank, -1), tf.float32) for i in range(2))
    return Value(tf.cast(tf.clip_by_value(tf.round(x / scale) + zero, low, high), kind))


@operator("QLinearMatMul")
def _quantized_matmul(node: Node) -> Value:
    return _whole(node, product(_real(node, 0, -2), _real(node, 3, -1)), 6)


@operator("QLinearConv")
def _quantized_conv(node: Node) -> Value:
    value, weights = Value(_real(node, 0)), _real(node, 3, 0)
    kernel = [size or 0 for size in node.value(3).shape[2:]]
    shape = window(node, kernel, value.shape[2:])
    found = Value(convolved(value.last(), weights, shape, node.attribute("group", 1)), last=True).first()
    if node.has(8):
        scales = tf.reshape(tf.cast(node.first(1), tf.float32) * tf.cast(node.first(4), tf.float32), [-1])
        bias = tf.cast(node.first(8), tf.float32) * scales
        found += tf.reshape(bias, [-1, *[1] * len(kernel)])
    return _whole(node, found, 6)


@operator("com.microsoft.QLinearAdd", "com.microsoft.QLinearMul")
def _quantized_pair(node: Node) -> Value:
    a, b = _real(node, 0), _real(node, 3)
    return _whole(node, a + b if node.type == "QLinearAdd" else a * b, 6)


@operator("com.microsoft.QLinearGlobalAveragePool")
def _quantized_pool(node: Node) -> Value:
    x = _real(node, 0)
    axes = list(range(1, x.shape.rank - 1)) if node.attribute("channels_last", 0) else list(range(2, x.shape.rank))
    return _whole(node, tf.reduce_mean(x, axes, True), 3)


@operator("ConvInteger")
def _conv_integer(node: Node) -> Value:
    x, weights = (tf.cast(node.first(index), tf.float32) for index in range(2))
    x -= tf.cast(node.first(2), tf.float32) if node.has(2) else 0.0
    weights -= tf.cast(_spread(node.first(3), weights.shape.rank, 0), tf.float32) if node.has(3) else 0.0
    value = Value(x)
    shape = window(node, [size or 0 for size in node.value(1).shape[2:]], value.shape[2:])
    found = convolved(value.last(), weights, shape, node.attribute("group", 1))
    return Value(tf.cast(found, np.int32), last=True)


@operator("MatMulInteger")
def _matmul_integer(node: Node) -> Value:
    a, b = (tf.cast(node.first(index), tf.float32) for index in range(2))
    if node.has(2):
        zero = tf.cast(node.first(2), tf.float32)
        a -= tf.reshape(zero, [-1, 1]) if zero.shape.rank == 1 and zero.shape[0] != 1 else zero
    if node.has(3):
        b -= tf.cast(node.first(3), tf.float32)
    return Value(tf.cast(tf.matmul(a, b), np.int32))

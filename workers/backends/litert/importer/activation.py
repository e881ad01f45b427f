"""Activation functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.arithmetic import each
from workers.backends.litert.importer.node import Node, operator
from workers.backends.litert.importer.value import Value, aligned, place

_FLAT_BEFORE = 13
"""Softmax of older operator sets is over all dimensions from its axis on."""

_MOST_FUSED = 4
"""Dimensions that the PRELU kernel takes."""


def softplus(x: Any) -> Any:
    """log(1 + exp(x)) without overflow."""
    return tf.nn.relu(x) + tf.math.log(1.0 + tf.exp(-tf.abs(x)))


def hard_sigmoid(x: Any, alpha: float = 0.2, beta: float = 0.5) -> Any:
    """max(0, min(1, alpha · x + beta)), by the one bounded activation that every kernel has."""
    return tf.nn.relu6(x * np.float32(6 * alpha) + np.float32(6 * beta)) * np.float32(1 / 6)


def gelu(x: Any, approximate: bool) -> Any:
    """In the one form that TensorFlow Lite fuses."""
    return tf.nn.gelu(x, approximate=approximate)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """max(0, x) + min(0, alpha · (exp(x / alpha) - 1))."""
    return tf.nn.relu(x) + tf.minimum(0.0, alpha * (tf.exp(x / alpha) - 1.0))


def _elu(x: Any, alpha: float) -> Any:
    return tf.nn.elu(x) if alpha == 1.0 else tf.where(x > 0, x, alpha * (tf.exp(tf.minimum(x, 0.0)) - 1.0))


def _selu(x: Any, alpha: float, gamma: float) -> Any:
    return gamma * (tf.nn.relu(x) + alpha * (tf.exp(tf.minimum(x, 0.0)) - 1.0))


def _shrink(x: Any, bias: float, bound: float) -> Any:
    return tf.where(x < -bound, x + bias, tf.where(x > bound, x - bias, tf.zeros_like(x)))


_SIMPLE: dict[str, Callable[[Any, Node], Any]] = {
    "Celu": lambda x, node: celu(x, node.attribute("alpha", 1.0)),
    "Elu": lambda x, node: _elu(x, node.attribute("alpha", 1.0)),
    "Gelu": lambda x, node: gelu(x, node.attribute("approximate", "none") == "tanh"),
    "com.microsoft.Gelu": lambda x, node: gelu(x, approximate=False),
    "com.microsoft.QuickGelu": lambda x, node: x * tf.sigmoid(node.attribute("alpha", 1.702) * x),
    "HardSigmoid": lambda x, node: hard_sigmoid(x, node.attribute("alpha", 0.2), node.attribute("beta", 0.5)),
    "HardSwish": lambda x, node: x * tf.nn.relu6(x + 3.0) * np.float32(1 / 6),
    "LeakyRelu": lambda x, node: tf.nn.leaky_relu(x, node.attribute("alpha", 0.01)),
    "Mish": lambda x, node: x * tf.tanh(softplus(x)),
    "Relu": lambda x, node: tf.nn.relu(x) if x.dtype.is_floating else tf.maximum(x, tf.zeros_like(x)),
    "Selu": lambda x, node: _selu(x, node.attribute("alpha", 1.67326319), node.attribute("gamma", 1.05070102)),
    "Shrink": lambda x, node: _shrink(x, node.attribute("bias", 0.0), node.attribute("lambd", 0.5)),
    "Softplus": lambda x, node: softplus(x),
    "Softsign": lambda x, node: x / (1.0 + tf.abs(x)),
    "Swish": lambda x, node: x * tf.sigmoid(node.attribute("alpha", 1.0) * x),
    "ThresholdedRelu": lambda x, node: tf.where(x > node.attribute("alpha", 1.0), x, tf.zeros_like(x)),
}


@operator(*_SIMPLE)
def _simple(node: Node) -> Value:
    return each(node, lambda x: _SIMPLE[node.type](tf.convert_to_tensor(x), node))


@operator("PRelu")
def _prelu(node: Node) -> Value:
    value, slope = node.value(), node.value(1)
    if slope.rank == 1 and value.rank > 1 and slope.shape[0] != 1 and node.version < 7:
        slope = Value(tf.reshape(slope.first(), [-1, *[1] * (value.rank - 2)]))
    (x, alpha), last = aligned([value, slope])
    if value.rank > _MOST_FUSED:
        return Value(tf.where(x < 0, alpha * x, x), last)
    return Value(tf.nn.relu(x) + tf.negative(alpha) * tf.nn.relu(-x), last)  # the form that becomes one PRELU


@operator("Softmax", "LogSoftmax", "Hardmax")
def _softmax(node: Node) -> Value:
    value = node.value()
    old = node.version < _FLAT_BEFORE
    axis = node.attribute("axis", 1 if old else -1)
    axis = axis + value.rank if axis < 0 else axis
    if old and axis != value.rank - 1:
        x = value.first()
        shape = tf.shape(x)
        flat = tf.reshape(x, [tf.reduce_prod(shape[:axis]), tf.reduce_prod(shape[axis:])])
        made = tf.reshape(_along(node, flat, 1), shape)
        return Value(tf.ensure_shape(made, x.shape))
    if value.is_last:
        return Value(_along(node, value.last(), place(axis, value.rank, True)), last=True)
    return Value(_along(node, value.first(), axis))


def _along(node: Node, x: Any, axis: int) -> Any:
    x = tf.convert_to_tensor(x)
    rank = x.shape.rank
    if axis != rank - 1:  # the kernels take the last dimension only
        order = [*(one for one in range(rank) if one != axis), axis]
        back = [*range(axis), rank - 1, *range(axis, rank - 1)]
        return tf.transpose(_along(node, tf.transpose(x, order), rank - 1), back)
    if node.type == "Softmax":
        return tf.nn.softmax(x)
    if node.type == "LogSoftmax":
        return tf.nn.log_softmax(x)
    return tf.one_hot(tf.argmax(x, -1), tf.shape(x)[-1], dtype=x.dtype)

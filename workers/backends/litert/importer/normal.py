"""Normalisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value


@operator("BatchNormalization")
def _batch(node: Node) -> Value:
    if node.attribute("training_mode", 0) or any(node.outputs[1:]):
        raise Unsupported("it trains")
    value = node.value()
    scale, bias, mean, variance = (node.first(index) for index in range(1, 5))
    root = np.sqrt(variance + np.float32(node.attribute("epsilon", 1e-5))) if isinstance(variance, np.ndarray) else (
        tf.sqrt(variance + node.attribute("epsilon", 1e-5))
    )  # fmt: skip
    factor = scale / root
    shift = bias - mean * factor
    if value.rank < 3:
        return Value(value.first() * factor + shift)
    return Value(value.last() * factor + shift, last=True)


def _standard(x: Any, axes: list[int], epsilon: float) -> Any:
    mean = tf.reduce_mean(x, axes, True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, True)
    return (x - mean) * tf.math.rsqrt(variance + epsilon)


@operator("InstanceNormalization")
def _instance(node: Node) -> Value:
    value = node.value()
    x = value.last()
    found = _standard(x, list(range(1, value.rank - 1)), node.attribute("epsilon", 1e-5))
    return Value(found * node.first(1) + node.first(2), last=True)


@operator("LayerNormalization")
def _layer(node: Node) -> list[Value]:
    value = node.value()
    axis = node.attribute("axis", -1)
    axes = list(range(axis + value.rank if axis < 0 else axis, value.rank))
    x = tf.convert_to_tensor(value.first())
    mean = tf.reduce_mean(x, axes, True)
    variance = tf.reduce_mean(tf.math.squared_difference(x, mean), axes, True)
    root = tf.math.rsqrt(variance + node.attribute("epsilon", 1e-5))
    found = (x - mean) * root * node.first(1)
    return [Value(found + node.first(2) if node.has(2) else found), Value(mean), Value(root)]


@operator("RMSNormalization", "SimplifiedLayerNormalization")
def _root_mean_square(node: Node) -> Value:
    value = node.value()
    axis = node.attribute("axis", -1)
    axes = list(range(axis + value.rank if axis < 0 else axis, value.rank))
    x = tf.convert_to_tensor(value.first())
    mean = tf.reduce_mean(tf.square(x), axes, True)
    return Value(x * tf.math.rsqrt(mean + node.attribute("epsilon", 1e-5)) * node.first(1))


@operator("GroupNormalization")
def _group(node: Node) -> Value:
    value = node.value()
    groups = node.attribute("num_groups")
    x = tf.convert_to_tensor(value.first())
    batch, channels, *rest = value.shape
    if channels is None or None in rest or (batch is None and None in rest):
        raise Unsupported("sizes that are not known")
    whole = [-1 if batch is None else batch, channels, *rest]
    parts = tf.reshape(x, [whole[0], groups, -1])
    found = tf.reshape(_standard(parts, [2], node.attribute("epsilon", 1e-5)), whole)
    scale, bias = node.first(1), node.first(2)
    if scale.shape[0] == groups != channels:  # before operator set 21
        scale, bias = (np.repeat(one, channels // groups) for one in (scale, bias))
    form = [1, channels, *[1] * len(rest)]
    return Value(found * tf.reshape(scale, form) + tf.reshape(bias, form))


@operator("MeanVarianceNormalization")
def _mean_variance(node: Node) -> Value:
    return Value(_standard(node.first(), node.attribute("axes", [0, 2, 3]), 1e-9))


@operator("LpNormalization")
def _norm(node: Node) -> Value:
    x = tf.convert_to_tensor(node.first())
    axis = node.attribute("axis", -1)
    if node.attribute("p", 2) == 1:
        norm = tf.reduce_sum(tf.abs(x), axis, True)
    else:
        norm = tf.sqrt(tf.reduce_sum(tf.square(x), axis, True))
    return Value(tf.math.divide_no_nan(x, norm))


@operator("LRN")
def _local_response(node: Node) -> Value:
    size = node.attribute("size")
    if size % 2 == 0:
        raise Unsupported("an even window")
    value = node.value()
    if value.rank != 4:
        raise Unsupported("other than four dimensions")
    alpha, beta, bias = node.attribute("alpha", 1e-4), node.attribute("beta", 0.75), node.attribute("bias", 1.0)
    return Value(tf.nn.lrn(value.last(), size // 2, bias, alpha / size, beta), last=True)

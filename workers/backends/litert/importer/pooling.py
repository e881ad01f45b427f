"""Pools: the largest, the mean or a norm of each window, or of everything."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.reduction import reduced
from workers.backends.litert.importer.shaping import padded
from workers.backends.litert.importer.value import Value
from workers.backends.litert.importer.window import Window, window

_MOST_SHIFTS = 256


@operator("MaxPool")
def _max_pool(node: Node) -> Value:
    if len(node.outputs) > 1 and node.outputs[1]:
        raise Unsupported("the positions of the largest elements")
    value = node.value()
    shape = window(node, node.attribute("kernel_shape"), value.shape[2:])
    kind = value.dtype
    lowest = float(np.finfo(kind).min) if kind.kind == "f" else int(np.iinfo(kind).min)
    return Value(_largest(value.last(), shape, lowest), last=True)


def _largest(x: Any, shape: Window, lowest: float) -> Any:
    if any(step > 1 for step in shape.dilations) or not x.dtype.is_floating:
        full = Window(shape.kernel, shape.strides, shape.dilations, shape.pads, shape.beyond, same=False)
        return _shifted(full.grown(x, lowest), shape)
    return _over(x, shape, tf.nn.max_pool2d, lowest)


def _over(x: Any, shape: Window, pool: Callable[..., Any], filling: float) -> Any:
    """A pool of two dimensions as one of one, two or three. Extremes and means can be taken one after the other."""
    rank = len(shape.kernel)
    x = shape.grown(x, filling)
    if rank == 1:
        wide = pool(tf.expand_dims(x, 1), [1, *shape.kernel], [1, *shape.strides], shape.padding)
        return tf.squeeze(wide, [1])
    if rank == 2:
        return pool(x, shape.kernel, shape.strides, shape.padding)
    if rank > 3:
        raise Unsupported(f"{rank} spatial dimensions")
    if None in x.shape[1:]:
        raise Unsupported("three dimensions of sizes that are not known")
    batch, depth, height, width, channels = x.shape
    planes = pool(tf.reshape(x, [-1, height, width, channels]), shape.kernel[1:], shape.strides[1:], shape.padding)
    height, width = planes.shape[1:3]
    columns = tf.reshape(planes, [-1, depth, height * width, channels])
    found = pool(columns, [shape.kernel[0], 1], [shape.strides[0], 1], shape.padding)
    return tf.reshape(found, [-1 if batch is None else batch, found.shape[1], height, width, channels])


def _shifted(x: Any, shape: Window) -> Any:
    """The largest of the window's elements, one dimension after the other, each element a strided slice."""
    if max(shape.kernel) > _MOST_SHIFTS or None in x.shape[1:-1]:
        raise Unsupported("a dilated or integer pool this large, or over sizes that are not known")
    for axis, (size, step, stride) in enumerate(zip(shape.kernel, shape.dilations, shape.strides, strict=True), 1):
        last = x.shape[axis] - (size - 1) * step
        parts = [
            x[(*[slice(None)] * axis, slice(offset * step, last + offset * step, stride))] for offset in range(size)
        ]
        x = parts[0]
        for one in parts[1:]:
            x = tf.maximum(x, one)
    return x


@operator("AveragePool")
def _average_pool(node: Node) -> Value:
    value = node.value()
    shape = window(node, node.attribute("kernel_shape"), value.shape[2:])
    if any(step > 1 for step in shape.dilations):
        raise Unsupported("dilation")
    x = value.last()
    rank = len(shape.kernel)
    padding = any(any(pair) for pair in shape.pads)
    counted = bool(node.attribute("count_include_pad", 0)) and padding
    if not (padding or any(shape.beyond)) or (shape.same and not counted and rank < 3):
        return Value(_over(x, shape, tf.nn.avg_pool2d, 0.0), last=True)
    # The mean over zeros too, put right by the share of the window that counts.
    full = Window(shape.kernel, shape.strides, shape.dilations, shape.pads, shape.beyond, same=False)
    means = _over(x, full, tf.nn.avg_pool2d, 0.0)
    if counted and not any(shape.beyond):
        return Value(means, last=True)
    return Value(means / _shares(x, full, counted), last=True)


def _shares(x: Any, shape: Window, counted: bool) -> Any:
    """For each window, the share of its elements that belong to the mean: [1, …, 1]."""
    ones: Any = tf.ones([1, *x.shape[1:-1], 1]) if None not in x.shape[1:-1] else tf.ones_like(x[:1, ..., :1])
    if counted:
        ones = padded(ones, [[0, 0], *shape.pads, [0, 0]], filling=1.0)
    sides = [0, 0] if counted else None
    pads = [sides or pair for pair in shape.pads]
    rest = Window(shape.kernel, shape.strides, shape.dilations, pads, shape.beyond, same=False)
    shares = _over(ones, rest, tf.nn.avg_pool2d, 0.0)
    known = tf.get_static_value(shares)
    return shares if known is None else known


@operator("LpPool")
def _norm_pool(node: Node) -> Value:
    value = node.value()
    shape = window(node, node.attribute("kernel_shape"), value.shape[2:])
    power = float(node.attribute("p", 2))
    x = tf.pow(tf.abs(value.last()), power)
    full = Window(shape.kernel, shape.strides, shape.dilations, shape.pads, shape.beyond, same=False)
    if any(step > 1 for step in shape.dilations):
        raise Unsupported("dilation")
    means = _over(x, full, tf.nn.avg_pool2d, 0.0)
    return Value(tf.pow(means * float(np.prod(shape.kernel)), 1.0 / power), last=True)


@operator("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool")
def _global(node: Node) -> Value:
    value = node.value()
    axes = list(range(2, value.rank))
    power = float(node.attribute("p", 2))
    kinds: dict[str, Callable[..., Any]] = {
        "GlobalAveragePool": tf.reduce_mean,
        "GlobalMaxPool": tf.reduce_max,
        "GlobalLpPool": lambda x, axes, keep: tf.pow(tf.reduce_sum(tf.pow(tf.abs(x), power), axes, keep), 1.0 / power),
    }
    return reduced(value, axes, True, kinds[node.type])

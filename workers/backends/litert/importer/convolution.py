"""Convolutions, forward and transposed, over one to three dimensions, in groups and with dilation."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.shaping import padded
from workers.backends.litert.importer.value import Value
from workers.backends.litert.importer.weights import weight
from workers.backends.litert.importer.window import Window, window


@operator("Conv", "com.microsoft.FusedConv")
def _conv(node: Node) -> Value:
    value, weights = node.value(), node.value(1)
    rank = value.rank - 2
    if not 1 <= rank <= 3:
        raise Unsupported(f"{rank} spatial dimensions")
    kernel = [size or 0 for size in weights.shape[2:]]
    groups = node.attribute("group", 1)
    shape = window(node, kernel, value.shape[2:])
    found = convolved(value.last(), weights.first(), shape, groups)
    if node.has(2):
        found = tf.nn.bias_add(found, node.first(2))
    return Value(_activated(node, found), last=True)


def _activated(node: Node, x: Any) -> Any:
    kinds = {"Relu": tf.nn.relu, "Tanh": tf.tanh, "Sigmoid": tf.sigmoid}
    name = node.attribute("activation")
    if name is None:
        return x
    if name not in kinds or node.has(3):
        raise Unsupported(f"activation '{name}'")
    return kinds[name](x)


def convolved(x: Any, weights: Any, shape: Window, groups: int) -> Any:
    """``x`` with channels last; ``weights`` as ONNX has them: [out, in / groups, …]."""
    rank = len(shape.kernel)
    if rank == 1:
        flat = Window([1, *shape.kernel], [1, *shape.strides], [1, *shape.dilations], [[0, 0], *shape.pads],
                      [0, *shape.beyond], shape.same)  # fmt: skip
        x, weights = tf.expand_dims(x, 1), _expanded(weights)
        return tf.squeeze(convolved(x, weights, flat, groups), [1])
    order = [*range(2, rank + 2), 1, 0]
    filters = weights.transpose(order) if isinstance(weights, np.ndarray) else tf.transpose(weights, order)
    x = shape.grown(x)
    if rank == 3:
        return _volumes(x, weight(filters), shape, groups)
    if groups > 1 and filters.shape[2] == 1 and x.shape[-1] == groups:
        form = [*filters.shape[:2], groups, filters.shape[3] // groups]
        filters = filters.reshape(form) if isinstance(filters, np.ndarray) else tf.reshape(filters, form)
        return _depthwise(x, weight(filters), shape)
    if groups > 1 and not isinstance(weights, np.ndarray):
        return _in_groups(x, filters, shape, groups)
    return _flat(x, weight(filters), shape)


def _expanded(weights: Any) -> Any:
    return weights[:, :, None] if isinstance(weights, np.ndarray) else tf.expand_dims(weights, 2)


def _flat(x: Any, filters: Any, shape: Window) -> Any:
    strides, dilations = [1, *shape.strides, 1], [1, *shape.dilations, 1]
    return tf.raw_ops.Conv2D(input=x, filter=filters, strides=strides, dilations=dilations, padding=shape.padding)


def _depthwise(x: Any, filters: Any, shape: Window) -> Any:
    strides, dilations = [1, *shape.strides, 1], [1, *shape.dilations, 1]
    return tf.raw_ops.DepthwiseConv2dNative(
        input=x, filter=filters, strides=strides, dilations=dilations, padding=shape.padding
    )


def _in_groups(x: Any, filters: Any, shape: Window, groups: int) -> Any:
    parts = zip(tf.split(x, groups, -1), tf.split(filters, groups, -1), strict=True)
    return tf.concat([_flat(part, some, shape) for part, some in parts], -1)


def _volumes(x: Any, filters: Any, shape: Window, groups: int) -> Any:
    strides, dilations = [1, *shape.strides, 1], [1, *shape.dilations, 1]

    def one(part: Any, some: Any) -> Any:
        return tf.raw_ops.Conv3D(input=part, filter=some, strides=strides, dilations=dilations, padding=shape.padding)

    if groups == 1:
        return one(x, filters)
    parts = zip(tf.split(x, groups, -1), tf.split(filters, groups, -1), strict=True)
    return tf.concat([one(part, some) for part, some in parts], -1)


@operator("ConvTranspose")
def _conv_transpose(node: Node) -> Value:
    value, weights = node.value(), node.constant(1, "weights")
    rank = value.rank - 2
    if rank not in (1, 2):
        raise Unsupported(f"{rank} spatial dimensions")
    strides = node.attribute("strides") or [1] * rank
    dilations = node.attribute("dilations") or [1] * rank
    groups = node.attribute("group", 1)
    kernel = [(size - 1) * step + 1 for size, step in zip(weights.shape[2:], dilations, strict=True)]
    sides = _crop(node, kernel, strides, value.shape[2:])
    wide = _dilated(weights, dilations)
    x = value.last()
    if rank == 1:
        x, wide, kernel, strides = tf.expand_dims(x, 1), wide[:, :, None], [1, *kernel], [1, *strides]
        sides = [[0, 0], *sides]
    found = _spread(x, wide, strides, groups)
    found = padded(found, [[0, 0], *[[-before, -after] for before, after in sides], [0, 0]])
    found = tf.squeeze(found, [1]) if rank == 1 else found
    return Value(tf.nn.bias_add(found, node.first(2)) if node.has(2) else found, last=True)


def _crop(node: Node, kernel: list[int], strides: list[int], dims: list[int | None]) -> list[list[int]]:
    """What to cut from the full result, which has (size - 1) · stride + kernel elements; negative: to add."""
    rank = len(kernel)
    more = node.attribute("output_padding") or [0] * rank
    pads = node.attribute("pads") or [0] * 2 * rank
    auto = node.attribute("auto_pad", "NOTSET")
    wanted = node.attribute("output_shape")
    if wanted is None and not auto.startswith("SAME"):
        return [[pads[i], pads[i + rank] - more[i]] for i in range(rank)]
    found = []
    for i, size in enumerate(dims):
        if size is None:
            raise Unsupported("an output shape over a size that is not known")
        end = wanted[-rank:][i] if wanted is not None else size * strides[i]
        total = (size - 1) * strides[i] + kernel[i] - end
        cut = max(0, total + more[i])
        before = cut // 2 if auto == "SAME_UPPER" else cut - cut // 2
        found.append([before, total - before])
    return found


def _dilated(weights: Any, dilations: list[int]) -> Any:
    """The kernel with zeros between its elements, which TensorFlow Lite's kernel cannot skip by itself."""
    for axis, step in enumerate(dilations, 2):
        if step > 1:
            shape = list(weights.shape)
            shape[axis] = (shape[axis] - 1) * step + 1
            wide = np.zeros(shape, weights.dtype)
            wide[(*[slice(None)] * axis, slice(None, None, step))] = weights
            weights = wide
    return weights


def _spread(x: Any, weights: Any, strides: list[int], groups: int) -> Any:
    """The full transposed convolution of [N, H, W, C]; ``weights`` as ONNX has them: [in, out / groups, kH, kW]."""
    if groups > 1:
        parts = zip(tf.split(x, groups, -1), np.split(weights, groups, 0), strict=True)
        return tf.concat([_spread(part, some, strides, 1) for part, some in parts], -1)
    filters = weights.transpose(2, 3, 1, 0)
    sizes = [
        (x.shape[axis] - 1) * step + size if x.shape[axis] is not None else (tf.shape(x)[axis] - 1) * step + size
        for axis, step, size in zip((1, 2), strides, filters.shape[:2], strict=True)
    ]
    batch = x.shape[0] if x.shape[0] is not None else tf.shape(x)[0]
    return tf.nn.conv2d_transpose(x, weight(filters), tf.stack([batch, *sizes, filters.shape[2]]), strides, "VALID")

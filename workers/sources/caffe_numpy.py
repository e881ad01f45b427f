"""Caffe's layers that OpenCV lacks or computes otherwise, in NumPy, to be run inside OpenCV as layers of its own."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from protos.caffe import Layer
from protos.caffe.shapes import RULES, axis_of
from workers.backends.base import Array


@dataclass(frozen=True)
class Call:
    """One layer at work: what it takes, and its weights as the file has them."""

    layer: Layer
    inputs: Sequence[Array]
    blobs: Sequence[Array]

    @property
    def x(self) -> Array:
        """The first input."""
        return self.inputs[0]


def layer_class(layer: Layer) -> type:
    """The class that OpenCV makes the layer of (cv2.dnn_registerLayer)."""

    class NumPyLayer:
        def __init__(self, params: Any, blobs: Sequence[Array]) -> None:
            self.blobs = [np.array(blob) for blob in blobs]

        def getMemoryShapes(self, inputs: Sequence[Sequence[int]]) -> list[list[int]]:  # noqa: N802 - OpenCV's name
            shapes = RULES[layer.type](layer, [tuple(map(int, shape)) for shape in inputs])
            return [_at_least_two(shape) for shape in shapes]

        def forward(self, inputs: Sequence[Array]) -> list[Array]:
            made = np.asarray(FORWARD[layer.type](Call(layer, inputs, self.blobs)), np.float32)
            return [np.ascontiguousarray(made.reshape(_at_least_two(made.shape)))]

    return NumPyLayer


def _at_least_two(shape: Sequence[int]) -> list[int]:
    """OpenCV has no arrays of rank 0 and 1."""
    return [*shape, *[1] * (2 - len(shape))]


def _argmax(call: Call) -> Array:
    param = call.layer.param.argmax_param
    x = call.x
    if param.HasField("axis"):
        axis = axis_of(call.layer, param.axis, x.shape)
        places = np.argsort(-x, axis, kind="stable").take(range(param.top_k), axis)
        return np.take_along_axis(x, places, axis) if param.out_max_val else places
    flat = x.reshape(len(x), -1)
    places = np.argsort(-flat, 1, kind="stable")[:, : param.top_k]
    found = [places, *([np.take_along_axis(flat, places, 1)] if param.out_max_val else [])]
    stacked = np.stack([np.asarray(one, np.float32) for one in found], 1)
    return stacked.reshape((*stacked.shape, *(1,) * (x.ndim - 3)))


def _axpy(call: Call) -> Array:
    factor, x, y = call.inputs
    return np.asarray(factor.reshape((*x.shape[:2], *(1,) * (x.ndim - 2))) * x + y)


def _batch_norm(call: Call) -> Array:
    x = np.asarray(call.x, np.float64)
    axes = (0, *range(2, x.ndim))
    made = (x - x.mean(axes, keepdims=True)) / np.sqrt(
        x.var(axes, keepdims=True) + call.layer.param.batch_norm_param.eps
    )
    for blob, operation in zip(call.blobs[3:], (np.multiply, np.add), strict=False):
        made = operation(made, blob.reshape((-1, *(1,) * (x.ndim - 2))))
    return np.asarray(made)


def _bias(call: Call) -> Array:
    x = call.x
    param = call.layer.param.bias_param
    first = axis_of(call.layer, param.axis, x.shape)
    if len(call.inputs) > 1:
        bias = call.inputs[1]
    else:
        count = x.ndim - first if param.num_axes == -1 else param.num_axes
        bias = call.blobs[0].reshape(x.shape[first : first + count])
    return np.asarray(x + bias.reshape((*bias.shape, *(1,) * (x.ndim - first - bias.ndim))))


def _clip(call: Call) -> Array:
    return np.clip(call.x, call.layer.param.clip_param.min, call.layer.param.clip_param.max)


def _inner_product(call: Call) -> Array:
    param = call.layer.param.inner_product_param
    x = call.x
    axis = axis_of(call.layer, param.axis, x.shape)
    rows = x.reshape(math.prod(x.shape[:axis]), -1)
    made = rows @ call.blobs[0].reshape(rows.shape[1], -1)
    if len(call.blobs) > 1:
        made = made + call.blobs[1].reshape(1, -1)
    return np.asarray(made.reshape((*x.shape[:axis], -1)))


def _log(call: Call) -> Array:
    param = call.layer.param.log_param
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(
            np.log(param.shift + param.scale * call.x) / (1 if param.base == -1 else math.log(param.base))
        )


def _lrn(call: Call) -> Array:
    param = call.layer.param.lrn_param
    x = call.x
    half = (param.local_size - 1) // 2
    padded = np.pad(np.asarray(x, np.float64) ** 2, ((0, 0), (half, half), (0, 0), (0, 0)))
    total = sum(padded[:, place : place + x.shape[1]] for place in range(param.local_size))
    return np.asarray(x * (param.k + param.alpha / param.local_size * total) ** -param.beta)


def _mvn(call: Call) -> Array:
    param = call.layer.param.mvn_param
    x = np.asarray(call.x, np.float64)
    axes = tuple(range(1 if param.across_channels else 2, x.ndim))
    return np.asarray((x - x.mean(axes, keepdims=True)) / (x.std(axes, keepdims=True) + param.eps))


def _reduction(call: Call) -> Array:
    param = call.layer.param.reduction_param
    x = np.asarray(call.x, np.float64)
    axes = tuple(range(axis_of(call.layer, param.axis, x.shape), x.ndim))
    x = {2: np.abs, 3: np.square}.get(param.operation, np.asarray)(x)
    return np.asarray((x.mean(axes) if param.operation == 4 else x.sum(axes)) * param.coeff)


def _threshold(call: Call) -> Array:
    return np.asarray(call.x > call.layer.param.threshold_param.threshold)


def _tile(call: Call) -> Array:
    param = call.layer.param.tile_param
    x = call.x
    return np.concatenate([x] * param.tiles, axis_of(call.layer, param.axis, x.shape))


def _upsample(call: Call) -> Array:
    scale = call.layer.param.upsample_param.scale
    return call.x.repeat(scale, 2).repeat(scale, 3)


FORWARD: dict[str, Callable[[Call], Array]] = {
    "ArgMax": _argmax,
    "Axpy": _axpy,
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "Clip": _clip,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Log": _log,
    "MVN": _mvn,
    "Reduction": _reduction,
    "Threshold": _threshold,
    "Tile": _tile,
    "Upsample": _upsample,
}

"""Layers that normalise, scale, or multiply by a matrix."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from protos.caffe.shapes import axis_of
from workers.sources.caffe_onnx.graph import Array, Step


def _batch_norm(step: Step) -> None:
    param = step.param.batch_norm_param
    mean, variance, factor, *affine = step.blobs
    scale, bias = affine or (np.ones_like(mean), np.zeros_like(mean))
    if param.HasField("use_global_stats") and not param.use_global_stats:
        spread = [0, *range(2, len(step.shape))]
        centred, variance_now = _centred(step, spread)
        root = step.inner("Sqrt", [step.inner("Add", [variance_now, step.constant(param.eps, "eps")])])
        if not affine:
            step.last("Div", [centred, root])
            return
        value = step.inner("Div", [centred, root])
        value = step.inner("Mul", [value, step.constant(step.channels(scale), "scale")])
        step.last("Add", [value, step.constant(step.channels(bias), "bias")])
        return
    # Caffe stores sums of moving averages, and by what they are to be divided. NVIDIA's fork stores the averages.
    divide = 1.0 if affine else 0.0 if factor[0] == 0 else 1 / float(factor[0])
    values = (scale, bias, mean * np.float32(divide), variance * np.float32(divide))
    names = [step.constant(value, what) for value, what in zip(values, ("scale", "bias", "mean", "var"), strict=True)]
    step.last("BatchNormalization", [step.x, *names], epsilon=param.eps)


def _scale(step: Step) -> None:
    param = step.param.scale_param
    blobs = list(step.blobs)
    if len(step.bottoms) > 1:
        factors, shape = _brought(step, param.axis), step.bottoms[1]
    else:
        shape = blobs[0].shape
        factors = step.constant(_over(step, blobs.pop(0), param.axis), "scale")
    if not blobs:
        step.last("Mul", [step.x, factors])
        return
    value = step.inner("Mul", [step.x, factors])
    step.last("Add", [value, step.constant(_over(step, blobs[0].reshape(shape), param.axis), "bias")])


def _bias(step: Step) -> None:
    axis = step.param.bias_param.axis
    added = _brought(step, axis) if len(step.bottoms) > 1 else step.constant(_over(step, step.blobs[0], axis), "bias")
    step.last("Add", [step.x, added])


def _over(step: Step, blob: Array, axis: int) -> Array:
    """A blob that covers the first bottom's axes from ``axis`` on, in the shape that broadcasts so."""
    first = axis_of(step.layer, axis, step.shape) if blob.shape else 0
    return blob.reshape((*blob.shape, *(1,) * (len(step.shape) - first - blob.ndim))) if blob.shape else blob


def _brought(step: Step, axis: int) -> str:
    """The second bottom, in the shape that broadcasts over the first from ``axis`` on."""
    shape = step.bottoms[1]
    first = axis_of(step.layer, axis, step.shape) if shape else 0
    if step.shape[first : first + len(shape)] != shape:
        raise step.refused(
            f"its second bottom {list(shape)} is not part of the first {list(step.shape)} from axis {first} on",
            "Caffe takes a second bottom whose sizes are those of the first, from the axis on.",
        )
    missing = len(step.shape) - first - len(shape)
    if not missing or not shape:
        return step.layer.bottoms[1]
    keep = [0, *shape[1:]] if first == 0 else list(shape)
    return step.inner("Reshape", [step.layer.bottoms[1], step.integers([*keep, *[1] * missing], "shape")])


def _mvn(step: Step) -> None:
    param = step.param.mvn_param
    axes = list(range(1 if param.across_channels else 2, len(step.shape)))
    if not param.normalize_variance:
        mean = step.inner("ReduceMean", [step.x], axes=axes, keepdims=1)
        step.last("Sub", [step.x, mean])
        return
    centred, variance = _centred(step, axes)
    deviation = step.inner("Add", [step.inner("Sqrt", [variance]), step.constant(param.eps, "eps")])
    step.last("Div", [centred, deviation])


def _centred(step: Step, axes: Sequence[int]) -> tuple[str, str]:
    """The first bottom less its mean over the axes, and its variance over them."""
    mean = step.inner("ReduceMean", [step.x], axes=axes, keepdims=1)
    centred = step.inner("Sub", [step.x, mean])
    square = step.inner("Mul", [centred, centred])
    return centred, step.inner("ReduceMean", [square], axes=axes, keepdims=1)


def _normalize(step: Step) -> None:
    """SSD's: divided by the L2 norm over a whole sample, or over the channels at each place, then scaled."""
    param = step.param.norm_param
    axes = list(range(1, len(step.shape))) if param.across_spatial else [1]
    squares = step.inner("Mul", [step.x, step.x])
    total = step.inner("ReduceSum", [squares, step.integers(axes, "axes")], keepdims=1)
    norm = step.inner("Sqrt", [step.inner("Add", [total, step.constant(param.eps, "eps")])])
    scale = step.constant(step.channels(step.blobs[0]), "scale")
    step.last("Mul", [step.inner("Div", [step.x, norm]), scale])


def _softmax(step: Step) -> None:
    step.last("Softmax", [step.x], axis=axis_of(step.layer, step.param.softmax_param.axis, step.shape))


def _inner_product(step: Step) -> None:
    param = step.param.inner_product_param
    axis = axis_of(step.layer, param.axis, step.shape)
    weights = step.constant(step.blobs[0], "weight")
    names = [weights, *(step.constant(blob, "bias") for blob in step.blobs[1:])]
    x = step.x
    if len(step.shape) != 2 or axis != 1:
        if axis == 1:
            x = step.inner("Flatten", [x], axis=1)
        else:
            rows, columns = math.prod(step.shape[:axis]), math.prod(step.shape[axis:])
            x = step.inner("Reshape", [x, step.integers([rows, columns], "rows")])
    transposed = 0 if param.transpose else 1
    if axis == 1:
        step.last("Gemm", [x, *names], transB=transposed)
    else:
        product = step.inner("Gemm", [x, *names], transB=transposed)
        step.last("Reshape", [product, step.integers(step.tops[0], "shape")])


RULES = {
    "BatchNorm": _batch_norm,
    "Bias": _bias,
    "InnerProduct": _inner_product,
    "MVN": _mvn,
    "Normalize": _normalize,
    "Scale": _scale,
    "Softmax": _softmax,
}

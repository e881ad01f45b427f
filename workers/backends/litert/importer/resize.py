"""Resizing. TensorFlow Lite's own kernels where they compute the same, else a gather or a product per dimension."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value

Floats = np.ndarray[Any, np.dtype[np.float64]]

_ROUND: dict[str, Callable[[Floats], Floats]] = {
    "round_prefer_floor": lambda x: np.ceil(x - 0.5),
    "round_prefer_ceil": lambda x: np.floor(x + 0.5),
    "floor": np.floor,
    "ceil": np.ceil,
}


@operator("Upsample")
def _upsample(node: Node) -> Value:
    scales = node.attribute("scales")
    scales = node.constant(1, "scales").tolist() if scales is None else scales
    return _resized(node, list(range(node.value().rank)), scales, None, "asymmetric", "floor")


@operator("Resize")
def _resize(node: Node) -> Value:
    if node.version < 11:
        scales = node.constant(1, "scales").tolist()
        return _resized(node, list(range(node.value().rank)), scales, None, "asymmetric", "floor")
    axes = node.attribute("axes") or list(range(node.value().rank))
    axes = [axis + node.value().rank if axis < 0 else axis for axis in axes]
    scales = node.constant(2, "scales").tolist() if node.has(2) and node.value(2).shape != [0] else None
    wanted = node.first(3) if scales is None else None
    if node.attribute("keep_aspect_ratio_policy", "stretch") != "stretch" or node.attribute("antialias", 0):
        raise Unsupported("antialiasing, or keeping the aspect ratio")
    coordinates = node.attribute("coordinate_transformation_mode", "half_pixel")
    return _resized(node, axes, scales, wanted, coordinates, node.attribute("nearest_mode", "round_prefer_floor"))


def _resized(
    node: Node, axes: list[int], scales: list[float] | None, wanted: Any, coordinates: str, rounding: str
) -> Value:
    value = node.value()
    dims = value.shape
    if wanted is not None and not isinstance(wanted, np.ndarray):
        return _later(node, wanted, axes, coordinates, rounding)
    changes: dict[int, tuple[int | None, float | None]] = {}
    for index, axis in enumerate(axes):
        size = dims[axis]
        scale = scales[index] if scales is not None else None
        end = int(wanted[index]) if wanted is not None else None
        if end is None and size is not None and scale is not None:
            end = int(np.floor(size * scale + 1e-9))
        if scale != 1.0 and (size is None or end != size):
            changes[axis] = (end, scale)
    if not changes:
        return value
    if set(changes) <= {2, 3} and len(dims) == 4:
        native = _native(node, value, changes, coordinates, rounding)
        if native is not None:
            return native
    x, last = (value.last(), True) if len(dims) > 2 and 1 not in changes else (value.first(), False)
    for axis, (end, scale) in changes.items():
        size = dims[axis]
        if size is None or end is None:
            raise Unsupported(f"mode '{node.attribute('mode')}' with '{coordinates}' over sizes that are not known")
        at = axis if not last or axis == 0 else axis - 1
        x = _along(tf.convert_to_tensor(x), at, _positions(size, end, scale, coordinates), node, rounding)
    return Value(x, last)


def _positions(size: int, end: int, scale: float | None, coordinates: str) -> Floats:
    """Where each element of the result lies in the input."""
    index = np.arange(end, dtype=np.float64)
    scale = end / size if scale is None else scale
    if coordinates == "asymmetric":
        return index / scale
    if coordinates == "align_corners":
        return index * (size - 1) / (end - 1) if end > 1 else index
    if coordinates == "pytorch_half_pixel":
        return (index + 0.5) / scale - 0.5 if end > 1 else np.zeros(1)
    if coordinates == "half_pixel_symmetric":
        centre = size / 2
        return centre * (1 - end / (scale * size)) + (index + 0.5) / scale - 0.5
    if coordinates == "half_pixel":
        return (index + 0.5) / scale - 0.5
    raise Unsupported(f"coordinates '{coordinates}'")


def _along(x: Any, axis: int, positions: Floats, node: Node, rounding: str) -> Any:
    size = x.shape[axis]
    mode = node.attribute("mode", "nearest")
    if mode == "nearest":
        indices = np.clip(_ROUND[rounding](positions), 0, size - 1).astype(np.int32)
        return tf.gather(x, indices, axis=axis)
    weights = _linear(positions, size) if mode in ("linear", "bilinear") else _cubic(positions, size, node)
    found = tf.tensordot(x, tf.constant(weights.T.astype(np.float32)), [[axis], [0]])
    rank = x.shape.rank
    return tf.transpose(found, [*range(axis), rank - 1, *range(axis, rank - 1)])


def _linear(positions: Floats, size: int) -> Floats:
    """A matrix [result, input] of weights."""
    matrix = np.zeros((len(positions), size))
    low = np.floor(positions).astype(int)
    part = positions - low
    rows = np.arange(len(positions))
    np.add.at(matrix, (rows, np.clip(low, 0, size - 1)), 1 - part)
    np.add.at(matrix, (rows, np.clip(low + 1, 0, size - 1)), part)
    return matrix


def _cubic(positions: Floats, size: int, node: Node) -> Floats:
    """Keys' kernel: https://ieeexplore.ieee.org/document/1163711."""
    if node.attribute("mode") != "cubic":
        raise Unsupported(f"mode '{node.attribute('mode')}'")
    a = node.attribute("cubic_coeff_a", -0.75)
    outside = node.attribute("exclude_outside", 0)
    low = np.floor(positions).astype(int)
    matrix = np.zeros((len(positions), size))
    rows = np.arange(len(positions))
    for offset in (-1, 0, 1, 2):
        away = np.abs(positions - (low + offset))
        near = ((a + 2) * away - (a + 3)) * away**2 + 1
        far = ((a * away - 5 * a) * away + 8 * a) * away - 4 * a
        weight = np.where(away <= 1, near, far)
        at = low + offset
        if outside:
            weight = np.where((at < 0) | (at >= size), 0, weight)
        np.add.at(matrix, (rows, np.clip(at, 0, size - 1)), weight)
    return matrix / matrix.sum(axis=1, keepdims=True)


_Flags = tuple[bool, bool]
"""align_corners, half_pixel_centers"""


def _native(
    node: Node, value: Value, changes: dict[int, tuple[int | None, float | None]], coordinates: str, rounding: str
) -> Value | None:
    """By a kernel for pictures, where it gives the same as ONNX for these sizes; None where there is none."""
    mode = node.attribute("mode", "nearest")
    x = value.last()
    known = [(value.shape[axis], *changes.get(axis, (value.shape[axis], None))) for axis in (2, 3)]
    if mode not in ("nearest", "linear", "bilinear"):
        return None
    for flags in ((False, False), (True, False), (False, True)):
        if all(_same(size, end, scale, mode, flags, coordinates, rounding) for size, end, scale in known):
            ends = [
                end if end is not None else tf.cast(tf.cast(tf.shape(x)[at], tf.float32) * (scale or 1.0), tf.int32)
                for at, (_, end, scale) in enumerate(known, 1)
            ]
            return Value(_picture(x, ends, mode, flags), last=True)
    return None


def _picture(x: Any, ends: list[Any], mode: str, flags: _Flags) -> Any:
    kernel = tf.raw_ops.ResizeNearestNeighbor if mode == "nearest" else tf.raw_ops.ResizeBilinear
    size = tf.stack(ends) if any(not isinstance(end, int) for end in ends) else tf.constant(ends, tf.int32)
    return kernel(images=x, size=size, align_corners=flags[0], half_pixel_centers=flags[1])


def _same(
    size: int | None, end: int | None, scale: float | None, mode: str, flags: _Flags, coordinates: str, rounding: str
) -> bool:
    """Whether the kernel with these flags computes what ONNX says."""
    if size is None or end is None:
        # Of a size that is not known a whole multiple is compared at one size, anything else refused.
        if scale is None:
            return end is None and size is None
        if scale < 1 or scale != round(scale):
            return False
        size, end = 7, 7 * round(scale)
    mine = _positions(size, end, scale, coordinates)
    if mode == "nearest":
        wanted = np.clip(_ROUND[rounding](mine), 0, size - 1)
        return bool(np.array_equal(wanted, _nearest(size, end, flags)))
    own = _positions(size, end, None, ("half_pixel" if flags[1] else "align_corners" if flags[0] else "asymmetric"))
    return bool(np.allclose(_linear(mine, size), _linear(own, size), atol=1e-6))


def _nearest(size: int, end: int, flags: _Flags) -> Floats:
    """The kernel's own choice (tflite/kernels/internal/reference/resize_nearest_neighbor.h)."""
    index = np.arange(end, dtype=np.float32)
    scale = np.float32((size - 1) / (end - 1) if flags[0] and end > 1 else size / end)
    positions = (index + np.float32(0.5 if flags[1] else 0.0)) * scale
    found = np.floor(positions + np.float32(0.5)) if flags[0] else np.floor(positions)
    return np.clip(found, 0, size - 1).astype(np.float64)


def _later(node: Node, wanted: Any, axes: list[int], coordinates: str, rounding: str) -> Value:
    """To a size that is only known at run time."""
    value = node.value()
    mode = node.attribute("mode", "nearest")
    flags = {
        ("nearest", "asymmetric", "floor"): (False, False),
        ("linear", "half_pixel", rounding): (False, True),
        ("linear", "pytorch_half_pixel", rounding): (False, True),
        ("linear", "asymmetric", rounding): (False, False),
        ("linear", "align_corners", rounding): (True, False),
    }.get((mode, coordinates, rounding))
    if flags is None or value.rank != 4 or axes[-2:] != [2, 3]:
        raise Unsupported(f"mode '{mode}' with '{coordinates}' to a size that is computed while the model runs")
    ends = tf.cast(wanted, tf.int32)
    return Value(_picture(value.last(), [ends[-2], ends[-1]], mode, flags), last=True)

"""Operators of detectors: suppression of overlapping boxes, sampling at computed places."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value

_MOST_CLASSES = 128


@operator("NonMaxSuppression")
def _suppression(node: Node) -> Value:
    """[picture, class, box] of every box that is kept, best first; pictures and classes are unrolled."""
    boxes, scores = tf.convert_to_tensor(node.first()), tf.convert_to_tensor(node.first(1))
    pictures, classes, count = scores.shape
    if pictures is None or classes is None or count is None or pictures * classes > _MOST_CLASSES:
        raise Unsupported(f"more than {_MOST_CLASSES} classes, or a number of boxes that is not known")
    most = min(int(node.constant(2, "number of boxes").reshape(())), count) if node.has(2) else 0
    overlap = float(node.constant(3, "threshold").reshape(())) if node.has(3) else 0.0
    least = float(node.constant(4, "threshold").reshape(())) if node.has(4) else -np.inf
    if most <= 0:
        return Value(np.zeros((0, 3), np.int64))
    if node.attribute("center_point_box", 0):
        x, y, width, height = tf.split(boxes, 4, -1)
        boxes = tf.concat([y - height / 2, x - width / 2, y + height / 2, x + width / 2], -1)
    found = []
    for picture in range(pictures):
        for kind in range(classes):
            kept, many = tf.raw_ops.NonMaxSuppressionV4(
                boxes=_ordered(boxes[picture]),
                scores=scores[picture, kind],
                max_output_size=tf.constant(most),
                iou_threshold=tf.constant(overlap),
                score_threshold=tf.constant(np.float32(least)),
                pad_to_max_output_size=True,
            )
            kept = tf.cast(kept[:many], tf.int64)
            found.append(
                tf.stack([tf.fill(tf.shape(kept), np.int64(picture)), tf.fill(tf.shape(kept), np.int64(kind)), kept], 1)
            )
    return Value(tf.concat(found, 0) if len(found) > 1 else found[0])


def _ordered(boxes: Any) -> Any:
    """Corners from the smaller to the larger ones, which the kernel takes for granted."""
    one, other = boxes[:, :2], boxes[:, 2:]
    return tf.concat([tf.minimum(one, other), tf.maximum(one, other)], 1)


@operator("GridSample")
def _grid_sample(node: Node) -> Value:
    value, grid = node.value(), tf.convert_to_tensor(node.first(1))
    mode, padding = node.attribute("mode", "linear"), node.attribute("padding_mode", "zeros")
    if value.rank != 4 or mode not in ("linear", "bilinear", "nearest") or padding not in ("zeros", "border"):
        raise Unsupported(f"{value.rank} dimensions, mode '{mode}', padding '{padding}'")
    x = value.last()
    batch, height, width, channels = x.shape
    if None in (batch, height, width, channels):
        raise Unsupported("sizes that are not known")
    corners = bool(node.attribute("align_corners", 0))
    places = [_place(grid[..., i], size, corners) for i, size in enumerate((width, height))]
    if padding == "border":
        places = [tf.clip_by_value(one, 0.0, size - 1.0) for one, size in zip(places, (width, height), strict=True)]
    if mode == "nearest":
        return Value(_taken(x, *[tf.round(one) for one in places]), last=True)
    left, top = tf.floor(places[0]), tf.floor(places[1])
    found = None
    for right, below in ((0, 0), (1, 0), (0, 1), (1, 1)):
        across, down = places[0] - left, places[1] - top
        weight = (across if right else 1.0 - across) * (down if below else 1.0 - down)
        part = _taken(x, left + right, top + below) * tf.expand_dims(weight, -1)
        found = part if found is None else found + part
    return Value(found, last=True)


def _place(grid: Any, size: int, corners: bool) -> Any:
    return (grid + 1.0) / 2.0 * (size - 1) if corners else ((grid + 1.0) * size - 1.0) / 2.0


def _taken(x: Any, across: Any, down: Any) -> Any:
    """The pictures' elements at whole-numbered places; 0 outside of them."""
    batch, height, width, channels = x.shape
    inside = (across >= 0) & (across <= width - 1) & (down >= 0) & (down <= height - 1)
    column = tf.cast(tf.clip_by_value(across, 0.0, width - 1.0), tf.int32)
    row = tf.cast(tf.clip_by_value(down, 0.0, height - 1.0), tf.int32)
    first = tf.reshape(tf.range(batch) * (height * width), [-1, *[1] * (column.shape.rank - 1)])
    found = tf.gather(tf.reshape(x, [-1, channels]), first + row * width + column)
    return found * tf.cast(tf.expand_dims(inside, -1), x.dtype)

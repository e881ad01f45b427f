"""Operators that pick elements by position, and that put them there."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value, place
from workers.backends.litert.importer.weights import weight

_ENDLESS = np.iinfo(np.int32).max


@operator("Slice")
def _slice(node: Node) -> Value:
    value = node.value()
    if node.attribute("starts") is not None:
        starts, ends = np.asarray(node.attribute("starts")), np.asarray(node.attribute("ends"))
        axes = node.attribute("axes") or list(range(len(starts)))
        steps = [1] * len(starts)
    else:
        starts, ends = node.first(1), node.first(2)
        count = node.value(1).shape[0] or 0
        axes = node.constant(3, "axes").tolist() if node.has(3) else list(range(count))
        steps = node.constant(4, "steps").tolist() if node.has(4) else [1] * count
    x = tf.convert_to_tensor(value.last() if value.is_last else value.first())
    cut: list[Any] = [slice(None)] * value.rank
    for index, (axis, step) in enumerate(zip(axes, steps, strict=True)):
        begin, end = _bound(starts, index, step, False), _bound(ends, index, step, True)
        cut[place(axis, value.rank, value.is_last)] = slice(begin, end, int(step))
    return Value(x[tuple(cut)], value.is_last)


def _bound(bounds: Any, index: int, step: int, end: bool) -> Any:
    """A slice's bound as Python has it: None for one beyond the tensor."""
    if not isinstance(bounds, np.ndarray):
        return tf.cast(tf.clip_by_value(bounds[index], -_ENDLESS, _ENDLESS), tf.int32)
    bound = int(bounds[index])
    if step > 0:
        return None if abs(bound) >= _ENDLESS and (bound > 0) == end else max(bound, -_ENDLESS)
    return None if abs(bound) >= _ENDLESS and (bound < 0) == end else min(bound, _ENDLESS)


def counted(indices: Any, size: int | None, x: Any, axis: int) -> Any:
    """Indices that may count from the end, from the beginning instead."""
    if isinstance(indices, np.ndarray):
        if size is None and (indices < 0).any():
            return tf.cast(indices, tf.int32) + tf.cast(indices < 0, tf.int32) * tf.shape(x)[axis]
        return np.where(indices < 0, indices + (size or 0), indices).astype(np.int32)
    whole = size if size is not None else tf.shape(x)[axis]
    return tf.where(indices < 0, indices + tf.cast(whole, indices.dtype), indices)


@operator("Gather")
def _gather(node: Node) -> Value:
    value = node.value()
    axis = place(node.attribute("axis", 0), value.rank, False)
    x = value.first()
    return Value(tf.gather(weight(x), counted(node.first(1), value.shape[axis], x, axis), axis=axis))


@operator("GatherElements")
def _gather_elements(node: Node) -> Value:
    x, indices, axis = _sideways(node, 1)
    size, last = x.shape[-1], x.shape.rank - 1
    indices = counted(indices, size, x, last)
    if None in indices.shape[:-1]:
        raise Unsupported("indices of sizes that are not known")
    x = x[tuple(slice(0, dim) for dim in indices.shape[:-1])]
    found = tf.gather(x, indices, axis=last, batch_dims=last)
    return Value(_back(found, axis))


def _sideways(node: Node, index: int) -> tuple[Any, Any, int]:
    """The first input and another one with the node's axis at the end."""
    x, other = tf.convert_to_tensor(node.first()), node.first(index)
    axis = place(node.attribute("axis", 0), node.value().rank, False)
    order = [*(one for one in range(x.shape.rank) if one != axis), axis]
    if axis == x.shape.rank - 1:
        return x, other, axis
    other = other.transpose(order) if isinstance(other, np.ndarray) else tf.transpose(other, order)
    return tf.transpose(x, order), other, axis


def _back(x: Any, axis: int) -> Any:
    rank = x.shape.rank
    return x if axis == rank - 1 else tf.transpose(x, [*range(axis), rank - 1, *range(axis, rank - 1)])


@operator("GatherND")
def _gather_nd(node: Node) -> Value:
    x, indices = tf.convert_to_tensor(node.first()), node.first(1)
    batch = node.attribute("batch_dims", 0)
    deep = indices.shape[-1]
    if deep is None:
        raise Unsupported("indices of a length that is not known")
    indices = _counted_each(indices, x, batch)
    if batch == 0:
        return Value(tf.gather_nd(x, indices))
    if None in indices.shape[:batch]:
        raise Unsupported("batches of a number that is not known")
    grid = np.indices(tuple(indices.shape[:batch]), np.int32)
    form = [*indices.shape[:batch], *[1] * (len(indices.shape) - batch - 1)]
    parts = [tf.broadcast_to(one.reshape(form), tf.shape(indices)[:-1]) for one in grid]
    return Value(tf.gather_nd(x, tf.concat([*[tf.expand_dims(one, -1) for one in parts], indices], -1)))


def _counted_each(indices: Any, x: Any, batch: int) -> Any:
    deep = indices.shape[-1]
    columns = []
    for column in range(deep):
        axis = batch + column
        columns.append(tf.cast(counted(indices[..., column], x.shape[axis], x, axis), tf.int32))
    return tf.stack(columns, -1)


_SCATTER: dict[str, Callable[..., Any]] = {
    "none": tf.tensor_scatter_nd_update,
    "add": tf.tensor_scatter_nd_add,
    "max": tf.tensor_scatter_nd_max,
    "min": tf.tensor_scatter_nd_min,
}


def _scattered(node: Node, x: Any, indices: Any, updates: Any) -> Any:
    how = node.attribute("reduction", "none")
    if how not in ("none", "add"):
        raise Unsupported(f"reduction '{how}'")
    return _SCATTER[how](x, indices, updates)


@operator("ScatterND")
def _scatter_nd(node: Node) -> Value:
    x = tf.convert_to_tensor(node.first())
    return Value(_scattered(node, x, _counted_each(node.first(1), x, 0), tf.convert_to_tensor(node.first(2))))


@operator("ScatterElements", "Scatter")
def _scatter_elements(node: Node) -> Value:
    x = tf.convert_to_tensor(node.first())
    axis = place(node.attribute("axis", 0), x.shape.rank, False)
    indices = counted(node.first(1), x.shape[axis], x, axis)
    dims = indices.shape
    if None in dims:
        raise Unsupported("indices of sizes that are not known")
    grid = [tf.constant(one) for one in np.indices(tuple(dims), np.int32)]
    grid[axis] = tf.cast(indices, tf.int32)
    flat = tf.reshape(tf.stack(grid, -1), [-1, len(dims)])
    return Value(_scattered(node, x, flat, tf.reshape(node.first(2), [-1])))


@operator("OneHot")
def _one_hot(node: Node) -> Value:
    depth = int(node.constant(1, "depth").reshape(()))
    off, on = node.first(2)[0], node.first(2)[1]
    indices = node.first()
    if indices.dtype in (np.float32, tf.float32):
        indices = tf.cast(indices, tf.int32)
    where = tf.where(indices < 0, indices + depth, indices)
    axis = place(node.attribute("axis", -1), len(where.shape) + 1, False)
    hot = tf.one_hot(tf.cast(where, tf.int32), depth, True, False, axis=axis, dtype=tf.bool)
    return Value(tf.where(hot, on, off))


@operator("TopK")
def _top(node: Node) -> list[Value]:
    x = tf.convert_to_tensor(node.first())
    rank = x.shape.rank
    axis = place(node.attribute("axis", -1), rank, False)
    k = node.attribute("k") if node.attribute("k") is not None else tf.cast(tf.reshape(node.first(1), []), tf.int32)
    order = [*(one for one in range(rank) if one != axis), axis]
    x = x if axis == rank - 1 else tf.transpose(x, order)
    largest = bool(node.attribute("largest", 1))
    values, indices = tf.math.top_k(x if largest else tf.negative(x), k)
    values = values if largest else tf.negative(values)
    return [Value(_back(values, axis)), Value(tf.cast(_back(indices, axis), tf.int64))]


@operator("NonZero")
def _non_zero(node: Node) -> Value:
    x = tf.convert_to_tensor(node.first())
    found = tf.where(x if x.dtype == tf.bool else tf.not_equal(x, tf.zeros_like(x)))
    return Value(tf.transpose(found))


@operator("Compress")
def _compress(node: Node) -> Value:
    x, axis = node.first(), node.attribute("axis")
    if axis is None:
        x, axis = tf.reshape(x, [-1]), 0
    kept = node.constant(1, "condition").nonzero()[0].astype(np.int32)
    return Value(tf.gather(x, kept, axis=axis))

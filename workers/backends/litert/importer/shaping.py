"""Operators that move elements without looking at them."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.known import partly
from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Dims, Value, place, sizes


@operator("Reshape")
def _reshape(node: Node) -> Value:
    wanted, x = node.attribute("shape"), node.first()
    dims = node.value().shape
    known = list(wanted) if wanted is not None else partly(node.value(1))
    if known is None:
        return Value(tf.reshape(x, tf.cast(node.first(1), tf.int32)))
    copied = not node.attribute("allowzero", 0)
    # A size that is to be copied is as open as the one that it is copied from.
    found: Dims = [dims[i] if size == 0 and copied and i < len(dims) else size for i, size in enumerate(known)]
    if -1 in found:
        found = _filled_in(found, dims)
    if found.count(None) + found.count(-1) <= 1:
        return Value(tf.reshape(x, [-1 if size is None else size for size in found]))
    zeros = [i for i, size in enumerate(known) if size == 0 and copied]
    shape = tf.unstack(tf.cast(node.first(1), tf.int32), len(known))
    return Value(tf.reshape(x, tf.stack([tf.shape(x)[i] if i in zeros else one for i, one in enumerate(shape)])))


def _filled_in(found: Dims, dims: Dims) -> Dims:
    """The size that is left over, where all are known."""
    if None in dims or None in found:
        return found
    rest = int(np.prod([size for size in found if size != -1], dtype=np.int64))
    whole = int(np.prod(dims, dtype=np.int64))
    return [whole // rest if size == -1 and rest else size for size in found]


@operator("Flatten")
def _flatten(node: Node) -> Value:
    rank = node.value().rank
    axis = place(node.attribute("axis", 1), rank, False)
    dims = node.value().shape
    left, right = dims[:axis], dims[axis:]
    if None not in left:
        return Value(tf.reshape(node.first(), [int(np.prod(left, dtype=np.int64)), -1]))
    if None not in right:
        return Value(tf.reshape(node.first(), [-1, int(np.prod(right, dtype=np.int64))]))
    return Value(tf.reshape(node.first(), [tf.reduce_prod(tf.shape(node.first())[:axis]), -1]))


@operator("Squeeze")
def _squeeze(node: Node) -> Value:
    axes = node.listed("axes", 1)
    dims = node.value().shape
    axes = [i for i, size in enumerate(dims) if size == 1] if axes is None else axes
    axes = [axis + len(dims) if axis < 0 else axis for axis in axes]
    left = [i for i in range(len(dims)) if i not in axes]
    return Value(tf.reshape(node.first(), sizes(node.first(), left, [dims[i] for i in left])))


@operator("Unsqueeze")
def _unsqueeze(node: Node) -> Value:
    value = node.value()
    axes = node.listed("axes", 1) or []
    rank = value.rank + len(axes)
    x = tf.convert_to_tensor(value.first())
    for axis in sorted(axis + rank if axis < 0 else axis for axis in axes):
        x = tf.expand_dims(x, axis)
    return Value(x)


@operator("Transpose")
def _transpose(node: Node) -> Value:
    value = node.value()
    order = node.attribute("perm") or list(reversed(range(value.rank)))
    if not value.is_last:
        return Value(_ordered(value.first(), order))
    return Value(_ordered(value.last(), [place(axis, value.rank, True) for axis in order]))


def _ordered(x: Any, order: list[int]) -> Any:
    return tf.identity(x) if order == sorted(order) else tf.transpose(x, order)


@operator("Concat")
def _concat(node: Node) -> Value:
    values = node.values()
    axis, rank = node.attribute("axis", 1), values[0].rank
    last = rank > 2 and any(value.is_last for value in values)
    tensors = [value.last() if last else value.first() for value in values]
    return Value(tf.concat(tensors, place(axis, rank, last)), last)


@operator("Split")
def _split(node: Node) -> list[Value]:
    value = node.value()
    axis, count = node.attribute("axis", 0), len(node.outputs)
    whole = value.shape[axis]
    parts = node.listed("split", 1)
    if parts is None and whole is None:
        raise Unsupported("the size that it splits is not known")
    if parts is None:
        size = -(-(whole or 0) // count)
        parts = [min(size, (whole or 0) - i * size) for i in range(count)]
    x = value.last() if value.is_last else value.first()
    found = tf.split(x, parts, place(axis, value.rank, value.is_last))
    return [Value(one, value.is_last) for one in found]


@operator("Expand")
def _expand(node: Node) -> Value:
    x, shape = tf.convert_to_tensor(node.first()), partly(node.value(1))
    rank = max(node.value().rank, node.value(1).shape[0] or 0)
    dims: Dims = [1] * (rank - node.value().rank) + node.value().shape
    if shape is not None:
        wide: Dims = [1] * (rank - len(shape)) + shape
        pairs = list(zip(dims, wide, strict=True))
        if all(want == 1 or have == want for have, want in pairs):
            return Value(tf.reshape(x, sizes(x, range(rank), dims)) if rank > node.value().rank else tf.identity(x))
        ends = [want if have in (1, want) else have if want == 1 else None for have, want in pairs]
        if None not in ends:
            return Value(tf.broadcast_to(x, ends))
    return Value(tf.broadcast_to(x, tf.broadcast_dynamic_shape(tf.shape(x), tf.cast(node.first(1), tf.int32))))


@operator("Tile")
def _tile(node: Node) -> Value:
    if node.version < 6:
        raise Unsupported("operator sets before 6")
    return Value(tf.tile(node.first(), tf.cast(node.first(1), tf.int32)))


@operator("DepthToSpace")
def _depth_to_space(node: Node) -> Value:
    block = node.attribute("blocksize")
    x = node.value().last()
    if node.attribute("mode", "DCR") == "CRD":
        depth = x.shape[-1]
        order = np.arange(depth).reshape(depth // block**2, block**2).T.reshape(-1)
        x = tf.gather(x, order, axis=-1)
    return Value(tf.nn.depth_to_space(x, block), last=True)


@operator("SpaceToDepth")
def _space_to_depth(node: Node) -> Value:
    block = node.attribute("blocksize")
    x = tf.nn.space_to_depth(node.value().last(), block)
    if node.attribute("mode", "DCR") == "CRD":
        depth = x.shape[-1]
        x = tf.gather(x, np.arange(depth).reshape(block**2, depth // block**2).T.reshape(-1), axis=-1)
    return Value(x, last=True)


@operator("Pad")
def _pad(node: Node) -> Value:
    value = node.value()
    pads = node.attribute("pads", node.attribute("paddings"))
    pads = node.first(1) if pads is None else np.asarray(pads, np.int64)
    filling = node.first(2) if node.has(2) else np.asarray(node.attribute("value", 0.0))
    mode = node.attribute("mode", "constant")
    if not isinstance(pads, np.ndarray):
        return Value(_padded_later(node, value, pads, filling, mode))
    axes = node.constant(3, "axes").tolist() if node.has(3) else list(range(value.rank))
    sides = [[0, 0] for _ in range(value.rank)]
    for index, axis in enumerate(axes):
        sides[place(axis, value.rank, value.is_last)] = [int(pads[index]), int(pads[index + len(axes)])]
    x = tf.convert_to_tensor(value.last() if value.is_last else value.first())
    return Value(padded(x, sides, mode, filling), value.is_last)


def padded(x: Any, sides: list[list[int]], mode: str = "constant", filling: Any = 0.0) -> Any:
    """A tensor grown (negative: cut) by (before, after) in each of its own dimensions."""
    if any(side < 0 for pair in sides for side in pair):
        begin = [max(0, -before) for before, _ in sides]
        end = [after if after < 0 else None for _, after in sides]
        x = x[tuple(slice(one, other) for one, other in zip(begin, end, strict=True))]
        sides = [[max(0, before), max(0, after)] for before, after in sides]
    if not any(side for pair in sides for side in pair):
        return x
    if mode == "constant" and isinstance(filling, (int, float, np.ndarray)) and not np.any(filling):
        return tf.pad(x, sides)  # the form that TensorFlow Lite takes into a convolution
    if mode == "constant":
        return tf.pad(x, sides, constant_values=tf.cast(tf.reshape(filling, []), x.dtype))
    if mode == "reflect":
        return tf.pad(x, sides, "REFLECT")
    for axis, (before, after) in enumerate(sides):
        if before or after:
            x = tf.concat(_edges(x, axis, before, after, mode), axis)
    return x


def _edges(x: Any, axis: int, before: int, after: int, mode: str) -> list[Any]:
    def cut(begin: int | None, end: int | None) -> Any:
        return x[(*[slice(None)] * axis, slice(begin, end))]

    def repeated(one: Any, times: int) -> Any:
        return tf.tile(one, [times if i == axis else 1 for i in range(x.shape.rank)])

    if mode == "edge":
        parts = [repeated(cut(0, 1), before) if before else None, x, repeated(cut(-1, None), after) if after else None]
    elif mode == "wrap":
        parts = [cut(-before, None) if before else None, x, cut(0, after) if after else None]
    else:
        raise Unsupported(f"mode '{mode}'")
    return [one for one in parts if one is not None]


def _padded_later(node: Node, value: Value, pads: Any, filling: Any, mode: str) -> Any:
    """By amounts that are only known at run time."""
    if mode not in ("constant", "reflect") or node.has(3):
        raise Unsupported("the amounts are computed while the model runs")
    sides = tf.transpose(tf.reshape(tf.cast(pads, tf.int32), [2, value.rank]))
    x = tf.convert_to_tensor(value.first())
    if mode == "reflect":
        return tf.pad(x, sides, "REFLECT")
    return tf.pad(x, sides, constant_values=tf.cast(tf.reshape(filling, []), x.dtype))


@operator("ReverseSequence")
def _reverse_sequence(node: Node) -> Value:
    batch, time = node.attribute("batch_axis", 1), node.attribute("time_axis", 0)
    return Value(tf.reverse_sequence(node.first(), tf.cast(node.first(1), tf.int32), seq_axis=time, batch_axis=batch))


@operator("Trilu")
def _triangle(node: Node) -> Value:
    value = node.value()
    x = tf.convert_to_tensor(value.first())
    k = int(node.constant(1, "diagonal").reshape(())) if node.has(1) else 0
    rows, columns = value.shape[-2:]
    if rows is None or columns is None:
        distance: Any = tf.range(tf.shape(x)[-1]) - tf.expand_dims(tf.range(tf.shape(x)[-2]), 1)
    else:
        distance = np.arange(columns) - np.arange(rows)[:, None]
    mask = distance >= k if node.attribute("upper", 1) else distance <= k
    return Value(tf.where(mask, x, tf.zeros_like(x)))

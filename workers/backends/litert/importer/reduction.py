"""Operators over whole dimensions: sums, means, extremes, positions of extremes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from workers.backends.litert.importer.node import Node, operator
from workers.backends.litert.importer.value import Value, place


def _l2(x: Any, axes: list[int], keep: bool) -> Any:
    return tf.sqrt(tf.reduce_sum(tf.square(x), axes, keep))


def _log_sum_exp(x: Any, axes: list[int], keep: bool) -> Any:
    most = tf.reduce_max(x, axes, True)
    most = tf.where(tf.equal(tf.abs(most), float("inf")), tf.zeros_like(most), most)
    found = tf.math.log(tf.reduce_sum(tf.exp(x - most), axes, True)) + most
    return found if keep else tf.squeeze(found, axes)


def _l1(x: Any, axes: list[int], keep: bool) -> Any:
    return tf.reduce_sum(tf.abs(x), axes, keep)


def _log_sum(x: Any, axes: list[int], keep: bool) -> Any:
    return tf.math.log(tf.reduce_sum(x, axes, keep))


def _sum_square(x: Any, axes: list[int], keep: bool) -> Any:
    return tf.reduce_sum(tf.square(x), axes, keep)


def _extreme(of_numbers: Callable[..., Any], of_truths: Callable[..., Any]) -> Callable[..., Any]:
    def found(x: Any, axes: list[int], keep: bool) -> Any:
        return (of_truths if x.dtype == tf.bool else of_numbers)(x, axes, keep)

    return found


_REDUCE: dict[str, Callable[[Any, list[int], bool], Any]] = {
    "ReduceL1": _l1,
    "ReduceL2": _l2,
    "ReduceLogSum": _log_sum,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _extreme(tf.reduce_max, tf.reduce_any),
    "ReduceMean": tf.reduce_mean,
    "ReduceMin": _extreme(tf.reduce_min, tf.reduce_all),
    "ReduceProd": tf.reduce_prod,
    "ReduceSum": tf.reduce_sum,
    "ReduceSumSquare": _sum_square,
}


@operator(*_REDUCE)
def _reduce(node: Node) -> Value:
    value = node.value()
    axes = node.listed("axes", 1, [])
    if not axes:
        if node.attribute("noop_with_empty_axes", 0):
            # Only the part that works on each element is left.
            alone = {"ReduceL1": tf.abs, "ReduceL2": tf.abs, "ReduceLogSum": tf.math.log, "ReduceSumSquare": tf.square}
            return Value(alone.get(node.type, tf.identity)(tf.convert_to_tensor(value.first())))
        axes = list(range(value.rank))
    return reduced(value, axes, bool(node.attribute("keepdims", 1)), _REDUCE[node.type])


def reduced(value: Value, axes: list[int], keep: bool, function: Callable[[Any, list[int], bool], Any]) -> Value:
    """A function over dimensions, numbered in ONNX's order."""
    axes = sorted(axis + value.rank if axis < 0 else axis for axis in axes)
    left = value.rank - len(axes)
    # Without channels, or with nothing beside them, both orders are one.
    either = keep or 1 in axes or left <= 2
    if value.is_last and either and (keep or 0 not in axes or left <= 1):
        places = [place(axis, value.rank, True) for axis in axes]
        return Value(function(tf.convert_to_tensor(value.last()), places, keep), last=keep)
    return Value(function(tf.convert_to_tensor(value.first()), axes, keep))


@operator("ArgMax", "ArgMin")
def _arg(node: Node) -> Value:
    x = tf.convert_to_tensor(node.first())
    axis = place(node.attribute("axis", 0), node.value().rank, False)
    find = tf.argmax if node.type == "ArgMax" else tf.argmin
    if node.attribute("select_last_index", 0):
        found = tf.cast(tf.shape(x)[axis], tf.int64) - 1 - find(tf.reverse(x, [axis]), axis)
    else:
        found = find(x, axis)
    return Value(tf.expand_dims(found, axis) if node.attribute("keepdims", 1) else found)


@operator("CumSum")
def _cumulative(node: Node) -> Value:
    axis = int(node.constant(1, "axis").reshape(()))
    exclusive, reverse = bool(node.attribute("exclusive", 0)), bool(node.attribute("reverse", 0))
    return Value(tf.cumsum(node.first(), axis, exclusive=exclusive, reverse=reverse))

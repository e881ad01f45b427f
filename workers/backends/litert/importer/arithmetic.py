"""Operators on one element each: arithmetic, comparison, logic, rounding, trigonometry."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.value import Value, aligned

_AXES_SINCE = 7
"""Operator sets before it align the second input at an attribute 'axis' instead of at the end."""

_NARROW = {
    tf.int8: tf.int32,
    tf.uint8: tf.int32,
    tf.int16: tf.int32,
    tf.uint16: tf.int32,
    tf.uint32: tf.int64,
}


def each(node: Node, function: Callable[[Any], Any]) -> Value:
    """A function of every element of the first input."""
    value = node.value()
    if value.is_last:
        return Value(function(value.last()), last=True)
    return Value(function(value.first()))


def combined(node: Node, function: Callable[..., Any]) -> Value:
    """A function of all inputs' elements, broadcast against each other."""
    tensors, last = aligned(_of_old(node))
    kinds = [value.dtype for value in node.values()]
    tensors = [tf.convert_to_tensor(one, kind) for one, kind in zip(tensors, kinds, strict=True)]
    return Value(function(*tensors), last)


def _widely(function: Callable[..., Any]) -> Callable[..., Any]:
    """In 32 bits where the kernels have no such narrow integers."""

    def wide(*tensors: Any) -> Any:
        kind = tf.as_dtype(tensors[0].dtype)
        if kind not in _NARROW:
            return function(*tensors)
        found = function(*[tf.cast(one, _NARROW[kind]) for one in tensors])
        return found if found.dtype == tf.bool else tf.cast(found, kind)

    return wide


def folded(node: Node, function: Callable[[Any, Any], Any]) -> Value:
    """A function of two, over any number of inputs."""

    @_widely
    def over(*tensors: Any) -> Any:
        found = tensors[0]
        for one in tensors[1:]:
            found = function(found, one)
        return found

    return combined(node, over)


def _of_old(node: Node) -> list[Value]:
    values = node.values()
    axis = node.attribute("axis")
    if node.version >= _AXES_SINCE or axis is None or len(values) != 2 or values[1].rank == 0:
        return values
    one, other = values
    axis = axis + one.rank if axis < 0 else axis
    wide = tf.reshape(other.first(), [*other.shape, *[1] * (one.rank - axis - other.rank)])
    return [one, Value(wide)]


def _divide(a: Any, b: Any) -> Any:
    if a.dtype.is_floating:
        return tf.divide(a, b)
    if a.dtype.is_unsigned:
        return tf.math.floordiv(a, b)
    # Integers are rounded towards zero.
    quotient = tf.math.floordiv(tf.abs(a), tf.abs(b))
    return quotient * tf.sign(a) * tf.sign(b)


def _power(a: Any, b: Any) -> Any:
    if a.dtype.is_floating:
        return tf.pow(a, tf.cast(b, a.dtype))
    if b.dtype.is_floating:
        return tf.cast(tf.pow(tf.cast(a, tf.float32), b), a.dtype)
    return tf.pow(a, tf.cast(b, a.dtype))


@operator("Pow")
def _pow(node: Node) -> Value:
    if node.value(1).constant and node.value(1).first().size == 1 and node.value(0).dtype.kind == "f":
        exponent = float(node.value(1).first().reshape(()))
        simple = {1.0: tf.identity, 2.0: tf.square, 0.5: tf.sqrt, -0.5: tf.math.rsqrt, 3.0: lambda x: x * x * x}
        if exponent in simple and node.value(1).rank <= node.value(0).rank:
            return each(node, simple[exponent])
    return combined(node, _power)


@operator("Mod")
def _mod(node: Node) -> Value:
    if not node.attribute("fmod", 0):
        return combined(node, tf.math.floormod)

    def remainder(a: Any, b: Any) -> Any:
        """The sign of the dividend, as C's fmod."""
        return tf.sign(a) * tf.math.floormod(tf.abs(a), tf.abs(b))

    return combined(node, remainder)


@operator("Sum", "Add")
def _add(node: Node) -> Value:
    return folded(node, tf.add)


@operator("Mean")
def _mean(node: Node) -> Value:
    count = len(node.inputs)
    return combined(node, lambda *tensors: tf.add_n(_broadcast(tensors)) / count)


def _broadcast(tensors: tuple[Any, ...]) -> list[Any]:
    whole = tensors[0]
    for one in tensors[1:]:
        whole = whole + tf.zeros_like(one)
    return [one + tf.zeros_like(whole) for one in tensors]


@operator("Max")
def _max(node: Node) -> Value:
    return folded(node, tf.maximum)


@operator("Min")
def _min(node: Node) -> Value:
    return folded(node, tf.minimum)


@operator("Clip")
def _clip(node: Node) -> Value:
    low, high = node.attribute("min"), node.attribute("max")
    low = node.first(1) if low is None and node.has(1) else low
    high = node.first(2) if high is None and node.has(2) else high
    kind = node.value().dtype

    def clip(x: Any) -> Any:
        if _is(low, 0) and _is(high, 6):
            return tf.nn.relu6(x)
        if low is not None:
            x = tf.nn.relu(x) if _is(low, 0) and kind.kind == "f" else tf.maximum(x, tf.cast(low, x.dtype))
        return x if high is None else tf.minimum(x, tf.cast(high, x.dtype))

    return each(node, _widely(clip))


def _is(bound: Any, number: float) -> bool:
    known = bound is not None and isinstance(bound, (int, float, np.ndarray))
    return known and np.size(bound) == 1 and float(np.reshape(bound, ())) == number


@operator("Where")
def _where(node: Node) -> Value:
    tensors, last = aligned(node.values())
    kind = node.value(1).dtype
    return Value(tf.where(tensors[0], *[tf.convert_to_tensor(one, kind) for one in tensors[1:]]), last)


@operator("BitShift")
def _shift(node: Node) -> Value:
    left = node.attribute("direction") == "LEFT"
    return combined(node, tf.bitwise.left_shift if left else tf.bitwise.right_shift)


@operator("IsInf")
def _is_inf(node: Node) -> Value:
    up, down = node.attribute("detect_positive", 1), node.attribute("detect_negative", 1)

    def found(x: Any) -> Any:
        most = np.finfo(np.float32).max  # the converter takes a comparison with infinity for one that never holds
        if up and down:
            return tf.greater(tf.abs(x), most)
        return tf.greater(x, most) if up else tf.less(x, -most) if down else tf.zeros_like(x, tf.bool)

    return each(node, found)


def _erf(x: Any) -> Any:
    """Abramowitz and Stegun, Handbook of Mathematical Functions, 7.1.26: error at most 1.5e-7."""
    t = 1.0 / (1.0 + 0.3275911 * tf.abs(x))
    series = t * (0.254829592 + t * (-0.284496736 + t * (1.421413741 + t * (-1.453152027 + t * 1.061405429))))
    return tf.sign(x) * (1.0 - series * tf.exp(-tf.square(x)))


def _round(x: Any) -> Any:
    return tf.round(x)


def _unchanged(x: Any) -> Any:
    return x if isinstance(x, np.ndarray) else tf.identity(x)


_EACH: dict[str, Callable[[Any], Any]] = {
    "Abs": tf.abs,
    "Acos": lambda x: tf.atan2(tf.sqrt(1.0 - tf.square(x)), x),
    "Acosh": lambda x: tf.math.log(x + tf.sqrt(tf.square(x) - 1.0)),
    "Asin": lambda x: tf.atan2(x, tf.sqrt(1.0 - tf.square(x))),
    "Asinh": lambda x: tf.sign(x) * tf.math.log(tf.abs(x) + tf.sqrt(tf.square(x) + 1.0)),
    "Atan": lambda x: tf.atan2(x, tf.ones_like(x)),
    "Atanh": lambda x: 0.5 * tf.math.log((1.0 + x) / (1.0 - x)),
    "BitwiseNot": tf.bitwise.invert,
    "Ceil": tf.math.ceil,
    "Cos": tf.cos,
    "Cosh": lambda x: 0.5 * (tf.exp(x) + tf.exp(-x)),
    "Erf": _erf,
    "Exp": tf.exp,
    "Floor": tf.floor,
    "IsNaN": lambda x: tf.not_equal(x, x),
    "Log": tf.math.log,
    "Neg": tf.negative,
    "Not": tf.logical_not,
    "Reciprocal": lambda x: 1.0 / x,
    "Round": _round,
    "Sigmoid": tf.sigmoid,
    "Sign": tf.sign,
    "Sin": tf.sin,
    "Sinh": lambda x: 0.5 * (tf.exp(x) - tf.exp(-x)),
    "Sqrt": tf.sqrt,
    "Tan": lambda x: tf.sin(x) / tf.cos(x),
    "Tanh": tf.tanh,
}

_COMBINED: dict[str, Callable[[Any, Any], Any]] = {
    "And": tf.logical_and,
    "BitwiseAnd": tf.bitwise.bitwise_and,
    "BitwiseOr": tf.bitwise.bitwise_or,
    "BitwiseXor": tf.bitwise.bitwise_xor,
    "Div": _divide,
    "Equal": tf.equal,
    "Greater": tf.greater,
    "GreaterOrEqual": tf.greater_equal,
    "Less": tf.less,
    "LessOrEqual": tf.less_equal,
    "Mul": tf.multiply,
    "Or": tf.logical_or,
    "Sub": tf.subtract,
    "Xor": tf.not_equal,
}


@operator(*_EACH)
def _each(node: Node) -> Value:
    return each(node, _widely(_EACH[node.type]))


@operator(*_COMBINED)
def _two(node: Node) -> Value:
    return combined(node, _widely(_COMBINED[node.type]))


@operator("Identity", "Dropout")
def _identity(node: Node) -> Value:
    if node.type == "Dropout" and node.has(2) and bool(node.constant(2, "training mode")):
        raise Unsupported("it trains")
    return each(node, _unchanged)

"""Constants, casts, and what a tensor's shape says."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import tensorflow as tf

from workers.backends.litert.importer.arithmetic import each
from workers.backends.litert.importer.node import Node, Unsupported, operator
from workers.backends.litert.importer.translate import array, element
from workers.backends.litert.importer.value import Value


@operator("Constant")
def _constant(node: Node) -> Value:
    if (tensor := node.attribute("value")) is not None:
        return Value(array(tensor))
    for name, kind in (("float", np.float32), ("floats", np.float32), ("int", np.int64), ("ints", np.int64)):
        if (found := node.attribute(f"value_{name}")) is not None:
            return Value(np.asarray(found, kind))
    raise Unsupported("a constant that is neither numbers nor truth values")


@operator("ConstantOfShape")
def _filled(node: Node) -> Value:
    tensor = node.attribute("value")
    value = np.zeros(1, np.float32) if tensor is None else array(tensor)
    shape = node.first()
    if isinstance(shape, np.ndarray):
        return Value(np.full(shape.astype(np.int64), value.reshape(-1)[0]))
    return Value(tf.fill(tf.cast(shape, tf.int32), value.reshape(-1)[0]))


@operator("EyeLike")
def _eye(node: Node) -> Value:
    rows, columns = node.value().shape
    if rows is None or columns is None:
        raise Unsupported("its size is not known")
    kind = element(node.attribute("dtype", onnx.helper.np_dtype_to_tensor_dtype(node.value().dtype)))
    return Value(np.eye(rows, columns, node.attribute("k", 0), kind))


@operator("Range")
def _range(node: Node) -> Value:
    start, limit, delta = (tf.convert_to_tensor(node.first(index)) for index in range(3))
    kind = start.dtype
    if kind in (tf.int64, tf.int16):  # the kernel counts in 32 bits
        start, limit, delta = (tf.cast(one, tf.int32) for one in (start, limit, delta))
    return Value(tf.cast(tf.range(start, limit, delta), kind))


@operator("Shape")
def _shape(node: Node) -> Value:
    dims = node.value().shape
    start, end, _ = slice(node.attribute("start", 0), node.attribute("end")).indices(len(dims))
    dims = dims[start:end]
    if None not in dims:
        return Value(np.asarray(dims, np.int64))
    return Value(tf.cast(tf.shape(node.first())[start:end], tf.int64))


@operator("Size")
def _size(node: Node) -> Value:
    dims = node.value().shape
    if None not in dims:
        return Value(np.asarray(np.prod(dims, dtype=np.int64), np.int64))
    return Value(tf.cast(tf.size(node.first()), tf.int64))


@operator("Cast")
def _cast(node: Node) -> Value:
    kind = element(node.attribute("to"))
    return each(node, lambda x: _converted(x, kind))


@operator("CastLike")
def _cast_like(node: Node) -> Value:
    kind = node.value(1).dtype
    return each(node, lambda x: _converted(x, kind))


def _converted(x: Any, kind: np.dtype[Any]) -> Any:
    x = tf.convert_to_tensor(x)
    if x.dtype == kind.name:
        return tf.identity(x)
    if kind.name == "bool":
        return tf.not_equal(x, tf.zeros_like(x))
    return tf.cast(x, kind.name)

"""Products of matrices."""

from __future__ import annotations

from typing import Any

import tensorflow as tf

from workers.backends.litert.importer.node import Node, operator
from workers.backends.litert.importer.value import Value
from workers.backends.litert.importer.weights import weight


@operator("MatMul")
def _matmul(node: Node) -> Value:
    a, b = weight(node.first()), weight(node.first(1))
    return Value(product(a, b))


def product(a: Any, b: Any) -> Any:
    """As numpy.matmul: vectors are rows on the left and columns on the right."""
    left, right = a.shape.rank == 1, b.shape.rank == 1
    found = tf.matmul(tf.expand_dims(a, 0) if left else a, tf.expand_dims(b, 1) if right else b)
    if right:
        found = tf.squeeze(found, [-1])
    return tf.squeeze(found, [-1 if right else -2]) if left else found


@operator("com.microsoft.FusedMatMul")
def _fused(node: Node) -> Value:
    a, b = weight(node.first()), weight(node.first(1))
    found = tf.matmul(a, b, bool(node.attribute("transA", 0)), bool(node.attribute("transB", 0)))
    return Value(found * node.attribute("alpha", 1.0))


@operator("Gemm")
def _gemm(node: Node) -> Value:
    a, b = weight(node.first()), weight(node.first(1))
    found = tf.matmul(a, b, bool(node.attribute("transA", 0)), bool(node.attribute("transB", 0)))
    alpha, beta = node.attribute("alpha", 1.0), node.attribute("beta", 1.0)
    found = found if alpha == 1.0 else found * alpha
    if not node.has(2) or beta == 0.0:
        return Value(found)
    return Value(found + (node.first(2) if beta == 1.0 else node.first(2) * beta))


@operator("Einsum")
def _einsum(node: Node) -> Value:
    equation = node.attribute("equation").replace(" ", "")
    if "->" not in equation:
        letters = sorted(set(equation) - {",", "."})
        once = [one for one in letters if equation.count(one) == 1]
        equation += "->" + ("..." if "..." in equation else "") + "".join(once)
    return Value(tf.einsum(equation, *[weight(value.first()) for value in node.values()]))

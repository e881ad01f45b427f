"""What is known of numbers that are computed from shapes while some sizes are open: some of them, at least.

A reshape to (batch, 12, 64) whose batch is open is then still one to (-1, 12, 64), and the graph stays static behind
it, which TensorFlow Lite needs for most of its quick kernels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from workers.backends.litert.importer.node import Node
from workers.backends.litert.importer.value import Value

_MOST = 64


def partly(value: Value) -> list[int | None] | None:
    """A vector's (or a number's) elements, None for one that is open; None for anything else."""
    if value.known is not None:
        return value.known
    if value.constant and value.rank <= 1 and value.dtype.kind in "iu" and value.first().size <= _MOST:
        return [int(one) for one in np.atleast_1d(value.first())]
    if value.dtype.kind not in "iu" or value.rank > 1:
        return None
    length = value.shape[0] if value.rank else 1
    return None if length is None or length > _MOST else [None] * length


def note(node: Node, made: Any) -> None:
    """Write down what is known of a node's first output."""
    rule = _RULES.get(node.type)
    if rule is not None and made and made[0] is not None and not made[0].constant:
        made[0].known = rule(node)


def _shape(node: Node) -> list[int | None] | None:
    dims = node.value().shape
    start, end, _ = slice(node.attribute("start", 0), node.attribute("end")).indices(len(dims))
    return dims[start:end]


def _same(node: Node) -> list[int | None] | None:
    return partly(node.value())


def _gather(node: Node) -> list[int | None] | None:
    found, indices = partly(node.value()), node.value(1)
    if found is None or not indices.constant or node.value().rank != 1 or indices.rank > 1:
        return None
    return [found[int(index)] for index in np.atleast_1d(indices.first())]


def _slice(node: Node) -> list[int | None] | None:
    found = partly(node.value())
    starts, ends = node.listed_or_none("starts", 1), node.listed_or_none("ends", 2)
    if found is None or node.value().rank != 1 or not starts or not ends:
        return None
    steps = node.listed_or_none("steps", 4) or [1]
    return found[slice(starts[0], ends[0], steps[0])]


def _concat(node: Node) -> list[int | None] | None:
    parts = [partly(value) for value in node.values()]
    if any(part is None for part in parts) or any(value.rank != 1 for value in node.values()):
        return None
    return [one for part in parts if part is not None for one in part]


def _product(node: Node) -> list[int | None] | None:
    return _two(node, lambda a, b: a * b)


def _sum(node: Node) -> list[int | None] | None:
    return _two(node, lambda a, b: a + b)


def _difference(node: Node) -> list[int | None] | None:
    return _two(node, lambda a, b: a - b)


def _quotient(node: Node) -> list[int | None] | None:
    return _two(node, lambda a, b: int(a / b) if b else 0)


def _two(node: Node, function: Callable[[int, int], int]) -> list[int | None] | None:
    left, right = partly(node.value()), partly(node.value(1))
    if left is None or right is None or node.value().dtype.kind not in "iu":
        return None
    count = max(len(left), len(right))
    if len(left) not in (1, count) or len(right) not in (1, count):
        return None
    pairs = zip(left * count if len(left) == 1 else left, right * count if len(right) == 1 else right, strict=False)
    return [None if a is None or b is None else function(a, b) for a, b in pairs]


_RULES: dict[str, Callable[[Node], list[int | None] | None]] = {
    "Add": _sum,
    "Cast": _same,
    "Concat": _concat,
    "Div": _quotient,
    "Gather": _gather,
    "Identity": _same,
    "Mul": _product,
    "Shape": _shape,
    "Slice": _slice,
    "Squeeze": _same,
    "Sub": _difference,
    "Unsqueeze": _same,
}

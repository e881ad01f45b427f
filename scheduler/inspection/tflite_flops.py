"""Floating-point operations of one inference of a LiteRT model: 2 for each multiply-add."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

from scheduler.inspection.flatbuffer import Table
from scheduler.inspection.tflite_operators import BUILTIN


class Shaped(Protocol):
    """A tensor with its shape, dynamic sizes being 1."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes."""


_UNKNOWN = ("WHILE", "IF", "CALL", "LSTM", "RNN", "SVDF", "STABLEHLO", "DELEGATE")
"""Operators (parts of their names) whose work is not told by shapes alone."""


def flops(codes: Sequence[str], graphs: Sequence[Table], tensors: Sequence[Sequence[Shaped]]) -> int | None:
    """Of convolutions and matrix products in the first subgraph; None where another operator may hold some."""
    total = 0
    for node in graphs[0].tables(3):
        code = codes[node.number(0, "I")]
        if code not in BUILTIN or any(part in code for part in _UNKNOWN):
            return None
        if code not in _BUILTIN_WORK:
            continue
        inputs, outputs = node.numbers(1, "i"), node.numbers(2, "i")
        total += 2 * _BUILTIN_WORK[code]([tensors[0][index].shape for index in inputs], tensors[0][outputs[0]].shape)
    return total


Shapes = Sequence[tuple[int, ...]]


def _convolution(inputs: Shapes, output: tuple[int, ...]) -> int:
    return math.prod(output) * math.prod(inputs[1][1:])  # weights: out, height, width, in


def _depthwise(inputs: Shapes, output: tuple[int, ...]) -> int:
    return math.prod(output) * math.prod(inputs[1][1:-1])  # weights: 1, height, width, out


def _transposed(inputs: Shapes, _: tuple[int, ...]) -> int:
    return math.prod(inputs[2]) * math.prod(inputs[1][:-1])  # output's shape; weights: out, height, width, in; input


def _connected(inputs: Shapes, output: tuple[int, ...]) -> int:
    return math.prod(output) * inputs[1][-1]  # weights: out, in


def _product(inputs: Shapes, output: tuple[int, ...]) -> int:
    """Of (…, m, k) and (…, k, n), either of them transposed: k is what is left of the first without m."""
    left, rows = inputs[0][-2:], output[-2]
    return math.prod(output) * (left[1] if left[0] == rows else left[0])


def _volume(inputs: Shapes, output: tuple[int, ...]) -> int:
    return math.prod(output) * math.prod(inputs[1][:-1])  # weights: depth, height, width, in, out


_BUILTIN_WORK = {
    "CONV_2D": _convolution,
    "DEPTHWISE_CONV_2D": _depthwise,
    "TRANSPOSE_CONV": _transposed,
    "FULLY_CONNECTED": _connected,
    "BATCH_MATMUL": _product,
    "CONV_3D": _volume,
}

"""Floating-point operations of one inference of a Keras model: 2 for each multiply-add of convolutions and products."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from scheduler.inspection.keras_shapes import Layer, Shape, shape_of

_UNKNOWN = ("LSTM", "GRU", "RNN", "Bidirectional", "TimeDistributed", "Attention", "Einsum", "Dot", "Tensordot", "Cell")
"""Layers and operations (parts of their names) whose work is not told by one shape."""

Called = tuple[Layer, Sequence[Shape] | None]
"""A layer, and the shapes of what it is called with; None where they are not known."""


def flops(calls: Iterable[Called]) -> int | None:
    """Dynamic sizes count as 1. None where a layer's work, or its shapes, cannot be derived."""
    total = 0
    for layer, inputs in calls:
        kind = str(layer.get("class_name"))
        if any(part in kind for part in _UNKNOWN):
            return None
        if kind not in _WORK:
            continue
        output = shape_of(layer, inputs) if inputs else None
        if not inputs or output is None:
            return None
        try:
            total += 2 * _WORK[kind](layer["config"], *map(_sizes, (inputs[0], output)))
        except (KeyError, TypeError, ValueError, IndexError):
            return None
    return total


def _sizes(shape: Shape) -> list[int]:
    return [1 if size is None else size for size in shape]


def _channels(config: Any, shape: list[int]) -> int:
    return shape[1] if config.get("data_format") == "channels_first" else shape[-1]


def _kernel(config: Any, shape: list[int]) -> int:
    size = config["kernel_size"]
    return math.prod(size) if isinstance(size, list) else int(size) ** (len(shape) - 2)


def _convolution(config: Any, given: list[int], output: list[int]) -> int:
    return math.prod(output) * _kernel(config, given) * _channels(config, given) // int(config.get("groups") or 1)


def _transposed(config: Any, given: list[int], _: list[int]) -> int:
    return math.prod(given) * _kernel(config, given) * int(config["filters"])


def _depthwise(config: Any, given: list[int], output: list[int]) -> int:
    return math.prod(output) * _kernel(config, given)


def _separable(config: Any, given: list[int], output: list[int]) -> int:
    between = _channels(config, given) * int(config["depth_multiplier"])
    places = math.prod(output) // int(config["filters"])
    return places * between * _kernel(config, given) + math.prod(output) * between


def _dense(_: Any, given: list[int], output: list[int]) -> int:
    return math.prod(output) * given[-1]


_WORK: dict[str, Callable[[Any, list[int], list[int]], int]] = {
    "Dense": _dense,
    **{f"Conv{rank}D": _convolution for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": _transposed for rank in (1, 2, 3)},
    **{f"DepthwiseConv{rank}D": _depthwise for rank in (1, 2)},
    **{f"SeparableConv{rank}D": _separable for rank in (1, 2)},
    "Matmul": lambda _, given, output: math.prod(output) * given[-1],
}

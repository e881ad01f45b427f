"""Sliding windows: kernel, strides, dilations and padding of convolutions and pools, over one to three dimensions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workers.backends.litert.importer.node import Node
from workers.backends.litert.importer.shaping import padded
from workers.backends.litert.importer.value import Dims


@dataclass
class Window:
    """A node's window. ``pads`` are (before, after) per spatial dimension; ``same``: as TensorFlow pads by itself."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    pads: list[list[int]]
    beyond: list[int]
    """how far the last window of 'ceil_mode' reaches beyond the padding"""
    same: bool

    @property
    def padding(self) -> str:
        """TensorFlow's word for what is left to do after ``grown``."""
        return "SAME" if self.same else "VALID"

    def grown(self, x: Any, filling: float = 0.0) -> Any:
        """A tensor with channels last, padded, unless TensorFlow does it."""
        if self.same:
            return x
        sides = [[before, after + more] for (before, after), more in zip(self.pads, self.beyond, strict=True)]
        return padded(x, [[0, 0], *sides, [0, 0]], filling=filling)


def window(node: Node, kernel: list[int], dims: Dims) -> Window:
    """The window of a convolution or pool over spatial sizes ``dims``."""
    rank = len(kernel)
    strides = node.attribute("strides") or [1] * rank
    dilations = node.attribute("dilations") or [1] * rank
    reach = [(size - 1) * step + 1 for size, step in zip(kernel, dilations, strict=True)]
    auto = node.attribute("auto_pad", "NOTSET")
    flat = node.attribute("pads") or [0] * 2 * rank
    pads = [[flat[i], flat[i + rank]] for i in range(rank)]
    if auto == "VALID":
        pads = [[0, 0] for _ in range(rank)]
    usual = [_usual(size, long, step) for size, long, step in zip(dims, reach, strides, strict=True)]
    if auto == "SAME_UPPER" and None in usual:
        return Window(kernel, strides, dilations, pads, [0] * rank, same=True)
    if auto.startswith("SAME"):
        if None in usual:
            raise ValueError("SAME_LOWER over a size that is not known")
        pads = [list(pair) if auto == "SAME_UPPER" else list(reversed(pair)) for pair in usual if pair]
    beyond = [0] * rank
    if node.attribute("ceil_mode", 0):
        beyond = [_beyond(dims[i], reach[i], strides[i], pads[i]) for i in range(rank)]
    same = [list(pair) if pair else None for pair in usual] == pads and any(any(pair) for pair in pads)
    return Window(kernel, strides, dilations, pads, beyond, same and not any(beyond))


def _usual(size: int | None, reach: int, stride: int) -> tuple[int, int] | None:
    """What TensorFlow pads by 'SAME'; with stride 1 it does not depend on the size."""
    if size is None and stride > 1:
        return None
    whole = size if size is not None else reach
    total = max(0, (-(-whole // stride) - 1) * stride + reach - whole)
    return total // 2, total - total // 2


def _beyond(size: int | None, reach: int, stride: int, pads: list[int]) -> int:
    if size is None:
        if stride == 1:
            return 0
        raise ValueError("ceil_mode over a size that is not known")
    whole = size + sum(pads)
    count = -(-(whole - reach) // stride) + 1
    if (count - 1) * stride >= size + pads[0]:  # a window that begins in the padding after the data is left out
        count -= 1
    return max(0, (count - 1) * stride + reach - whole)

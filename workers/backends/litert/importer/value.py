"""Tensors on their way from ONNX to TensorFlow: ONNX's dimension order, or with the channels moved to the end.

TensorFlow Lite convolves with channels last only. What comes out of a convolution stays that way until an operator
needs ONNX's own order, so that a network of convolutions is transposed at its ends and nowhere between them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

Dims = list[int | None]


class Value:
    """One tensor: a NumPy array where it is known while converting, else a TensorFlow tensor."""

    def __init__(self, data: Any, last: bool = False) -> None:
        self._first = None if last else data
        self._last = data if last else None
        self.known: list[int | None] | None = None
        """of numbers computed from shapes: those that are known nevertheless (``known.partly``)"""

    @property
    def constant(self) -> bool:
        """Whether its elements are known."""
        return isinstance(self._held, np.ndarray)

    @property
    def is_last(self) -> bool:
        """Whether the channels are at the end as it stands."""
        return self._first is None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The element type."""
        held = self._held
        return held.dtype if isinstance(held, np.ndarray) else np.dtype(held.dtype.as_numpy_dtype)

    @property
    def rank(self) -> int:
        """The number of dimensions. Raises ValueError where it is not known."""
        rank = len(self._held.shape) if isinstance(self._held, np.ndarray) else self._held.shape.rank
        if rank is None:
            raise ValueError("the number of dimensions of an input is not known")
        return rank

    @property
    def shape(self) -> Dims:
        """Sizes in ONNX's order; None where one is not known."""
        dims = list(self._held.shape)
        return [dims[0], dims[-1], *dims[1:-1]] if self.is_last else dims

    @property
    def _held(self) -> Any:
        return self._last if self._first is None else self._first

    def first(self) -> Any:
        """In ONNX's order."""
        if self._first is None:
            self._first = _moved(self._last, [0, self.rank - 1, *range(1, self.rank - 1)])
        return self._first

    def last(self) -> Any:
        """With the channels at the end; of rank 3 or more."""
        if self._last is None:
            self._last = _moved(self._first, [0, *range(2, self.rank), 1])
        return self._last


def _moved(data: Any, order: list[int]) -> Any:
    if isinstance(data, np.ndarray):
        return data.transpose(order)
    dims = [data.shape[axis] for axis in order]
    if _same_bytes(list(data.shape), order):
        return tf.reshape(data, sizes(data, order, dims))
    return tf.transpose(data, order)


def _same_bytes(dims: Dims, order: Sequence[int]) -> bool:
    """Whether only dimensions of size 1 change their places."""
    real = [axis for axis in order if dims[axis] != 1]
    return real == sorted(real)


def sizes(data: Any, order: Sequence[int], dims: Dims) -> Any:
    """``dims`` for a reshape, where at most one may be -1; computed where more of them are not known."""
    if sum(dim is None for dim in dims) <= 1:
        return [-1 if dim is None else dim for dim in dims]
    return tf.gather(tf.shape(data), list(order))


def place(axis: int, rank: int, last: bool) -> int:
    """Where an axis of ONNX's order, possibly negative, lies in a tensor whose channels may be at the end."""
    axis = axis + rank if axis < 0 else axis
    if not last or axis == 0:
        return axis
    return rank - 1 if axis == 1 else axis - 1


def aligned(values: Sequence[Value]) -> tuple[list[Any], bool]:
    """The tensors in one order, ready to broadcast, and whether the channels are at the end in it."""
    rank = max(value.rank for value in values)
    last = rank > 2 and any(value.is_last and value.rank == rank for value in values)
    if not last:
        return [value.first() for value in values], False
    return [value.last() if value.rank == rank else _widened(value.first(), rank) for value in values], True


def _widened(data: Any, rank: int) -> Any:
    """A tensor of lower rank as one with channels at the end that broadcasts against them."""
    missing = rank - len(data.shape)
    if isinstance(data, np.ndarray):
        wide: Any = data.reshape((1,) * missing + data.shape)
    else:
        dims: Dims = [1] * missing + list(data.shape)
        wide = data
        for _ in range(missing if dims else 0):
            wide = tf.expand_dims(wide, 0)
    return Value(wide).last() if missing < rank else data

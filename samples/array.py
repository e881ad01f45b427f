"""One .npy member of the archive: its header checked, its values read piece by piece.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from enginehouse.datasets import shown
from enginehouse.errors import DatasetUnreadable
from samples.archive import Archive

Array = NDArray[Any]

_NUMBERS = "biufc"
_STRINGS = "SU"
_READERS = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
_LONGEST_HEADER = 10_000
_MOST_TURNED = 256 * 1024**2
"""Bytes of an array in Fortran order, which has to be loaded whole to give one sample."""
_PIECE = 4 * 1024**2


class StoredArray:
    """A .npy member. ``shape`` is the whole array's, ``dtype`` its type in this machine's byte order."""

    def __init__(self, archive: Archive, member: str, name: str) -> None:
        """``name``: what to call it. Raises DatasetUnreadable."""
        self.name = name
        self._archive, self._member = archive, member
        with archive.stream(member) as file:
            try:
                shape, turned, dtype = _READERS[npy.read_magic(file)](file, max_header_size=_LONGEST_HEADER)
                self._start = file.tell()
            except DatasetUnreadable:
                raise
            except Exception as error:  # noqa: BLE001 - the header is evaluated text, which fails in many ways
                raise self._wrong(f"has no readable header: {shown(str(error))}") from None
        if dtype.hasobject:
            raise self._wrong("holds pickled Python objects; reading them would run code, so the farm never does")
        if dtype.kind not in _NUMBERS + _STRINGS or dtype.subdtype is not None or not dtype.itemsize:
            raise self._wrong(f"has the element type {shown(str(dtype))}, not plain numbers")
        if any(length < 0 for length in shape):
            raise self._wrong(f"has the impossible shape {shape}")
        size, needed = archive.sizes[member], self._start + math.prod(shape) * dtype.itemsize
        if needed != size:
            raise self._wrong(f"has {size} bytes where its header needs {needed}")
        if turned and len(shape) > 1 and needed > _MOST_TURNED:
            raise DatasetUnreadable(
                f"array '{shown(name)}' is stored in Fortran order and has {size} bytes; "
                f"one sample of it can be read up to {_MOST_TURNED}",
                advice="Save numpy.ascontiguousarray(array).",
                array=shown(name),
            )
        self.shape: tuple[int, ...] = shape
        self.dtype = dtype.newbyteorder("=")
        self._stored = dtype
        self._turned = turned and len(shape) > 1

    @property
    def kind(self) -> str:
        """Name of the element type, as in a TensorSpec."""
        return "string" if self.dtype.kind in _STRINGS else self.dtype.name

    @property
    def nbytes(self) -> int:
        """Bytes of all values."""
        return math.prod(self.shape) * self.dtype.itemsize

    def whole(self) -> Array:
        """All values."""
        if self._turned:
            return self._in_order
        return self._values(self._archive.at(self._member, self._start, self.nbytes)).reshape(self.shape)

    def row(self, index: int) -> Array:
        """``whole()[index]``, and no more is read."""
        if self._turned:
            return np.array(self._in_order[index])
        each = math.prod(self.shape[1:]) * self.dtype.itemsize
        return self._values(self._archive.at(self._member, self._start + index * each, each)).reshape(self.shape[1:])

    def pieces(self) -> Iterator[Array]:
        """All values in order, flat, a few MiB at a time."""
        if self._turned:
            yield self._in_order.reshape(-1)
            return
        step = max(1, _PIECE // max(1, self.dtype.itemsize)) * self.dtype.itemsize
        for piece in self._archive.pieces(self._member, self._start, step):
            yield self._values(piece)

    @cached_property
    def _in_order(self) -> Array:
        data = self._archive.at(self._member, self._start, self.nbytes)
        return np.ascontiguousarray(self._values(data).reshape(self.shape, order="F"))

    def _values(self, data: bytes) -> Array:
        return np.frombuffer(data, self._stored).astype(self.dtype)

    def _wrong(self, what: str) -> DatasetUnreadable:
        return DatasetUnreadable(f"array '{shown(self.name)}' {what}", array=shown(self.name))

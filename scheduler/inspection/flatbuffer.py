"""Tables of a flatbuffer, read with every offset checked against the file: a wrong one is a ValueError, never a guess.

https://flatbuffers.dev/internals/
"""

from __future__ import annotations

import mmap
import struct
from collections.abc import Iterator
from dataclasses import dataclass

_MOST = 2_000_000
"""Entries of a vector of tables."""

Buffer = bytes | mmap.mmap


def root(data: Buffer) -> Table:
    """The first table."""
    return Table(data, _number(data, 0, "I"))


def _number(data: Buffer, at: int, kind: str) -> int:
    size = struct.calcsize(f"<{kind}")
    if not 0 <= at <= len(data) - size:
        raise ValueError("an offset points outside the file")
    value: int = struct.unpack_from(f"<{kind}", data, at)[0]
    return value


@dataclass(frozen=True)
class Table:
    """A table at its place. Fields go by their number in the schema; one that is not there has its default."""

    data: Buffer
    at: int

    def _place(self, field: int) -> int:
        """Where the field's value lies; 0 where there is none."""
        shape = self.at - _number(self.data, self.at, "i")
        entry = 4 + 2 * field
        if entry + 2 > _number(self.data, shape, "H"):
            return 0
        offset = _number(self.data, shape + entry, "H")
        return self.at + offset if offset else 0

    def _behind(self, place: int) -> int:
        return place + _number(self.data, place, "I")

    def number(self, field: int, kind: str, default: int = 0) -> int:
        """A number; ``kind`` as in ``struct``."""
        place = self._place(field)
        return _number(self.data, place, kind) if place else default

    def table(self, field: int) -> Table | None:
        """A table, or None."""
        place = self._place(field)
        return Table(self.data, self._behind(place)) if place else None

    def count(self, field: int) -> int:
        """Entries of a vector; 0 where there is none."""
        place = self._place(field)
        return _number(self.data, self._behind(place), "I") if place else 0

    def numbers(self, field: int, kind: str) -> tuple[int, ...]:
        """A vector of numbers."""
        place = self._place(field)
        if not place:
            return ()
        start, count = self._behind(place), self.count(field)
        if start + 4 + count * struct.calcsize(f"<{kind}") > len(self.data):
            raise ValueError("a vector reaches beyond the file")
        return struct.unpack_from(f"<{count}{kind}", self.data, start + 4)

    def tables(self, field: int) -> Iterator[Table]:
        """A vector of tables."""
        place = self._place(field)
        if not place:
            return
        start, count = self._behind(place), self.count(field)
        if count > _MOST or start + 4 + 4 * count > len(self.data):
            raise ValueError("a vector reaches beyond the file")
        for at in range(start + 4, start + 4 + 4 * count, 4):
            yield Table(self.data, self._behind(at))

    def text(self, field: int, most: int = 10_000) -> str:
        """A string; '' where there is none."""
        place = self._place(field)
        if not place:
            return ""
        start, count = self._behind(place), self.count(field)
        if count > most or start + 4 + count > len(self.data):
            raise ValueError("a string reaches beyond the file")
        return bytes(self.data[start + 4 : start + 4 + count]).decode("utf-8", "replace")

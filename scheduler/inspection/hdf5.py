"""The datasets of an HDF5 file, by their headers alone: path, shape, element type. Read without the HDF5 library.

Takes what h5py writes by default: superblock 0, groups with symbol tables, object headers of version 1.
"HDF5 File Format Specification Version 3.0", https://support.hdfgroup.org/documentation/hdf5/latest/_f_m_t3.html
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from enginehouse.errors import ExternalDataOutside
from scheduler.inspection.text import clean

SIGNATURE = b"\x89HDF\r\n\x1a\n"
FLOATING, FIXED = 1, 0

_DATASPACE, _LINKS, _DATATYPE, _LINK, _EXTERNAL, _CONTINUATION, _TABLE = 0x1, 0x2, 0x3, 0x6, 0x7, 0x10, 0x11
_SOFT_LINK = 2
_TYPED_LINK = 1 << 3
_MOST = 200_000
"""Objects and tree nodes that are looked at."""
_MOST_BYTES = 16 * 1024**2
"""Of one block."""

ReadAt = Callable[[int, int], bytes]
"""``read(offset, length)``: that many bytes, or fewer at the end of the file."""


@dataclass(frozen=True)
class Stored:
    """A dataset. ``kind``: the class of its element type, for example FLOATING."""

    path: str
    shape: tuple[int, ...]
    kind: int
    itemsize: int


def datasets(read: ReadAt) -> Iterator[Stored]:
    """Every dataset. Raises ValueError for what is not such a file, ExternalDataOutside for data in other files."""
    return _File(read).datasets()


class _File:
    def __init__(self, read: ReadAt) -> None:
        self._read = read
        self._left = _MOST

    def datasets(self) -> Iterator[Stored]:
        head = self._at(0, 96)
        if head[:8] != SIGNATURE or head[8] != 0 or head[13:15] != b"\x08\x08":
            raise ValueError("not an HDF5 file of the version that h5py writes")
        queue = [("", struct.unpack_from("<Q", head, 64)[0])]
        seen = set[int]()
        while queue:
            path, address = queue.pop()
            if address in seen:
                continue
            seen.add(address)
            messages = self._messages(address)
            if _EXTERNAL in messages or _points_away(messages.get(_LINK, b"")):
                raise ExternalDataOutside(f"the weights '{clean(path)}' lie in another file", weights=clean(path))
            if _LINKS in messages:
                raise ValueError("a group of the newer kind")
            if _TABLE in messages:
                tree, heap = struct.unpack_from("<QQ", messages[_TABLE])
                queue += [(f"{path}/{name}".lstrip("/"), child) for name, child in self._members(path, tree, heap)]
            elif _DATASPACE in messages and _DATATYPE in messages:
                kind = messages[_DATATYPE]
                size = struct.unpack_from("<I", kind, 4)[0]
                yield Stored(path, _shape(messages[_DATASPACE]), kind[0] & 15, size)

    def _at(self, offset: int, length: int) -> bytes:
        self._left -= 1
        if self._left < 0 or length > _MOST_BYTES:
            raise ValueError("too many or too large objects")
        data = self._read(offset, length)
        if len(data) < length:
            raise ValueError("an address points outside the file")
        return data

    def _messages(self, address: int) -> dict[int, bytes]:
        """The object header's messages by type; of several of one type the last."""
        version, _, size = struct.unpack("<BxHxxxxI", self._at(address, 12))
        if version != 1:
            raise ValueError("an object header of another version")
        found: dict[int, bytes] = {}
        blocks = [(address + 16, size)]
        while blocks:
            data = self._at(*blocks.pop())
            at = 0
            while at + 8 <= len(data):
                kind, length = struct.unpack_from("<HH", data, at)
                body = data[at + 8 : at + 8 + length]
                if kind == _CONTINUATION:
                    blocks.append(struct.unpack_from("<QQ", body))
                elif kind:
                    found[kind] = body
                at += 8 + length
        return found

    def _members(self, path: str, tree: int, heap: int) -> Iterator[tuple[str, int]]:
        """Name and object header of everything in a group."""
        signature, length, names = struct.unpack("<4s4xQ8xQ", self._at(heap, 32))
        if signature != b"HEAP":
            raise ValueError("a group without names")
        texts = self._at(names, length)
        nodes = [tree]
        while nodes:
            address = nodes.pop()
            signature, count = struct.unpack("<4sxxH", self._at(address, 8))
            if signature == b"TREE":
                children = self._at(address + 24, 16 * count)
                nodes += [struct.unpack_from("<Q", children, 16 * i + 8)[0] for i in range(count)]
                continue
            if signature != b"SNOD":
                raise ValueError("a group without members")
            entries = self._at(address + 8, 40 * count)
            for i in range(count):
                name, header, cache = struct.unpack_from("<QQI", entries, 40 * i)
                text = texts[name : texts.index(b"\0", name)].decode()
                if cache == _SOFT_LINK:
                    raise ExternalDataOutside(f"the weights '{clean(path)}/{clean(text)}' are a link")
                yield text, header


def _points_away(link: bytes) -> bool:
    """Whether a link message is of another type than a hard link."""
    return len(link) > 2 and bool(link[1] & _TYPED_LINK) and link[2] != 0


def _shape(space: bytes) -> tuple[int, ...]:
    version, rank = space[0], space[1]
    at = 8 if version == 1 else 4
    return struct.unpack_from(f"<{rank}Q", space, at)

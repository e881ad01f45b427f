"""A zip of local files that is never written down: it is made while it is read, from any place, as often as needed.

The same files give the same bytes: sorted names, no times, no packing. Every member has the 64-bit form
(APPNOTE.TXT 4.3.9, 4.3.14 and 4.5.3), so that there is one form for any size.
"""

from __future__ import annotations

import struct
import zlib
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path

from enginehouse.sources import BytesSource, FileSource, Source

_VERSION = 45  # the first that has the 64-bit form
_UTF8 = 1 << 11
_STORED = 0
_DAY = 1 << 5 | 1  # 1980-01-01, where the format's time begins
_MANY = 0xFFFF
_LARGE = 0xFFFFFFFF
_UNIX = 3 << 8
_MODE = 0o100644 << 16


class ZippedFiles:
    """A zip as a ``Source``. ``files``: name in the zip to a local file or to bytes.

    Reads every file once for its checksum. Raises OSError.
    """

    def __init__(self, path: str, files: Mapping[str, Path | bytes]) -> None:
        self.path = path
        self._parts: list[Source] = []
        central = bytearray()
        start = 0
        for name, content in sorted(files.items()):
            source = _source(name, content)
            checksum = 0
            for chunk in source.read(0, source.size):
                checksum = zlib.crc32(chunk, checksum)
            head = _local(source, checksum)
            central += _central(source, checksum, start)
            self._parts += [BytesSource(path="", data=head, size=len(head)), source]
            start += len(head) + source.size
        end = bytes(central) + _end(len(files), len(central), start)
        self._parts.append(BytesSource(path="", data=end, size=len(end)))
        self._starts = list(accumulate((part.size for part in self._parts), initial=0))
        self.size = self._starts.pop()

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """See Source. Raises OSError when a file has become shorter."""
        at, left = start, length
        number = bisect_right(self._starts, start) - 1
        while left:
            part, begin = self._parts[number], self._starts[number]
            count = min(left, begin + part.size - at)
            if count:
                yield from part.read(at - begin, count)
            at, left, number = at + count, left - count, number + 1


def _source(name: str, content: Path | bytes) -> Source:
    if isinstance(content, bytes):
        return BytesSource(path=name, data=content, size=len(content))
    with content.open("rb"):
        return FileSource(path=name, file=content, size=content.stat().st_size)


def _local(source: Source, checksum: int) -> bytes:
    name = source.path.encode()
    extra = struct.pack("<HHQQ", 1, 16, source.size, source.size)
    fixed = (_VERSION, _UTF8, _STORED, 0, _DAY, checksum, _LARGE, _LARGE, len(name), len(extra))
    return struct.pack("<4s5H3L2H", b"PK\3\4", *fixed) + name + extra


def _central(source: Source, checksum: int, start: int) -> bytes:
    name = source.path.encode()
    extra = struct.pack("<HHQQQ", 1, 24, source.size, source.size, start)
    fixed = (_UNIX | _VERSION, _VERSION, _UTF8, _STORED, 0, _DAY, checksum, _LARGE, _LARGE, len(name), len(extra))
    return struct.pack("<4s6H3L5H2L", b"PK\1\2", *fixed, 0, 0, 0, _MODE, _LARGE) + name + extra


def _end(count: int, size: int, start: int) -> bytes:
    """The end of the central directory: the 64-bit record, where it lies, and the old record that points on."""
    record = struct.pack("<4sQ2H2L4Q", b"PK\6\6", 44, _VERSION, _VERSION, 0, 0, count, count, size, start)
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, start + size, 1)
    return record + locator + struct.pack("<4s4H2LH", b"PK\5\6", 0, 0, _MANY, _MANY, _LARGE, _LARGE, 0)

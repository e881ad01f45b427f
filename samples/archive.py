"""The zip that a dataset is: its members are checked before anything is read, and nothing is ever unpacked to disk."""

from __future__ import annotations

import os
import stat
import struct
import threading
import weakref
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from enginehouse.dataset_files import check_name, is_litter
from enginehouse.datasets import shown
from enginehouse.errors import DatasetUnreadable, TooLarge

MOST_MEMBERS = 200_000
_LOCAL_HEADER = 30
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    NotImplementedError,
    EOFError,
    OSError,
    RuntimeError,
    ValueError,
    struct.error,
    zlib.error,
)
"""What zipfile raises for bytes that it cannot make sense of."""


class Archive:
    """A zip of plain files. ``sizes``: bytes of every member by name; folders and desktop litter are left out.

    ``by_numpy``: numpy.savez wrote it. Raises DatasetUnreadable (links, names that point outside, names twice,
    encryption, other packing than deflate), and TooLarge when the members unpack to more than ``max_bytes``.
    """

    def __init__(self, path: Path, max_bytes: int | None = None) -> None:
        self._handle = path.open("rb")
        weakref.finalize(self, self._handle.close)
        self._length = path.stat().st_size
        with _telling("the file is not a .npz file or a zip"):
            self._zip = zipfile.ZipFile(self._handle)
        self._members = self._checked(self._zip.infolist(), max_bytes)
        self._open: dict[str, IO[bytes]] = {}
        self._lock = threading.Lock()
        self.sizes = {name: member.file_size for name, member in self._members.items()}
        self.by_numpy = all(_by_numpy(member) for member in self._members.values())

    def stream(self, name: str) -> IO[bytes]:
        """A member's bytes from its beginning, unpacked. Its checksum is looked at when its end is read."""
        with _telling(f"'{shown(name)}' cannot be unpacked"):
            return self._zip.open(self._members[name])

    def pieces(self, name: str, start: int, most: int) -> Iterator[bytes]:
        """A member's bytes from ``start`` to its end, each piece of ``most`` bytes but the last."""
        left = self.sizes[name] - start
        with self.stream(name) as stream, _telling(f"'{shown(name)}' cannot be unpacked"):
            stream.seek(start)
            while left:
                piece = stream.read(min(most, left))
                if len(piece) < min(most, left):
                    raise EOFError("it ends too early")
                left -= len(piece)
                yield piece

    def whole(self, name: str, most: int) -> bytes:
        """All bytes of a member of at most ``most``."""
        if self.sizes[name] > most:
            raise DatasetUnreadable(
                f"'{shown(name)}' has {self.sizes[name]} bytes; the farm reads {most} of such a file"
            )
        return b"".join(self.pieces(name, 0, max(1, self.sizes[name])))

    def at(self, name: str, start: int, length: int) -> bytes:
        """Bytes from the middle of a member. Quick in any order where it is not packed, else in rising order."""
        with _telling(f"'{shown(name)}' cannot be unpacked"):
            if self._members[name].compress_type == zipfile.ZIP_STORED:
                data = os.pread(self._handle.fileno(), length, self._place(name) + start)
            else:
                with self._lock:
                    stream = self._open.get(name) or self._open.setdefault(name, self._zip.open(self._members[name]))
                    stream.seek(start)  # backwards it unpacks from the beginning again
                    data = stream.read(length)
            if len(data) < length:
                raise EOFError("it ends too early")
        return data

    def _place(self, name: str) -> int:
        """Where an unpacked member's bytes lie in the file."""
        offset = self._members[name].header_offset
        header = os.pread(self._handle.fileno(), _LOCAL_HEADER, offset)
        lengths: tuple[int, int] = struct.unpack("<26x2H", header)
        return offset + _LOCAL_HEADER + sum(lengths)

    def _checked(self, members: list[zipfile.ZipInfo], max_bytes: int | None) -> dict[str, zipfile.ZipInfo]:
        if len(members) > MOST_MEMBERS:
            raise DatasetUnreadable(f"the file has {len(members)} members; the farm reads {MOST_MEMBERS}")
        unpacked = sum(member.file_size for member in members)
        if max_bytes is not None and unpacked > max_bytes:
            raise TooLarge(f"the dataset unpacks to {unpacked} bytes; the farm takes {max_bytes}")
        found: dict[str, zipfile.ZipInfo] = {}
        for member in members:
            name = member.filename
            if member.is_dir() or is_litter(name):
                continue
            check_name(name)
            if name in found:
                raise DatasetUnreadable(f"there are two files '{shown(name)}'", file=shown(name))
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG):
                raise DatasetUnreadable(f"'{shown(name)}' is a link or device, not a plain file", file=shown(name))
            self._check_packing(member)
            found[name] = member
        return found

    def _check_packing(self, member: zipfile.ZipInfo) -> None:
        name = shown(member.filename)
        if member.flag_bits & 1:
            raise DatasetUnreadable(f"'{name}' is encrypted", file=name)
        if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise DatasetUnreadable(f"'{name}' is packed in another way than deflate", file=name)
        stored = member.compress_type == zipfile.ZIP_STORED
        if (stored and member.compress_size != member.file_size) or member.compress_size > self._length:
            raise DatasetUnreadable(f"'{name}' has another size than the zip says", file=name)


def _by_numpy(member: zipfile.ZipInfo) -> bool:
    """numpy.savez gives a member neither a date nor a file type, whereas zips of files on disk tell both."""
    return member.date_time == (1980, 1, 1, 0, 0, 0) and member.external_attr >> 16 == 0o600


@contextmanager
def _telling(what: str) -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        said = shown(str(error)) or type(error).__name__
        raise DatasetUnreadable(f"{what}: {said}") from None

"""The zip archive that torch writes: one folder of members, each read in bounds. Nothing is unpacked or unpickled."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from enginehouse.errors import ModelUnreadable, TooLarge
from scheduler.inspection.text import clean

_MOST_MEMBERS = 200_000
_MOST_TEXT = 512 * 1024**2
"""Bytes of text (JSON, code, pickles) that are read of one archive."""


class TorchArchive:
    """The members by their paths below the archive's folder: ``sizes``, and ``read`` for each."""

    def __init__(self, opened: zipfile.ZipFile) -> None:
        members = opened.infolist()
        if len(members) > _MOST_MEMBERS:
            raise ModelUnreadable(f"the archive has {len(members)} members; the farm reads {_MOST_MEMBERS}")
        # Torch's reader knows no letter case and takes the first of two: what is checked here must be what is loaded.
        if len({member.filename.lower() for member in members}) < len(members):
            raise ModelUnreadable("the archive has two members of the same name")
        self._opened = opened
        self._left = _MOST_TEXT
        first = members[0].filename if members else ""
        self._root = first.partition("/")[0] + "/" if "/" in first else ""
        inside = [member for member in members if member.filename.startswith(self._root)]
        if len(inside) < len(members):
            raise ModelUnreadable("the archive's members do not lie in one folder")
        self.sizes = {member.filename.removeprefix(self._root): member.file_size for member in inside}
        self._members = {member.filename.removeprefix(self._root): member for member in inside}

    def read(self, name: str) -> bytes:
        """A member's bytes. Raises ModelUnreadable where it is missing or broken, TooLarge beyond the bound."""
        with self.stream(name) as stream:
            data = stream.read(self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise TooLarge(f"the archive's graph and code have more than {_MOST_TEXT} bytes")
        return data

    def stream(self, name: str) -> IO[bytes]:
        """A member that is too large to be held. Raises as ``read`` does."""
        member = self._members.get(name)
        if member is None:
            raise ModelUnreadable(f"the archive has no '{clean(name)}'")
        if member.flag_bits & 1 or member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ModelUnreadable(f"'{clean(name)}' is encrypted or packed in a way that torch does not read")
        return self._opened.open(member)

    def text(self, name: str) -> str:
        """A member as UTF-8."""
        try:
            return self.read(name).decode()
        except UnicodeDecodeError:
            raise ModelUnreadable(f"'{clean(name)}' is not text") from None


@contextmanager
def open_archive(path: Path) -> Iterator[TorchArchive]:
    """Open it; what is wrong with the zip, or with what is read of it, becomes ModelUnreadable."""
    try:
        with zipfile.ZipFile(path) as opened:
            yield TorchArchive(opened)
    except (zipfile.BadZipFile, zipfile.LargeZipFile, zlib.error, EOFError, NotImplementedError) as error:
        raise ModelUnreadable(
            f"the archive is broken: {clean(str(error)) or type(error).__name__}",
            advice="Save or copy the model again and compare the files' sizes.",
        ) from None
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError, SyntaxError) as error:
        raise ModelUnreadable(
            f"the archive is not as torch writes it: {type(error).__name__} {clean(str(error))}".rstrip(),
            advice="Save the model again with the torch that made it.",
        ) from None

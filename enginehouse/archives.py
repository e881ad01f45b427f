"""A zip or tar that somebody sent: its members are checked before anything is read, and unpacked only where it is safe.

A tar is read from its beginning to its end, and no further than the bytes that its headers have promised so far.
"""

from __future__ import annotations

import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

from enginehouse.bundle import safe_path
from enginehouse.errors import ExternalDataOutside, ModelUnreadable, TooLarge

MOST_MEMBERS = 10_000
MOST_RATIO = 250
_FREE = 64 * 1024**2
"""Bytes that any archive may unpack to, however small it is."""
_CHUNK = 1024 * 1024
_BROKEN = (
    zipfile.BadZipFile,
    zipfile.LargeZipFile,
    tarfile.TarError,
    NotImplementedError,
    EOFError,
    OSError,
    RuntimeError,
    zlib.error,
)
"""What the two modules raise for bytes that they cannot make sense of."""


@dataclass(frozen=True)
class Member:
    """A file of an archive, to be read before the next one is asked for. ``size``: its bytes, as the archive says."""

    path: str
    size: int
    _stream: IO[bytes]

    def pieces(self) -> Iterator[bytes]:
        """Its bytes in pieces of at most 1 MiB. Raises ModelUnreadable when they are damaged, or fewer than said."""
        left = self.size
        while left:
            with _telling():
                piece = self._stream.read(min(_CHUNK, left))
                if not piece:
                    raise EOFError(f"'{self.path}' ends too early")
            left -= len(piece)
            yield piece

    def content(self) -> bytes:
        """All of its bytes."""
        return b"".join(self.pieces())


def is_archive(path: Path) -> bool:
    """Whether the file begins like a zip, a tar or a tar.gz."""
    with path.open("rb") as file:
        head = file.read(262)
    return head[:4] in (b"PK\3\4", b"PK\5\6") or head[:2] == b"\x1f\x8b" or head[257:262] == b"ustar"


def members(path: Path) -> Iterator[Member]:
    """Every file of the archive once, in its order; folders and hidden files are left out.

    Raises ExternalDataOutside (links, paths that leave the archive), TooLarge (too much for its size), and
    ModelUnreadable (broken, encrypted, a name twice).
    """
    with path.open("rb") as file, _telling():
        zipped = file.read(2) == b"PK"
        file.seek(0)
        yield from _checked(_zip(file) if zipped else _tar(file), path.stat().st_size)


def unpack(path: Path, folder: Path) -> None:
    """Write the archive's files to ``folder``, which is made. Raises what ``members`` raises."""
    folder.mkdir(parents=True)
    for member in members(path):
        target = folder / member.path
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("xb") as out:
            for piece in member.pieces():
                out.write(piece)


def _zip(file: IO[bytes]) -> Iterator[tuple[str, int, bool, IO[bytes] | None]]:
    """Name, bytes, whether it is a plain file, and its bytes; None for a folder."""
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            kind = stat.S_IFMT(info.external_attr >> 16)
            if info.is_dir():
                yield info.filename, 0, True, None
                continue
            if info.flag_bits & 1:
                raise zipfile.BadZipFile("it is encrypted")
            if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                raise zipfile.BadZipFile("it is packed in another way than deflate")
            with archive.open(info) as stream:
                yield info.filename, info.file_size, kind in (0, stat.S_IFREG), stream


def _tar(file: IO[bytes]) -> Iterator[tuple[str, int, bool, IO[bytes] | None]]:
    head = file.read(2)
    file.seek(0)
    with tarfile.open(fileobj=file, mode="r:gz" if head == b"\x1f\x8b" else "r:") as archive:
        while (info := archive.next()) is not None:
            plain = info.isreg() and not info.issparse()
            stream = archive.extractfile(info) if plain else None
            yield info.name, info.size, plain or info.isdir(), stream


def _checked(found: Iterator[tuple[str, int, bool, IO[bytes] | None]], packed: int) -> Iterator[Member]:
    most = _FREE + MOST_RATIO * packed
    total, seen = 0, set[str]()
    for count, (raw, size, plain, stream) in enumerate(found, 1):
        if count > MOST_MEMBERS:
            raise ModelUnreadable(f"the archive has more than {MOST_MEMBERS} members")
        total += size
        if total > most:
            raise TooLarge(
                f"the archive of {packed} bytes unpacks to more than {most}",
                advice="Push the folder itself, file by file.",
            )
        shown = "".join(char if char.isprintable() else "?" for char in raw[:200])
        name = str(PurePosixPath(raw.removeprefix("./")))
        try:
            safe_path(name if raw not in (".", "./") else "folder")
        except ValueError:
            raise ExternalDataOutside(
                f"the archive's member '{shown}' is not a plain path inside it",
                advice="Pack the folder again without '..' and absolute paths.",
            ) from None
        if not plain:
            raise ExternalDataOutside(
                f"the archive's member '{shown}' is a link or device, not a plain file",
                advice="Pack the folder again with the files that the links point to.",
            )
        if stream is None or any(part.startswith((".", "__MACOSX")) for part in PurePosixPath(name).parts):
            continue
        if name in seen:
            raise ModelUnreadable(f"the archive has two members '{shown}'")
        seen.add(name)
        yield Member(name, size, stream)


@contextmanager
def _telling() -> Iterator[None]:
    try:
        yield
    except _BROKEN as error:
        said = str(error) or type(error).__name__
        raise ModelUnreadable(
            f"the archive cannot be read: {said[:200]}", advice="Pack the folder again as .zip, .tar or .tar.gz."
        ) from None

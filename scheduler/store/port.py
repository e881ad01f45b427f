"""The artifact store port: what the farm asks of a place that holds bytes. LocalStore and S3Store keep it.

Objects are addressed by opaque keys. An object is immutable once it can be seen, and it can be seen only
when it is whole. Nothing here holds more than a few MiB of an object in memory.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, runtime_checkable
from urllib.parse import quote

from enginehouse.errors import StoreUnavailable
from enginehouse.views import PartUrl, PartView

MIB = 1024**2
CHUNK = MIB
"""Bytes in a chunk that ``open`` yields (the last may be shorter)."""

_SEGMENT = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]*")


class ObjectMissing(StoreUnavailable):
    """The registry knows an object that the store does not have."""

    title = "The artifact store lacks an object"
    advice = "The store has lost bytes: restore the object, or delete what refers to it and build it again."


@dataclass(frozen=True)
class Stored:
    """An object as the store lists it. ``modified``: when it was written, or its upload began, by the store's clock."""

    key: str
    size: int
    modified: datetime


@runtime_checkable
class ArtifactStore(Protocol):
    """A place for bytes. Any failure of the place itself is StoreUnavailable."""

    def put(self, key: str, chunks: Iterator[bytes], *, sha256: str | None = None) -> tuple[str, int]:
        """Store all chunks under ``key``; return their SHA-256 (hex) and size.

        With ``sha256``: DigestMismatch, and nothing stored, when the bytes are others.
        """
        ...

    def open(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end), clipped to the object as a slice is, in chunks of up to 1 MiB.

        The answer has ``close()``. ObjectMissing is raised by the call, not by the first chunk.
        """
        ...

    def size(self, key: str) -> int | None:
        """Bytes of the object, or None when there is none."""
        ...

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        ...

    def digest(self, key: str) -> str:
        """SHA-256 (hex) of the stored bytes, read back from the store."""
        ...

    def path(self, key: str) -> Path | None:
        """The object as a local file (only to be read), or None where the store is elsewhere."""
        ...

    def presign_get(self, key: str, filename: str, seconds: int) -> str | None:
        """An address that serves the object as a download named ``filename``; None: the API streams it."""
        ...

    def origins(self) -> tuple[str, ...]:
        """The origins (scheme, host, port) that its addresses for clients can have; none: they are the API's."""
        ...

    def start(self, key: str) -> str:
        """Begin an upload in parts; return its handle."""
        ...

    def part_url(self, key: str, handle: str, number: int, sha256: str, size: int, seconds: int) -> PartUrl | None:
        """Where to PUT part ``number``; None: PUT it to the API, which calls ``put_part``."""
        ...

    def put_part(
        self, key: str, handle: str, number: int, offset: int, size: int, sha256: str, chunks: Iterator[bytes]
    ) -> PartView:
        """Write a part at its offset. DigestMismatch, and no part, when size or SHA-256 are others."""
        ...

    def parts(self, key: str, handle: str) -> list[PartView]:
        """Parts that have arrived whole, by number. ``sha256`` is empty where the store does not keep it."""
        ...

    def finish(self, key: str, handle: str, size: int) -> None:
        """Make the object visible. UploadIncomplete when parts are missing or do not add up to ``size``.

        Finishing again what was finished before does nothing.
        """
        ...

    def abort(self, key: str, handle: str) -> None:
        """Forget the upload and its bytes, if it is there."""
        ...

    def stale(self, older_than: float) -> int:
        """Sweep what was started more than ``older_than`` seconds ago and never finished; return how many."""
        ...

    def listed(self, prefix: str) -> Iterator[Stored]:
        """Every whole object whose key begins with the segment ``prefix``, in no order; flat memory.

        What appears or goes meanwhile may be told of or not.
        """
        ...

    def check(self) -> None:
        """StoreUnavailable, with the reason, unless the store can take and give bytes."""
        ...


def safe_key(key: str) -> str:
    """The key itself when it is plain segments joined by '/', else ValueError (a bug of ours, not of a client)."""
    if not 0 < len(key) <= 512 or not all(_SEGMENT.fullmatch(segment) for segment in key.split("/")):
        raise ValueError(f"{key!r} is not a store key")
    return key


def content_disposition(filename: str) -> str:
    """The header value that makes a browser save under ``filename`` (RFC 6266), whatever is in it."""
    name = "".join(char for char in filename.replace("\\", "/").rsplit("/", 1)[-1] if char.isprintable())[:200]
    name = name.encode("utf-8", "ignore").decode() or "download"
    ascii_name = re.sub(r"[^A-Za-z0-9._ -]", "_", name)
    return f"attachment; filename=\"{ascii_name}\"; filename*=UTF-8''{quote(name, safe='')}"

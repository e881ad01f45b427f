"""What the API needs to hand a file out: where the bytes are and how to get them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from scheduler.farm import Farm
from scheduler.registry.tables import Blob

PRESIGNED_S = 3600


@dataclass(frozen=True)
class Served:
    """A file to be downloaded. ``url``: redirect there instead. ``open(start, end)`` gives the bytes [start, end)."""

    path: str
    size: int
    sha256: str
    url: str | None
    open: Callable[[int, int], Iterator[bytes]]


def serve_blob(farm: Farm, blob: Blob, path: str) -> Served:
    """A blob under a file's path."""
    return Served(
        path=path,
        size=blob.size,
        sha256=blob.sha256,
        url=farm.store.presign_get(blob.key, path, PRESIGNED_S),
        open=lambda start, end: farm.store.open(blob.key, start, end),
    )


def serve_bytes(content: bytes, sha256: str, path: str) -> Served:
    """Bytes that the registry holds itself."""
    return Served(path, len(content), sha256, None, lambda start, end: iter([content[start:end]]))

"""Files for the local store: written whole or not at all, closed to other users, read by ranges."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from enginehouse.errors import StoreUnavailable
from scheduler.store.port import CHUNK


class FileRange:
    """A byte range of an open file. Closes it at the end, by ``close()``, or when it is dropped unread."""

    def __init__(self, descriptor: int, start: int, end: int | None) -> None:
        self._descriptor = descriptor
        self._at = start
        self._end = end

    def __iter__(self) -> FileRange:
        return self

    def __next__(self) -> bytes:
        if self._descriptor >= 0:
            want = CHUNK if self._end is None else min(CHUNK, self._end - self._at)
            with disk():
                chunk = os.pread(self._descriptor, want, self._at) if want > 0 else b""
            if chunk:
                self._at += len(chunk)
                return chunk
            self.close()
        raise StopIteration

    def close(self) -> None:
        """Close the file."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


@contextmanager
def disk() -> Iterator[None]:
    """The operating system's refusals are the store's. A missing file is for the caller to name."""
    try:
        yield
    except FileNotFoundError:
        raise
    except OSError as error:
        raise StoreUnavailable(
            f"the local store failed: {error.strerror or error}",
            advice="Check that the store's disk is mounted, writable and not full.",
        ) from error


def make_folder(path: Path) -> None:
    """Make the folder and its parents, closed to other users."""
    if not path.is_dir():
        make_folder(path.parent)
        with suppress(FileExistsError):
            path.mkdir(mode=0o700)


def create(path: Path) -> int:
    """A new file's descriptor, for writing."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)


def write_at(descriptor: int, chunk: bytes, offset: int) -> None:
    """Write all of the chunk at this offset."""
    view = memoryview(chunk)
    while view:
        written = os.pwrite(descriptor, view, offset)
        view, offset = view[written:], offset + written


def record_whole(path: Path, content: bytes) -> None:
    """Write a small file so that it is there whole or not at all, even when this process is killed meanwhile."""
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = create(temporary)
    try:
        write_at(descriptor, content, 0)
    finally:
        os.close(descriptor)
    temporary.replace(path)


def reveal(temporary: Path, target: Path) -> None:
    """Rename a written and synced file to where it is read, durably."""
    make_folder(target.parent)
    temporary.replace(target)
    _sync_folder(target.parent)


def _sync_folder(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Inputs by their SHA-256, checked on the way in; the least recently used go when there are too many bytes."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterable
from pathlib import Path

from enginehouse.errors import StoreUnavailable


class InputCache:
    """A folder of files that are named by their content. Builds get copies: a build could change what it is given."""

    def __init__(self, folder: Path, most_bytes: int) -> None:
        self.folder = folder
        self.most_bytes = most_bytes
        self._lock = threading.Lock()
        folder.mkdir(parents=True, exist_ok=True)
        for leftover in folder.glob("*.part"):
            leftover.unlink(missing_ok=True)

    def place(self, sha256: str, size: int, target: Path, fetch: Callable[[], Iterable[bytes]]) -> bool:
        """Copy the file to ``target``, fetched first where it is not at hand. Returns whether it was.

        Raises StoreUnavailable when what was fetched is not what was named, and OSError.
        """
        target.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            kept = self.folder / sha256
            if kept.stat().st_size == size:
                _copy(kept, target)
                os.utime(kept)
                return True
        path = self._receive(sha256, size, fetch())
        try:
            _copy(path, target)
            path.replace(self.folder / sha256)
        finally:
            path.unlink(missing_ok=True)
        self._evict()
        return False

    def newest(self, most: int = 1000) -> list[str]:
        """SHA-256 of the files that were used last."""
        found = []
        for path in self.folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if path.suffix != ".part":
                    found.append((path.stat().st_mtime_ns, path.name))
        return [name for _, name in sorted(found, reverse=True)[:most]]

    def _receive(self, sha256: str, size: int, chunks: Iterable[bytes]) -> Path:
        digest = hashlib.sha256()
        handle, name = tempfile.mkstemp(suffix=".part", dir=self.folder)
        path = Path(name)
        try:
            received = 0
            with os.fdopen(handle, "wb") as file:
                for chunk in chunks:
                    received += len(chunk)
                    if received > size:
                        break
                    digest.update(chunk)
                    file.write(chunk)
            if received != size or digest.hexdigest() != sha256:
                raise StoreUnavailable(f"the input {sha256} came as other bytes ({received} of {size})", sha256=sha256)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return path

    def _evict(self) -> None:
        with self._lock:
            files = [(path.stat(), path) for path in self.folder.iterdir() if path.suffix != ".part"]
            total = sum(stat.st_size for stat, _ in files)
            for stat, path in sorted(files, key=lambda one: one[0].st_mtime):
                if total <= self.most_bytes:
                    break
                path.unlink(missing_ok=True)
                total -= stat.st_size


def _copy(source: Path, target: Path) -> None:
    """A copy of its own: shutil uses the kernel's fast ways where there are any."""
    shutil.copyfile(source, target)

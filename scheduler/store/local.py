"""The artifact store in a local folder.

``objects/KEY`` is an object; ``incoming/`` holds what is being written; ``uploads/HANDLE/`` an upload in parts:
its key, one data file in which every part lies at its offset, and one small record for each part that is whole.
An object appears by a rename within the file system, so nobody sees half of one.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from typing_extensions import override

from enginehouse.errors import DigestMismatch, NotFound, UploadIncomplete
from enginehouse.views import PartUrl, PartView
from scheduler.store.disk import FileRange, create, disk, make_folder, record_whole, reveal, write_at
from scheduler.store.port import ArtifactStore, ObjectMissing, Stored, safe_key

_GONE = "the upload is not open any more: start it again"
_HANDLE = re.compile(r"[0-9a-f]{32}")


class LocalStore(ArtifactStore):
    """Objects as files below ``root``, readable by this user only."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._objects = root / "objects"
        self._incoming = root / "incoming"
        self._uploads = root / "uploads"

    # --- whole objects -----------------------------------------------------------------------

    def put(self, key: str, chunks: Iterator[bytes], *, sha256: str | None = None) -> tuple[str, int]:
        """Store all chunks under ``key``; return their SHA-256 (hex) and size."""
        target = self._objects / safe_key(key)
        with disk():
            make_folder(self._incoming)
            temporary = self._incoming / secrets.token_hex(16)
            descriptor = create(temporary)
        try:
            digest, size = hashlib.sha256(), 0
            try:
                for chunk in chunks:
                    digest.update(chunk)
                    with disk():
                        write_at(descriptor, chunk, size)
                    size += len(chunk)
                if sha256 is not None and digest.hexdigest() != sha256:
                    raise DigestMismatch(_mismatch(sha256, digest.hexdigest()))
                with disk():
                    os.fsync(descriptor)
            finally:
                os.close(descriptor)
            with disk():
                reveal(temporary, target)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        return digest.hexdigest(), size

    def open(self, key: str, start: int = 0, end: int | None = None) -> Iterator[bytes]:
        """The bytes [start, end), clipped to the object, in chunks of up to 1 MiB."""
        try:
            with disk():
                descriptor = os.open(self._objects / safe_key(key), os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            raise ObjectMissing(f"object {key} is not in the store", key=key) from None
        return FileRange(descriptor, start, end)

    def size(self, key: str) -> int | None:
        """Bytes of the object, or None when there is none."""
        try:
            with disk():
                return (self._objects / safe_key(key)).stat().st_size
        except FileNotFoundError:
            return None

    def delete(self, key: str) -> None:
        """Remove the object, if it is there."""
        with disk(), suppress(FileNotFoundError):
            (self._objects / safe_key(key)).unlink()

    def digest(self, key: str) -> str:
        """SHA-256 (hex) of the stored bytes, read back from the disk."""
        digest = hashlib.sha256()
        for chunk in self.open(key):
            digest.update(chunk)
        return digest.hexdigest()

    def path(self, key: str) -> Path | None:
        """The object's file. It must only be read."""
        if self.size(key) is None:
            raise ObjectMissing(f"object {key} is not in the store", key=key)
        return self._objects / safe_key(key)

    @override
    def presign_get(self, key: str, filename: str, seconds: int) -> str | None:
        """None: the API streams the object."""
        return None

    def origins(self) -> tuple[str, ...]:
        """None: clients speak with the API alone."""
        return ()

    # --- uploads in parts --------------------------------------------------------------------

    def start(self, key: str) -> str:
        """Begin an upload in parts; return its handle."""
        handle = secrets.token_hex(16)
        folder = self._uploads / handle
        with disk():
            make_folder(folder / "parts")
            # Grows as parts come: preallocating would let anybody take a disk by declaring a size.
            os.close(create(folder / "data"))
            record_whole(folder / "key", safe_key(key).encode())
        return handle

    @override
    def part_url(self, key: str, handle: str, number: int, sha256: str, size: int, seconds: int) -> PartUrl | None:
        """None: the part is PUT to the API."""
        return None

    def put_part(
        self, key: str, handle: str, number: int, offset: int, size: int, sha256: str, chunks: Iterator[bytes]
    ) -> PartView:
        """Write a part at its offset of the upload's one file, and record it when it is whole."""
        folder = self._upload(key, handle)
        record = folder / "parts" / f"{number:05d}"
        try:
            with disk():
                descriptor = os.open(folder / "data", os.O_WRONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound(_GONE) from None
        try:
            with disk():
                record.unlink(missing_ok=True)  # from here on its bytes are overwritten
            digest, received = hashlib.sha256(), 0
            for chunk in chunks:
                if received + len(chunk) > size:
                    raise DigestMismatch(f"part {number} has more than the declared {size} bytes", part=number)
                digest.update(chunk)
                with self._writing(folder, descriptor):
                    write_at(descriptor, chunk, offset + received)
                received += len(chunk)
            if received != size:
                raise DigestMismatch(f"part {number} has {received} bytes of the declared {size}", part=number)
            if digest.hexdigest() != sha256:
                raise DigestMismatch(f"part {number}: {_mismatch(sha256, digest.hexdigest())}", part=number)
            # Not synced here: that costs more than the upload. A kill loses nothing; after a power cut a recorded part
            # may lack bytes, which the digest over the finished object tells.
            with disk():
                record_whole(record, json.dumps({"offset": offset, "size": size, "sha256": sha256}).encode())
        finally:
            os.close(descriptor)
        return PartView(number=number, size=size, sha256=sha256)

    def parts(self, key: str, handle: str) -> list[PartView]:
        """Parts that have arrived whole, by number."""
        return [view for view, _ in self._parts(self._upload(key, handle))]

    def finish(self, key: str, handle: str, size: int) -> None:
        """Make the object visible by renaming the upload's file: no byte is copied."""
        try:
            folder = self._upload(key, handle)
            with disk():
                descriptor = os.open(folder / "data", os.O_WRONLY | os.O_CLOEXEC)
        except (NotFound, FileNotFoundError):
            if self.size(key) == size:  # finished before, by a call whose answer was lost
                self.abort(key, handle)
                return
            raise NotFound(_GONE) from None
        try:
            with disk():
                fcntl.flock(descriptor, fcntl.LOCK_EX)  # see _writing
            self._check_whole(folder, size)
            with disk():
                os.ftruncate(descriptor, size)  # a refused part may have written beyond the end
                os.fsync(descriptor)
                reveal(folder / "data", self._objects / safe_key(key))
        finally:
            os.close(descriptor)
        shutil.rmtree(folder, ignore_errors=True)

    def abort(self, key: str, handle: str) -> None:
        """Forget the upload and its bytes, if it is there."""
        with suppress(NotFound):
            shutil.rmtree(self._upload(key, handle), ignore_errors=True)

    def stale(self, older_than: float) -> int:
        """Sweep what was started more than ``older_than`` seconds ago and never finished; return how many."""
        oldest, swept = time.time() - older_than, 0
        for folder in (self._uploads, self._incoming):
            with disk():
                found = list(folder.iterdir()) if folder.is_dir() else []
            for entry in found:
                # A folder's own time changes with its entries; the key is written once, at the start.
                with suppress(FileNotFoundError):
                    stamp = entry / "key" if entry.is_dir() and (entry / "key").exists() else entry
                    if stamp.stat().st_mtime < oldest:
                        shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
                        swept += 1
        return swept

    def listed(self, prefix: str) -> Iterator[Stored]:
        """Every object below a folder."""
        for folder, _, names in os.walk(self._objects / safe_key(prefix)):
            for name in names:
                path = Path(folder) / name
                try:
                    with disk():
                        found = path.stat()
                except FileNotFoundError:  # deleted since
                    continue
                key = path.relative_to(self._objects).as_posix()
                yield Stored(key, found.st_size, datetime.fromtimestamp(found.st_mtime, UTC))

    def check(self) -> None:
        """StoreUnavailable, with the reason, unless a file can be written here."""
        with disk():
            make_folder(self._incoming)
            probe = self._incoming / f"check-{secrets.token_hex(8)}"
            os.close(create(probe))
            probe.unlink()

    def _upload(self, key: str, handle: str) -> Path:
        """The upload's folder. NotFound when it is unknown or of another key."""
        folder = self._uploads / handle
        known = _HANDLE.fullmatch(handle) is not None
        try:
            with disk():
                if known and (folder / "key").read_bytes() == safe_key(key).encode():
                    return folder
        except FileNotFoundError:
            pass
        raise NotFound(_GONE)

    @staticmethod
    @contextmanager
    def _writing(folder: Path, descriptor: int) -> Iterator[None]:
        """Hold off ``finish``, and refuse when it came first.

        Without this a part's late sender could go on writing into an object that others read.
        """
        try:
            with disk():
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                try:
                    if os.fstat(descriptor).st_ino != (folder / "data").stat().st_ino:
                        raise NotFound(_GONE)
                    yield
                finally:
                    fcntl.flock(descriptor, fcntl.LOCK_UN)
        except FileNotFoundError:
            raise NotFound(_GONE) from None

    def _check_whole(self, folder: Path, size: int) -> None:
        end = 0
        for view, offset in sorted(self._parts(folder), key=lambda part: part[1]):
            if offset != end:
                raise UploadIncomplete(f"bytes {end} to {offset} of {size} are missing, before part {view.number}")
            end += view.size
        if end != size:
            raise UploadIncomplete(f"{end} of {size} bytes have arrived", received=end, size=size)

    @staticmethod
    def _parts(folder: Path) -> list[tuple[PartView, int]]:
        """Recorded parts by number, each with its offset."""
        found = []
        with disk():
            for record in sorted((folder / "parts").iterdir()):
                if not record.name.isdigit():
                    continue
                with suppress(ValueError):  # emptied by a power cut: as if the part had not come
                    value = json.loads(record.read_bytes())
                    view = PartView(number=int(record.name), size=value["size"], sha256=value["sha256"])
                    found.append((view, int(value["offset"])))
        return found


def _mismatch(declared: str, received: str) -> str:
    return f"declared SHA-256 {declared}, received {received}"

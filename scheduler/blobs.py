"""Blobs: bytes in the store under their SHA-256. Each is stored once, whoever sends it.

Whoever is told that the farm has some bytes, or makes something of them, takes the mark of collection off them in the
registry's writer; see ``scheduler.retention.collect`` for what the mark is.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from sqlalchemy import update
from sqlalchemy.orm import Session

from enginehouse.errors import DigestMismatch, RequestError, StoreUnavailable, TooLarge
from scheduler import ids
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Blob, Holding

PREFIX = "blobs"
"""The segment that every key of a blob begins with."""


def new_key() -> str:
    """A place in the store that nobody has used. Objects are found through the registry, never by their key's form."""
    name = ids.new("blob")
    return f"{PREFIX}/{name[-2:]}/{name}"


def receive(
    farm: Farm, stream: Iterator[bytes], declared_sha256: str | None, limit: int, holder: str | None = None
) -> tuple[str, int]:
    """Stream bytes into the store, hashed on the way; flat memory. Returns SHA-256 (hex) and size.

    ``holder``: the project that sends them. TooLarge beyond ``limit`` bytes, DigestMismatch when they are not what was
    declared: nothing is stored then. A stream may last as long as an upload: an object that the registry does not know
    yet is an orphan after that time and the grace.
    """
    longest = farm.settings.upload_expires_s
    until = time.monotonic() + longest

    def limited() -> Iterator[bytes]:
        size = 0
        for chunk in stream:
            if time.monotonic() > until:
                raise RequestError(f"the stream took longer than {longest} s", advice="Send the file in parts.")
            size += len(chunk)
            if size > limit:
                raise TooLarge(f"more than {limit} bytes (ENGINEHOUSE_MAX_UPLOAD_BYTES)", limit=limit)
            yield chunk

    key = new_key()
    sha256, size = farm.store.put(key, limited(), sha256=declared_sha256)
    with farm.write() as session:
        kept = enter(session, key, sha256, size, holder)
    if not kept:
        farm.store.delete(key)
    return sha256, size


def enter(session: Session, key: str, sha256: str, size: int, holder: str | None = None) -> bool:
    """Make a verified object the blob of these bytes, which ``holder`` has sent.

    False when there was one already: the second copy is the caller's to delete, after this transaction.
    """
    known = session.get(Blob, sha256)
    if known is None:
        session.add(Blob(sha256=sha256, size=size, key=key, created=now(session)))
        session.flush()
    else:
        known.unused_since = None
    if holder is not None:
        hold(session, holder, sha256)
    return known is None or known.key == key


def needed(session: Session, sha256s: Collection[str]) -> None:
    """These blobs are needed, or were asked for: whatever was to be collected waits for its whole grace again."""
    marked = Blob.sha256.in_(list(sha256s)) & Blob.unused_since.is_not(None)
    session.execute(update(Blob).where(marked).values(unused_since=None))


def still_here(farm: Farm, blob: Blob) -> bool:
    """Whether a blob that was read can be promised for at least the grace from now on."""
    if blob.unused_since is None:
        return True
    with farm.write() as session:
        known = session.get(Blob, blob.sha256)
        if known is not None:
            known.unused_since = None
        return known is not None


def verify(farm: Farm, key: str, sha256: str) -> None:
    """Read an object back; delete it and raise DigestMismatch when it is not the declared bytes."""
    found = farm.store.digest(key)
    if found != sha256:
        farm.store.delete(key)
        raise DigestMismatch(f"declared {sha256}, the bytes that arrived have {found}", declared=sha256, found=found)


def hold(session: Session, project: str, sha256: str) -> None:
    """Note that the project has sent these bytes itself."""
    if session.get(Holding, (project, sha256)) is None:
        session.add(Holding(project_id=project, sha256=sha256, created=now(session)))


def held(session: Session, project: str, sha256: str) -> Blob | None:
    """The blob, if the project has sent these bytes itself."""
    if session.get(Holding, (project, sha256)) is None:
        return None
    return session.get(Blob, sha256)


def verified(chunks: Iterator[bytes], sha256: str) -> Iterator[bytes]:
    """Pass a whole object on, hashing; StoreUnavailable at its end when the store gave other bytes."""
    digest = hashlib.sha256()
    for chunk in chunks:
        digest.update(chunk)
        yield chunk
    if digest.hexdigest() != sha256:
        raise StoreUnavailable(f"the store gave other bytes for {sha256}", sha256=sha256)


@contextmanager
def local(farm: Farm, blob: Blob) -> Iterator[Path]:
    """The blob as a local file for as long as it is looked at."""
    path = farm.store.path(blob.key)
    if path is not None:
        yield path
        return
    farm.settings.scratch.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=farm.settings.scratch) as folder:
        copy = Path(folder) / "blob"
        with copy.open("wb") as file, closing(verified(farm.store.open(blob.key), blob.sha256)) as chunks:  # type: ignore[type-var]
            for chunk in chunks:
                file.write(chunk)
        yield copy

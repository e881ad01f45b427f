"""What toolchains keep from one build to the next, shared by all workers that it fits: TensorRT's timing cache.

A cache is read with its version and replaced only by what was made from that version: of two workers that learnt
something at once one is refused, and merges its part the next time. The bytes are blobs; those that are replaced are
referred to by nobody and left to the store's clean-up.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.orm import Session

from enginehouse.errors import Conflict, NotFound, RequestError
from enginehouse.work import KEPT_BYTES, KeptUpdate, KeptView, kept_key
from scheduler import blobs
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Blob, ToolchainCache
from scheduler.serving import Served, serve_blob

_FILE = "toolchain-cache.bin"


def find(farm: Farm, key: str) -> KeptView:
    """The cache of a key, with the address of its bytes. Raises NotFound."""
    with farm.read() as session:
        row = _row(session, key)
        blob = session.get_one(Blob, row.sha256)
    return _view(farm, row, blob)


def content(farm: Farm, key: str) -> Served:
    """The bytes."""
    with farm.read() as session:
        blob = session.get_one(Blob, _row(session, key).sha256)
    return serve_blob(farm, blob, _FILE)


def replace(farm: Farm, key: str, update: KeptUpdate, stream: Iterator[bytes]) -> KeptView:
    """Keep these bytes instead of the version that they were made from; Conflict where that is not the newest.

    Also raises RequestError for a key that is not the label's, TooLarge and DigestMismatch.
    """
    if kept_key(update.label) != key:
        raise RequestError("the key is not the SHA-256 of the label", field="label")
    with farm.read() as session:
        _check_version(session.get(ToolchainCache, key), key, update.version)  # before anything is stored
    sha256, _ = blobs.receive(farm, stream, update.sha256, KEPT_BYTES)
    with farm.write() as session:
        row = session.get(ToolchainCache, key)
        _check_version(row, key, update.version)
        if row is None:
            row = ToolchainCache(key=key, label=update.label)
            session.add(row)
        row.sha256 = sha256
        row.version = update.version + 1
        row.updated = now(session)
        session.flush()
        blobs.needed(session, [sha256])
        blob = session.get_one(Blob, sha256)
    return _view(farm, row, blob)


def _row(session: Session, key: str) -> ToolchainCache:
    row = session.get(ToolchainCache, key)
    if row is None:
        raise NotFound(f"nothing is kept under {key}", key=key)
    return row


def _check_version(row: ToolchainCache | None, key: str, version: int) -> None:
    newest = row.version if row is not None else 0
    if newest != version:
        raise Conflict(
            f"the cache is at version {newest}, this one was made from {version}",
            advice="Fetch the newest version, merge, and send it again.",
            key=key,
            version=newest,
        )


def _view(farm: Farm, row: ToolchainCache, blob: Blob) -> KeptView:
    url = farm.store.presign_get(blob.key, _FILE, farm.settings.upload_expires_s)
    return KeptView(
        key=row.key,
        label=row.label,
        version=row.version,
        sha256=row.sha256,
        size=blob.size,
        url=url or f"/v1/work/caches/{row.key}/content",
        updated=row.updated,
    )

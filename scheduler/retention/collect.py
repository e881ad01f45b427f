"""Bytes that nothing needs: marked, left for a grace, asked about again, and removed. Nothing that is needed can go.

A blob is needed by a model, a dataset, an artifact, a toolchain's cache, or an attempt that runs and was promised it.
Each of these is written, and the mark set and taken off, in transactions of the registry's one writer. So a blob whose
mark is older than the grace, and that nothing needs in the transaction that removes its row, was not asked for in all
that time; whoever asks afterwards is told that it is not here. The object goes after its row, under a key that no
other blob will ever have. See ``docs/adr/0021-what-is-collected-was-not-needed.md``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from itertools import islice

import structlog
from sqlalchemy import ColumnElement, delete, exists, func, select
from sqlalchemy.orm import Session

from enginehouse.collection import Collection
from scheduler import uploads
from scheduler.blobs import PREFIX
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Blob, BlobUse, Dataset, Holding, Project, ToolchainCache, Upload
from scheduler.store.port import Stored

log = structlog.get_logger(__name__)

_BATCH = 200
_LISTED = 500


def mark(farm: Farm, done: Collection) -> None:
    """Mark what nothing needs since the last look."""
    for batch in _pages(farm, Blob.unused_since.is_(None)):
        if done.dry_run:
            found = batch
        else:
            with farm.write(durable=False) as session:
                found = _not_needed(session, batch, Blob.unused_since.is_(None))
                moment = now(session)
                for blob in found:
                    blob.unused_since = moment
        for blob in found:
            done.unneeded.add(blob.sha256, "nothing needs it", blob.size)


def remove(farm: Farm, done: Collection) -> None:
    """Remove what was marked a grace ago and not asked for since: its row, then its object."""
    grace = timedelta(seconds=farm.settings.gc_grace_s)
    with farm.read() as session:
        due = Blob.unused_since < now(session) - grace
    for batch in _pages(farm, due):
        found = batch
        if not done.dry_run:
            with farm.write() as session:
                found = _not_needed(session, batch, due)
                gone = [blob.sha256 for blob in found]
                session.execute(delete(Holding).where(Holding.sha256.in_(gone)))
                session.execute(delete(Blob).where(Blob.sha256.in_(gone)))
            for blob in found:
                farm.store.delete(blob.key)  # should this process die before, the object is an orphan
        for blob in found:
            done.removed.add(blob.sha256, "nothing has needed it for the whole grace", blob.size)


def orphans(farm: Farm, done: Collection) -> None:
    """Remove objects that the registry does not know: a process died between an object and its row.

    One that is on its way in is known by its upload, or younger than a stream may last and the grace. One that is
    older than the registry is none of its own: somebody has pointed a new registry at an old store.
    """
    wait = timedelta(seconds=farm.settings.upload_expires_s + farm.settings.gc_grace_s)
    with farm.read() as session:
        born = session.scalar(select(func.min(Project.created)))
        before = now(session) - wait
    if born is None:
        return
    listed = farm.store.listed(PREFIX)
    while found := list(islice(listed, _LISTED)):
        for orphan in _unknown(farm, [each for each in found if born < each.modified < before]):
            if not done.dry_run:
                farm.store.delete(orphan.key)
                log.info("store.orphan_removed", key=orphan.key, bytes=orphan.size)
            done.orphans.add(orphan.key, "the registry does not know it", orphan.size)


def _pages(farm: Farm, condition: ColumnElement[bool]) -> Iterator[list[Blob]]:
    """Blobs that nothing needs, a page at a time. Each page is a look of its own, to be confirmed by the writer."""
    last = ""
    while True:
        with farm.read() as session:
            query = select(Blob.sha256).where(_nothing_has(), condition, Blob.sha256 > last)
            page = list(session.scalars(query.order_by(Blob.sha256).limit(_BATCH)))
            found = _not_needed(session, page, condition) if page else []
        if found:
            yield found
        if len(page) < _BATCH:
            return
        last = page[-1]


def _nothing_has() -> ColumnElement[bool]:
    consists = exists().where(BlobUse.sha256 == Blob.sha256)
    samples = exists().where(Dataset.sha256 == Blob.sha256)
    kept = exists().where(ToolchainCache.sha256 == Blob.sha256)
    return ~consists & ~samples & ~kept


def _not_needed(session: Session, batch: Sequence[Blob | str], condition: ColumnElement[bool]) -> list[Blob]:
    """Those that nothing has and that are promised to no attempt that runs."""
    sha256s = [each if isinstance(each, str) else each.sha256 for each in batch]
    mine = Upload.sha256.in_(sha256s) & (Upload.state == uploads.COMPLETE)
    promised = set(session.scalars(select(Upload.sha256).where(Upload.owner.in_(uploads.live_owners()), mine)))
    query = select(Blob).where(Blob.sha256.in_(set(sha256s) - promised), _nothing_has(), condition)
    return list(session.scalars(query.order_by(Blob.sha256)))


def _unknown(farm: Farm, found: Sequence[Stored]) -> list[Stored]:
    """Those that neither a blob nor an upload names.

    Blobs are asked for twice, since an upload becomes a blob: what is not yet the one when it is asked for may not be
    the other any more.
    """
    left = _not_blobs(farm, found)
    if not left:
        return []
    with farm.read() as session:
        named = set(session.scalars(select(Upload.key).where(Upload.key.in_([each.key for each in left]))))
    return _not_blobs(farm, [each for each in left if each.key not in named])


def _not_blobs(farm: Farm, found: Sequence[Stored]) -> list[Stored]:
    with farm.read() as session:
        known = set(session.scalars(select(Blob.key).where(Blob.key.in_([each.key for each in found]))))
    return [each for each in found if each.key not in known]

"""Uploads: bytes that arrive in parts, from clients and from workers; resumable, each part with its SHA-256."""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import structlog
from sqlalchemy import Select, String, cast, delete, literal, select
from sqlalchemy.orm import Session

from enginehouse.errors import Conflict, DigestMismatch, Forbidden, NotFound, RequestError, StoreUnavailable, TooLarge
from enginehouse.states import AttemptState
from enginehouse.uploads import PartRequest, PartsRequest, UploadRequest, part_size
from enginehouse.views import PartUrl, PartView, UploadView
from scheduler import blobs, ids, projects
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Blob, Upload
from scheduler.tokens import Principal

OPEN, COMPLETE = "open", "complete"
_OF_ATTEMPTS = "attempt:"

log = structlog.get_logger(__name__)

_FORGOTTEN = "the upload was forgotten, and its bytes are not here any more"
_SWEPT = 100


def open_(farm: Farm, principal: Principal, request: UploadRequest) -> UploadView:
    """Open an upload, find the project's open one of the same bytes again, or say that the bytes are here."""
    owner = _project(principal)
    with farm.read() as session:
        blob = blobs.held(session, principal.project, request.sha256)
        found = session.scalar(
            select(Upload)
            .where(Upload.owner == owner, Upload.sha256 == request.sha256, Upload.size == request.size)
            .where(Upload.state == OPEN, Upload.expires > now(session))
            .order_by(Upload.id.desc())
        )
        moment = now(session)
    if blob is not None and blob.size == request.size and blobs.still_here(farm, blob):
        return UploadView(
            id="",
            sha256=blob.sha256,
            size=blob.size,
            state=COMPLETE,
            part_size=part_size(blob.size),
            expires=moment,
        )
    if found is not None:
        try:
            return _view(farm, found)
        except NotFound:  # the store has lost what had arrived
            discard(farm, [found])
    with farm.read() as session:
        projects.check_bytes(session, principal.project, request.size)
    return _view(farm, begin(farm, owner, [request])[0])


def begin(farm: Farm, owner: str, requests: Sequence[UploadRequest]) -> list[Upload]:
    """Open one upload for each request, in order."""
    rows = []
    for request in requests:
        if request.size > farm.settings.max_upload_bytes:
            limit = farm.settings.max_upload_bytes
            raise TooLarge(f"{request.size} bytes; the limit is {limit} (ENGINEHOUSE_MAX_UPLOAD_BYTES)", limit=limit)
        key = blobs.new_key()
        rows.append(
            Upload(
                id=ids.new("upload"),
                owner=owner,
                sha256=request.sha256,
                size=request.size,
                part_size=part_size(request.size),
                key=key,
                handle=farm.store.start(key),
                state=OPEN,
            )
        )
    with farm.write() as session:  # durable: bytes are on their way to it
        moment = now(session)
        for row in rows:
            row.created = moment
            row.expires = moment + timedelta(seconds=farm.settings.upload_expires_s)
        session.add_all(rows)
    return rows


def promise(farm: Farm, session: Session, owner: str, found: Sequence[Blob]) -> None:
    """An attempt is told that the farm has these bytes. They stay for as long as it runs, however long that is."""
    if not found:
        return
    moment = now(session)
    mine = select(Upload.sha256).where(Upload.owner == owner, Upload.state == COMPLETE)
    promised = set(session.scalars(mine))
    for blob in found:
        if blob.sha256 in promised:
            continue
        row = Upload(id=ids.new("upload"), owner=owner, sha256=blob.sha256, size=blob.size, key=blob.key, handle="")
        row.part_size = part_size(blob.size)
        row.state = COMPLETE
        row.created = moment
        row.expires = moment + timedelta(seconds=farm.settings.upload_expires_s)
        session.add(row)
    blobs.needed(session, [blob.sha256 for blob in found])


def live_owners() -> Select[str]:
    """The owners of uploads whose attempts run."""
    owner = literal("attempt:") + Attempt.build_id + ":" + cast(Attempt.fence, String)
    return select(owner).where(Attempt.state == AttemptState.RUNNING.value, Attempt.fence.is_not(None))


def view(farm: Farm, principal: Principal, upload: str) -> UploadView:
    """The upload with the parts that have arrived."""
    return _view(farm, _own(farm, principal, upload))


def part_urls(farm: Farm, principal: Principal, upload: str, request: PartsRequest) -> list[PartUrl]:
    """Where to PUT these parts."""
    row = _own(farm, principal, upload)
    _still_open(row)
    return [part_url(farm, row, part) for part in request.parts]


def part_url(farm: Farm, row: Upload, part: PartRequest) -> PartUrl:
    """Where to PUT one part: the store's presigned address, or a signed one of our own API."""
    size = _size_of(row, part.number)
    seconds = farm.settings.upload_expires_s
    presigned = farm.store.part_url(row.key, row.handle, part.number, part.sha256, size, seconds)
    if presigned is not None:
        return presigned
    expires = int(time.time()) + seconds
    signature = _sign(farm, row.id, part.number, part.sha256, expires)
    query = f"sha256={part.sha256}&expires={expires}&signature={signature}"
    return PartUrl(number=part.number, url=f"/v1/uploads/{row.id}/parts/{part.number}?{query}")


def receive_part(
    farm: Farm, upload: str, number: int, sha256: str, expires: int, signature: str, stream: Iterator[bytes]
) -> PartView:
    """Take a part under an address that ``part_url`` signed."""
    if not hmac.compare_digest(signature, _sign(farm, upload, number, sha256, expires)):
        raise Forbidden("the address of the part was not signed by this farm", upload=upload, number=number)
    if expires < time.time():
        raise Forbidden("the address of the part has expired; ask for a new one", upload=upload, number=number)
    with farm.read() as session:
        row = session.get(Upload, upload)
    if row is None:
        raise NotFound(f"there is no upload {upload}", upload=upload)
    _still_open(row)
    offset = (number - 1) * row.part_size
    return farm.store.put_part(row.key, row.handle, number, offset, _size_of(row, number), sha256, stream)


def complete(farm: Farm, principal: Principal, upload: str) -> UploadView:
    """Put the parts together, check the whole SHA-256, and keep the bytes. Repeating it is harmless."""
    row = _own(farm, principal, upload)
    if row.state != COMPLETE:
        seal(farm, row, principal.project)
        return _view(farm, row)
    with farm.write() as session:
        if session.get(Blob, row.sha256) is None:
            raise NotFound(_FORGOTTEN, advice="Upload the file again.", upload=upload)
        blobs.needed(session, [row.sha256])
        blobs.hold(session, principal.project, row.sha256)
    return _view(farm, row)


def seal(farm: Farm, row: Upload, holder: str | None = None) -> None:
    """Make an upload's bytes a blob, after reading them back. UploadIncomplete or DigestMismatch otherwise.

    From the upload's row to the blob's the object is never without one that names it, so it is never an orphan.
    """
    if row.state == COMPLETE:
        return
    farm.store.finish(row.key, row.handle, row.size)
    try:
        blobs.verify(farm, row.key, row.sha256)
    except DigestMismatch:
        discard(farm, [row])
        raise
    with farm.write() as session:
        mine = session.get(Upload, row.id)
        if mine is None:
            raise NotFound(_FORGOTTEN, advice="Upload the file again.", upload=row.id)
        mine.state = COMPLETE
        kept = blobs.enter(session, row.key, row.sha256, row.size, holder)
    if not kept:
        farm.store.delete(row.key)
    row.state = COMPLETE


def abort(farm: Farm, principal: Principal, upload: str) -> None:
    """Forget an unfinished upload and its bytes."""
    row = _own(farm, principal, upload)
    _still_open(row)
    discard(farm, [row])


def discard(farm: Farm, rows: list[Upload]) -> None:
    """Forget uploads that will not be finished, or that nobody will come back to."""
    for row in rows:
        if row.state == OPEN:
            farm.store.abort(row.key, row.handle)
    with farm.write() as session:
        session.execute(delete(Upload).where(Upload.id.in_([row.id for row in rows])))


def owner_of(build: str, fence: int) -> str:
    """Under this an attempt's uploads are kept."""
    return f"{_OF_ATTEMPTS}{build}:{fence}"


def forget(farm: Farm, owners: Sequence[str]) -> None:
    """Discard what these attempts had begun to upload. A store that does not answer is asked again by ``sweep``."""
    if not owners:
        return
    with farm.read() as session:
        mine = select(Upload).where(Upload.owner.in_(list(owners)))
        rows = list(session.scalars(mine))
    if not rows:
        return
    try:
        discard(farm, rows)
    except StoreUnavailable as error:
        log.warning("uploads.not_discarded", owners=list(owners), detail=error.detail)


def _sweep_attempts(farm: Farm) -> None:
    """Discard what attempts had begun to upload that are over, whoever has missed it."""
    with farm.read() as session:
        theirs = (Upload.owner >= _OF_ATTEMPTS, Upload.owner < _OF_ATTEMPTS[:-1] + ";", Upload.state == OPEN)
        owners = session.scalars(select(Upload.owner).where(*theirs).distinct().limit(1000)).all()
        over = [owner for owner in owners if _is_over(session, owner)]
    forget(farm, over)


def _is_over(session: Session, owner: str) -> bool:
    build, _, fence = owner.removeprefix(_OF_ATTEMPTS).rpartition(":")
    mine = (Attempt.build_id == build) & (Attempt.fence == int(fence))
    return session.scalar(select(Attempt.number).where(mine, Attempt.ended.is_(None))) is None


def sweep(farm: Farm) -> int:
    """Discard what was opened and never finished in time, and what killed processes left in the store.

    What belongs to a running attempt stays: its promises hold until it ends.
    """
    _sweep_attempts(farm)
    swept = 0
    while True:
        with farm.read() as session:
            query = select(Upload).where(Upload.expires < now(session), Upload.owner.not_in(live_owners()))
            overdue = list(session.scalars(query.limit(_SWEPT)))
        unfinished = [row for row in overdue if row.state == OPEN]
        for row in unfinished:
            farm.store.abort(row.key, row.handle)
        if overdue:
            with farm.write() as session:
                session.execute(delete(Upload).where(Upload.id.in_([row.id for row in overdue])))
        swept += len(unfinished)
        if len(overdue) < _SWEPT:
            return swept + farm.store.stale(farm.settings.upload_expires_s)


def of_attempt(farm: Farm, owner: str, uploads: list[str]) -> list[Upload]:
    """The named uploads of one attempt, in order."""
    with farm.read() as session:
        rows = {row.id: row for row in session.scalars(select(Upload).where(Upload.owner == owner))}
    missing = [upload for upload in uploads if upload not in rows]
    if missing:
        raise NotFound(f"upload {missing[0]} is not one of this attempt", upload=missing[0])
    return [rows[upload] for upload in uploads]


def _own(farm: Farm, principal: Principal, upload: str) -> Upload:
    with farm.read() as session:
        row = session.get(Upload, upload)
    if row is None or row.owner != _project(principal):
        raise NotFound(f"there is no upload {upload}", upload=upload)
    return row


def _project(principal: Principal) -> str:
    return f"project:{principal.project}"


def _still_open(row: Upload) -> None:
    if row.state != OPEN:
        raise Conflict(f"upload {row.id} is {row.state}", upload=row.id, state=row.state)


def _size_of(row: Upload, number: int) -> int:
    count = max(1, -(-row.size // row.part_size))
    if number > count:
        raise RequestError(f"part {number} of an upload that has {count}", number=number, parts=count)
    return row.part_size if number < count else row.size - (count - 1) * row.part_size


def _sign(farm: Farm, upload: str, number: int, sha256: str, expires: int) -> str:
    text = f"part\n{upload}\n{number}\n{sha256}\n{expires}"
    return hmac.new(farm.settings.secret_key.get_secret_value().encode(), text.encode(), hashlib.sha256).hexdigest()


def _view(farm: Farm, row: Upload) -> UploadView:
    arrived = farm.store.parts(row.key, row.handle) if row.state == OPEN else []
    return UploadView(
        id=row.id,
        sha256=row.sha256,
        size=row.size,
        state=row.state,
        part_size=row.part_size,
        parts=arrived,
        expires=row.expires,
    )


def blob_of(farm: Farm, sha256: str) -> Blob | None:
    """The blob of these bytes, whoever sent them (for workers, which may know)."""
    with farm.read() as session:
        return session.get(Blob, sha256)

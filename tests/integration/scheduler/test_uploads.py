"""Uploads: what is never finished is swept, what others sent is not told, and a forged address is refused."""

from __future__ import annotations

import hashlib
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

import pytest
from farmhand import me
from sqlalchemy import func, select, update

from enginehouse.errors import Conflict, DigestMismatch, Forbidden, NotFound, RequestError, TooLarge
from enginehouse.uploads import PartRequest, PartsRequest, UploadRequest
from scheduler import blobs, ids, tokens, uploads
from scheduler.registry.engine import now
from scheduler.registry.tables import Blob, Holding, Project, Upload

CONTENT = b"some bytes that are on their way"
SIZE = len(CONTENT)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


def opened(farm, who=None, *, sha256=DIGEST, size=SIZE):
    return uploads.open_(farm, who or me(farm), UploadRequest(sha256=sha256, size=size))


def send(farm, upload, content=CONTENT, **changes):
    part = PartRequest(number=1, sha256=hashlib.sha256(content).hexdigest())
    (url,) = uploads.part_urls(farm, me(farm), upload, PartsRequest(parts=[part]))
    query = {key: values[0] for key, values in parse_qs(urlsplit(url.url).query).items()}
    said = {"sha256": query["sha256"], "expires": int(query["expires"]), "signature": query["signature"], **changes}
    return uploads.receive_part(farm, upload, 1, stream=iter([content]), **said)


def let_it_expire(farm):
    with farm.write() as session:
        session.execute(update(Upload).values(expires=now(session) - timedelta(seconds=1)))


def another_project(farm) -> tokens.Principal:
    with farm.write() as session:
        session.add(Project(id="other", name="other", created=now(session)))
    return tokens.Principal(None, "other", frozenset({"submit", "read"}), "other")


def test_an_upload_that_is_never_finished_is_swept_with_its_bytes(farm):
    upload = opened(farm).id
    send(farm, upload)
    with farm.read() as session:
        row = session.get_one(Upload, upload)
    assert farm.store.parts(row.key, row.handle)
    assert uploads.sweep(farm) == 0
    let_it_expire(farm)
    assert uploads.sweep(farm) == 1
    with pytest.raises(NotFound):
        farm.store.parts(row.key, row.handle)
    with pytest.raises(NotFound):
        uploads.view(farm, me(farm), upload)
    assert opened(farm).id != upload


def test_what_was_finished_stays_when_its_upload_is_forgotten(farm):
    upload = opened(farm).id
    send(farm, upload)
    assert uploads.complete(farm, me(farm), upload).state == "complete"
    assert uploads.complete(farm, me(farm), upload).state == "complete"
    let_it_expire(farm)
    uploads.sweep(farm)
    with farm.read() as session:
        blob = session.get_one(Blob, DIGEST)
    assert b"".join(farm.store.open(blob.key)) == CONTENT
    assert opened(farm).state == "complete"


def test_another_project_is_not_told_that_the_bytes_are_here(farm):
    upload = opened(farm).id
    send(farm, upload)
    uploads.complete(farm, me(farm), upload)
    other = another_project(farm)
    assert opened(farm, other).state == "open"
    with pytest.raises(NotFound):
        uploads.view(farm, other, upload)


def test_the_same_bytes_sent_by_two_projects_are_stored_once(farm):
    other = another_project(farm)
    for who in (me(farm), other):
        blobs.receive(farm, iter([CONTENT]), DIGEST, 1000)
        with farm.write() as session:
            blobs.hold(session, who.project, DIGEST)
    with farm.read() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 1
        assert session.scalar(select(func.count()).select_from(Holding)) == 2


def test_bytes_that_are_not_what_was_declared_are_dropped(farm):
    lie = opened(farm, sha256="0" * 64).id
    send(farm, lie)
    with pytest.raises(DigestMismatch):
        uploads.complete(farm, me(farm), lie)
    assert opened(farm, sha256="0" * 64).id != lie
    with farm.read() as session:
        assert session.scalar(select(func.count()).select_from(Blob)) == 0


@pytest.mark.parametrize("changes", [{"signature": "0" * 64}, {"expires": 2**40}, {"sha256": "1" * 64}])
def test_an_address_that_the_farm_did_not_sign_is_refused(farm, changes):
    with pytest.raises(Forbidden, match="not signed"):
        send(farm, opened(farm).id, **changes)


def test_more_than_the_limit_is_refused_before_a_byte_is_sent(farm):
    with pytest.raises(TooLarge, match="MAX_UPLOAD_BYTES"):
        opened(farm, size=farm.settings.max_upload_bytes + 1)
    with pytest.raises(TooLarge):
        blobs.receive(farm, iter([b"x" * 600, b"x" * 600]), None, 1000)


def test_a_part_that_the_upload_does_not_have(farm):
    parts = PartsRequest(parts=[PartRequest(number=2, sha256=DIGEST)])
    with pytest.raises(RequestError, match="part 2"):
        uploads.part_urls(farm, me(farm), opened(farm).id, parts)


def test_an_upload_can_be_given_up_once(farm):
    upload = opened(farm).id
    send(farm, upload)
    uploads.abort(farm, me(farm), upload)
    with pytest.raises(NotFound):
        uploads.abort(farm, me(farm), upload)
    finished = opened(farm).id
    send(farm, finished)
    uploads.complete(farm, me(farm), finished)
    with pytest.raises(Conflict):
        uploads.abort(farm, me(farm), finished)


def test_an_upload_nobody_opened(farm):
    with pytest.raises(NotFound):
        uploads.complete(farm, me(farm), ids.new("upload"))

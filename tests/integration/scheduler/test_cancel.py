"""What an attempt had begun to upload goes with it, however it ends, on disk and on S3."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

import farmhand
import pytest
from farmhand import Farmhand, build, let_leases_end, me, submit, tick
from services.s3 import S3Bucket
from sqlalchemy import select

from enginehouse.errors import AttemptStale, StoreUnavailable
from enginehouse.states import BuildState
from enginehouse.uploads import part_size
from enginehouse.work import PublishFile, PublishReply, PublishRequest
from scheduler import attempts, builds, jobs, tokens, uploads, workers
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.registry.tables import Upload
from scheduler.settings import Settings

CONTENT = b"half of an engine"
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(params=["local", "s3"])
def farm(request: pytest.FixtureRequest, settings: Settings) -> Iterator[Farm]:
    """As everywhere here, over either store."""
    if request.param == "s3":
        s3: S3Bucket = request.getfixturevalue("s3")
        where = {"store": s3.store, "s3_endpoint": s3.endpoint, "s3_access_key": s3.access_key}
        settings = settings.model_copy(update=where)
        settings = Settings(**{**settings.model_dump(), "s3_secret_key": s3.secret_key})
    upgrade(settings.database_url)
    made = Farm(settings)
    made.broker.send = lambda *_, **__: False
    tokens.bootstrap(made)
    yield made
    made.dispose()


@pytest.fixture
def model(farm: Farm, model_bytes: bytes) -> str:
    return farmhand.push(farm, model_bytes)


def begin(farm: Farm, build_id: str, fence: int) -> PublishReply:
    wanted = PublishFile(sha256=DIGEST, size=part_size(0) + 1, parts=[DIGEST, DIGEST])
    return attempts.publish(farm, build_id, PublishRequest(fence=fence, files=[wanted]))


def open_uploads(farm: Farm) -> list[Upload]:
    with farm.read() as session:
        return list(session.scalars(select(Upload).where(Upload.state == uploads.OPEN)))


def in_the_store(farm: Farm, request: pytest.FixtureRequest) -> int:
    """Unfinished uploads, counted past our own code."""
    if farm.settings.store.startswith("s3://"):
        s3: S3Bucket = request.getfixturevalue("s3")
        return len(s3.client().list_multipart_uploads(Bucket=s3.bucket).get("Uploads", []))
    folder = farm.settings.data_dir / "store" / "uploads"
    return len(list(folder.iterdir())) if folder.exists() else 0


@pytest.fixture
def running(farm: Farm, model: str, request: pytest.FixtureRequest):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32")
    tick(farm)
    claim = hand.claim(made.builds[0].id)
    begin(farm, claim.build, claim.fence)
    assert len(open_uploads(farm)) == in_the_store(farm, request) == 1
    return hand, made, claim


def nothing_is_left(farm: Farm, request: pytest.FixtureRequest) -> None:
    assert open_uploads(farm) == []
    assert in_the_store(farm, request) == 0


def test_of_a_cancelled_build(farm, running, request):
    hand, made, claim = running
    jobs.cancel(farm, me(farm), made.id)
    assert hand.beat(claim).cancel[0].build == claim.build
    hand.fail(claim, cancelled=True)
    assert build(farm, claim.build).state is BuildState.CANCELLED
    nothing_is_left(farm, request)


def test_of_a_cancelled_build_whose_worker_never_answers(farm, running, request):
    _, made, claim = running
    jobs.cancel(farm, me(farm), made.id)
    let_leases_end(farm)
    tick(farm)
    assert build(farm, claim.build).state is BuildState.CANCELLED
    nothing_is_left(farm, request)


def test_of_a_build_whose_worker_was_started_anew(farm, running, request):
    Farmhand(farm, boot="boot-0002")
    nothing_is_left(farm, request)


def test_of_a_build_whose_worker_signs_off(farm, running, request):
    hand, _, _ = running
    workers.sign_off(farm, hand.signed_on.worker, hand.boot)
    nothing_is_left(farm, request)


def test_of_a_build_that_fails(farm, running, request):
    hand, _, claim = running
    hand.fail(claim)
    nothing_is_left(farm, request)


def test_an_upload_that_is_opened_while_the_attempt_ends_is_forgotten_too(farm, running, request, monkeypatch):
    hand, _, claim = running
    real = uploads.begin

    def slow(*arguments):
        hand.fail(claim)  # it ends between the look and the opening
        return real(*arguments)

    monkeypatch.setattr(uploads, "begin", slow)
    with pytest.raises(AttemptStale):
        begin(farm, claim.build, claim.fence)
    nothing_is_left(farm, request)


def test_a_store_that_is_away_is_asked_again_by_the_sweep(farm, running, request, monkeypatch):
    hand, _, claim = running

    def away(*_):
        raise StoreUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(farm.store, "abort", away)
        hand.fail(claim)
    assert len(open_uploads(farm)) == 1
    uploads.sweep(farm)
    nothing_is_left(farm, request)


def test_the_sweep_leaves_alone_what_is_still_wanted(farm, running):
    _, _, claim = running
    uploads.sweep(farm)
    assert len(open_uploads(farm)) == 1
    builds.cancel(farm, me(farm), claim.build)
    uploads.sweep(farm)
    assert len(open_uploads(farm)) == 1  # its worker is stopping it

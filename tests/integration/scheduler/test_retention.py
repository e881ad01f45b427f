"""Pins, expiry, the budget, deletion and collection, on SQLite and PostgreSQL."""

from __future__ import annotations

import hashlib
import io
import threading
from types import SimpleNamespace

import numpy as np
import pytest
from clock import pass_time, rows
from farmhand import Farmhand, build, let_leases_end, me, push, submit, tick
from sqlalchemy import delete, func, select
from sqlalchemy.exc import IntegrityError

from enginehouse.collection import Collection
from enginehouse.errors import ArtifactEvicted, Conflict, ConversionFailed, NotFound, RequestError
from enginehouse.gates import Gates
from enginehouse.request import JobRequest
from enginehouse.states import BuildState, JobState, Origin
from enginehouse.uploads import UploadRequest
from enginehouse.work import LogBatch
from scheduler import artifacts, attempts, blobs, builds, datasets, events, jobs, models, tokens, uploads
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import (
    Artifact,
    Blob,
    BlobUse,
    Dataset,
    EventRow,
    Holding,
    LogRow,
    Model,
    Project,
    Upload,
)
from scheduler.retention import collect, last_use, pins
from scheduler.retention import run as passes
from scheduler.retention.run import EVERY_S, Hourly, run
from scheduler.retention.usage import artifact_bytes, stored_bytes


@pytest.fixture
def settings(settings):
    return settings.model_copy(update={"lease_s": 3000, "dispatch_expires_s": 3000})


def told_to_keep(farm, **how):
    for name, value in how.items():
        setattr(farm.settings, name, value)


def built(farm, model, content=b"an engine", seed=0, **more):
    """A build that succeeded, with its artifact's id."""
    hand = Farmhand(farm, slots=4)
    made = submit(farm, model, "openvino:fp32", seed=seed, **more)
    tick(farm)
    return hand.build(made.builds[0].id, content)


def artifact(farm, id_) -> Artifact:
    with farm.read() as session:
        return session.get_one(Artifact, id_)


def view(farm, id_):
    with farm.read() as session:
        return artifacts.get(session, me(farm), id_)


def download(farm, id_):
    served = artifacts.file(farm, me(farm), id_, "model.xml")
    return b"".join(served.open(0, served.size))


def another_project(farm) -> tokens.Principal:
    with farm.write() as session:
        session.add(Project(id="other", name="other", created=now(session)))
    return tokens.Principal(None, "other", frozenset({"submit", "read"}), "other")


def samples(value: float = 0.0) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"0": np.full((2, 4, 10), value, np.float32)})
    return file.getvalue()


def objects(farm) -> int:
    return sum(1 for path in (farm.store.root / "objects").rglob("*") if path.is_file())


# --- pins and last use ----------------------------------------------------------------------------


def test_a_pin_is_set_shown_changed_and_taken_back(farm, model):
    id_ = built(farm, model).artifact
    assert not view(farm, id_).pinned
    pinned = pins.pin(farm, me(farm), id_, "in production")
    assert (pinned.pinned, pinned.pin_note) == (True, "in production")
    assert pins.pin(farm, me(farm), id_, "in production until May").pin_note == "in production until May"
    assert view(farm, id_).pinned
    assert not pins.unpin(farm, me(farm), id_).pinned
    assert not pins.unpin(farm, me(farm), id_).pinned


def test_a_project_pins_only_what_it_sees(farm, model):
    id_ = built(farm, model).artifact
    other = another_project(farm)
    for act in (lambda: pins.pin(farm, other, id_, ""), lambda: pins.unpin(farm, other, id_)):
        with pytest.raises(NotFound):
            act()


def test_the_last_use_is_that_of_the_newest_answer_download_or_resolution_to_within_an_hour(farm, model):
    id_ = built(farm, model).artifact
    for use in (
        lambda: submit(farm, model, "openvino:fp32"),
        lambda: download(farm, id_),
        lambda: last_use.resolved(farm, id_),
    ):
        pass_time(farm, minutes=50)
        before = artifact(farm, id_).last_used
        use()
        assert artifact(farm, id_).last_used == before, "a use within the hour became a write"
        pass_time(farm, minutes=20)
        before = artifact(farm, id_).last_used
        use()
        assert (artifact(farm, id_).last_used - before).total_seconds() > 3600


# --- expiry -----------------------------------------------------------------------------------------


def test_an_artifact_that_nobody_uses_loses_its_files_and_is_built_anew(farm, model):
    made = built(farm, model)
    told_to_keep(farm, keep_days=7)
    pass_time(farm, days=6)
    assert run(farm).artifacts.count == 0
    pass_time(farm, days=2)
    told = run(farm, dry_run=True).artifacts
    assert (told.count, told.bytes, told.first[0].name) == (1, 9, made.artifact)
    assert artifact(farm, made.artifact).evicted is None
    assert run(farm).artifacts == told

    gone = artifact(farm, made.artifact)
    assert view(farm, made.artifact).evicted == gone.evicted
    assert build(farm, made.id).artifact_evicted == gone.evicted
    assert build(farm, made.id).state is BuildState.SUCCEEDED
    with pytest.raises(ArtifactEvicted, match=f"{gone.evicted:%Y-%m-%d}") as caught:
        download(farm, made.artifact)
    assert caught.value.status == 410
    with pytest.raises(ArtifactEvicted):
        pins.pin(farm, me(farm), made.artifact, "")
    for path in ("manifest.json", "provenance.dsse.json"):
        served = artifacts.file(farm, me(farm), made.artifact, path)
        assert b"".join(served.open(0, served.size))

    again = submit(farm, model, "openvino:fp32")
    assert again.state is JobState.WAITING, "the cache answered with files that are gone"
    tick(farm)
    revived = Farmhand(farm).build(again.builds[0].id)
    assert (revived.artifact, revived.origin) == (made.artifact, Origin.BUILT)
    assert download(farm, made.artifact) == b"an engine"
    assert view(farm, made.artifact).build == revived.id
    assert build(farm, made.id).artifact_evicted is None
    assert submit(farm, model, "openvino:fp32").state is JobState.SUCCEEDED


def test_what_is_pinned_used_new_or_part_of_an_unfinished_job_stays(farm, model):
    told_to_keep(farm, keep_days=1)
    pinned, used, freed = (built(farm, model, f"engine {seed}".encode(), seed).artifact for seed in (1, 2, 3))
    unfinished = submit(farm, model, "openvino:fp32", "openvino:fp16", seed=4)
    tick(farm)
    evidence = Farmhand(farm).build(unfinished.builds[0].id, b"engine 4").artifact
    pins.pin(farm, me(farm), pinned, "")
    pass_time(farm, days=3)
    download(farm, used)
    new = built(farm, model, b"engine 5", 5).artifact
    assert [gone.name for gone in run(farm).artifacts.first] == [freed]
    pins.unpin(farm, me(farm), pinned)
    jobs.cancel(farm, me(farm), unfinished.id)
    assert {gone.name for gone in run(farm).artifacts.first} == {pinned, evidence}
    assert {artifact(farm, id_).evicted for id_ in (used, new)} == {None}


def test_a_pin_of_one_project_keeps_the_artifact_for_all(farm, model):
    told_to_keep(farm, keep_days=1)
    other = another_project(farm)
    made = built(farm, model)
    with farm.write() as session:  # the other project has the same model, and was answered with the same artifact
        mine = session.get_one(Model, (me(farm).project, model))
        mine.shared = True
        values = {column.key: getattr(mine, column.key) for column in Model.__table__.columns}
        session.add(Model(**(values | {"project_id": other.project, "serial": "model_theirs"})))
    theirs = jobs.submit(farm, other, JobRequest(model=model, targets=["openvino:fp32"]))[0]
    assert theirs.builds[0].artifact == made.artifact
    pins.pin(farm, other, made.artifact, "")
    pass_time(farm, days=3)
    assert not view(farm, made.artifact).pinned, "a project is told of another one's pin"
    assert run(farm).artifacts.count == 0
    pins.unpin(farm, other, made.artifact)
    assert run(farm).artifacts.count == 1
    with farm.read() as session:
        told = session.scalars(select(EventRow.project_id).where(EventRow.kind == "artifact.evicted")).all()
    assert sorted(told) == sorted([me(farm).project, "other"])


def test_evidence_of_failed_builds_goes_by_its_own_age(farm, model):
    told_to_keep(farm, keep_failed_days=2)
    good = built(farm, model, b"good", 1).artifact
    missed = built(farm, model, b"missed", 2, gates=Gates(max_abs_error=0.1))
    assert missed.state is BuildState.FAILED
    pass_time(farm, days=3)
    assert [gone.name for gone in run(farm).artifacts.first] == [missed.artifact]
    assert artifact(farm, good).evicted is None
    assert build(farm, missed.id).failure.code == "build.gate_missed"


def test_the_least_recently_used_go_until_the_budget_holds(farm, model):
    ids = {}
    for seed in range(4):
        ids[seed] = built(farm, model, bytes([seed]) * 1000, seed).artifact
        pass_time(farm, hours=30)
    download(farm, ids[0])
    pins.pin(farm, me(farm), ids[1], "")
    pass_time(farm, hours=30)
    with farm.read() as session:
        assert artifact_bytes(session) == 4000
    told_to_keep(farm, store_budget_bytes=2500)
    told = run(farm, dry_run=True)
    assert ([gone.name for gone in told.artifacts.first], told.artifacts.bytes) == ([ids[2], ids[3]], 2000)
    assert run(farm).artifacts == told.artifacts
    assert run(farm).artifacts.count == 0
    told_to_keep(farm, store_budget_bytes=500)
    held = run(farm)
    assert ([gone.name for gone in held.artifacts.first], held.over_budget) == ([ids[0]], 500)


def test_the_budget_counts_bytes_that_artifacts_share_once(farm, model):
    """Taking one of two that consist of the same bytes frees nothing, so both go."""
    shared = [built(farm, model, b"x" * 1000, seed).artifact for seed in (1, 2)]
    if shared[0] == shared[1]:  # the manifest does not name the seed
        with farm.write() as session:
            one = session.get_one(Artifact, shared[0])
            values = {c.key: getattr(one, c.key) for c in Artifact.__table__.columns}
            session.add(Artifact(**(values | {"id": "1" * 64, "serial": "artifact_twin"})))
            session.add(BlobUse(owner="artifact_twin", kind="artifact", sha256=hashlib.sha256(b"x" * 1000).hexdigest()))
    own = built(farm, model, b"y" * 1000, 3).artifact
    pass_time(farm, days=2)
    download(farm, own)
    pass_time(farm, days=2)
    told_to_keep(farm, store_budget_bytes=1000)
    done = run(farm)
    assert (done.artifacts.count, done.artifacts.bytes, done.over_budget) == (2, 1000, 0)
    assert artifact(farm, own).evicted is None


# --- deletion ----------------------------------------------------------------------------------------


def test_a_model_is_deleted_when_nothing_in_flight_needs_it(farm, model):
    made = submit(farm, model, "openvino:fp32")
    with pytest.raises(Conflict) as caught:
        models.delete(farm, me(farm), model)
    assert caught.value.where["build"] == made.builds[0].id
    hand = Farmhand(farm)
    tick(farm)
    done = hand.build(made.builds[0].id)
    models.delete(farm, me(farm), model)
    with pytest.raises(NotFound):
        models.delete(farm, me(farm), model)
    assert build(farm, done.id).artifact == done.artifact
    assert download(farm, done.artifact) == b"an engine"
    with farm.read() as session:
        assert jobs.get(session, me(farm), made.id).model == model
        assert session.get(Blob, model) is not None
    for _ in range(2):
        run(farm)
        pass_time(farm, days=2)
    with farm.read() as session:
        assert session.get(Blob, model) is None
    assert download(farm, done.artifact) == b"an engine"


def test_a_running_build_keeps_its_model_until_its_worker_has_stopped(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32")
    tick(farm)
    claim = hand.claim(made.builds[0].id)
    jobs.cancel(farm, me(farm), made.id)
    with pytest.raises(Conflict):
        models.delete(farm, me(farm), model)
    hand.fail(claim, cancelled=True)
    models.delete(farm, me(farm), model)


def test_a_dataset_version_is_deleted_and_its_number_is_not_given_again(farm, model):
    who = me(farm)
    for value in (1.0, 2.0):
        datasets.receive(farm, who, "d", iter([samples(value)]), None)
    with pytest.raises(RequestError, match="one version"):
        datasets.delete(farm, who, "d")
    made = submit(farm, model, "openvino:fp32", dataset="d")
    with pytest.raises(Conflict) as caught:
        datasets.delete(farm, who, "d@2")
    assert caught.value.where["job"] == made.id
    jobs.cancel(farm, who, made.id)
    datasets.delete(farm, who, "d@2")
    with pytest.raises(NotFound):
        datasets.delete(farm, who, "d@2")
    with farm.read() as session:
        assert datasets.get(session, who, "d").version == 1
        assert jobs.get(session, who, made.id).dataset == "d@2"
    assert datasets.receive(farm, who, "d", iter([samples(3.0)]), None)[0].version == 3


# --- collection -----------------------------------------------------------------------------------------


def test_bytes_that_nothing_needs_go_after_the_grace_and_not_before(farm):
    digest = blobs.receive(farm, iter([b"bytes"]), None, 100, me(farm).project)[0]
    told = run(farm, dry_run=True)
    assert (told.unneeded.count, told.unneeded.bytes, told.removed.count) == (1, 5, 0)
    assert run(farm).unneeded == told.unneeded
    assert run(farm).unneeded.count == 0, "it was marked before"
    pass_time(farm, hours=23)
    assert run(farm).removed.count == 0
    pass_time(farm, hours=2)
    told = run(farm, dry_run=True).removed
    assert (told.count, told.bytes, told.first[0].name) == (1, 5, digest)
    assert objects(farm) == 1
    assert run(farm).removed == told
    assert objects(farm) == 0
    assert (rows(farm, Blob), rows(farm, Holding)) == ([], [])


def test_bytes_that_are_asked_for_again_have_their_whole_grace_again(farm):
    who = me(farm)
    request = UploadRequest(sha256=hashlib.sha256(b"bytes").hexdigest(), size=5)
    blobs.receive(farm, iter([b"bytes"]), None, 100, who.project)
    for ask in (
        lambda: uploads.open_(farm, who, request),
        lambda: blobs.receive(farm, iter([b"bytes"]), None, 100, who.project),
    ):
        run(farm)
        pass_time(farm, days=2)
        ask()
        assert run(farm).removed.count == 0
        pass_time(farm, hours=23)
        assert run(farm).removed.count == 0
        assert uploads.open_(farm, who, request).state == "complete"
    assert objects(farm) == 1
    run(farm)
    pass_time(farm, days=2)
    run(farm)
    assert uploads.open_(farm, who, request).state == "open"


def test_what_a_running_attempt_was_promised_stays_however_long_it_runs(farm, model):
    """The bytes belong to an artifact, which goes meanwhile; its own upload's row has expired."""
    first = built(farm, model, b"an engine", 1)
    made = submit(farm, model, "openvino:fp32", seed=2)
    tick(farm)
    hand = Farmhand(farm, boot="boot-0002")
    claim = hand.claim(made.builds[0].id)
    answer = hand.bundle(claim)
    assert answer.uploads == [], "the farm has these bytes"
    told_to_keep(farm, keep_days=1)
    for _ in range(3):
        pass_time(farm, days=2)
        uploads.sweep(farm)
        run(farm)
    assert artifact(farm, first.artifact).evicted is not None
    done = attempts.complete(farm, claim.build, answer)
    assert done.state is BuildState.SUCCEEDED
    assert download(farm, done.artifact) == b"an engine"


def test_a_promise_ends_with_its_attempt(farm, model):
    first = built(farm, model, b"an engine", 1)
    made = submit(farm, model, "openvino:fp32", seed=2)
    tick(farm)
    hand = Farmhand(farm, boot="boot-0002")
    hand.bundle(hand.claim(made.builds[0].id))
    told_to_keep(farm, keep_days=1)
    let_leases_end(farm)
    tick(farm)
    jobs.cancel(farm, me(farm), made.id)
    pass_time(farm, days=2)
    assert run(farm).artifacts.count == 1
    pass_time(farm, days=2)
    assert [gone.bytes for gone in run(farm).removed.first] == [9]
    uploads.sweep(farm)
    assert rows(farm, Upload) == []
    assert view(farm, first.artifact).evicted


def test_objects_that_a_killed_process_left_are_found(farm):
    digest = blobs.receive(farm, iter([b"bytes"]), None, 100, me(farm).project)[0]
    upload = uploads.open_(farm, me(farm), UploadRequest(sha256="0" * 64, size=3)).id
    farm.store.put("blobs/ab/left", iter([b"left"]))
    pass_time(farm, hours=47)
    assert run(farm).orphans.count == 0, "it may still be on its way"
    pass_time(farm, hours=2)
    farm.store.put("blobs/ab/fresh", iter([b"fresh"]))
    told = run(farm, dry_run=True).orphans
    assert (told.count, told.bytes, told.first[0].name) == (1, 4, "blobs/ab/left")
    assert run(farm).orphans == told
    assert farm.store.size("blobs/ab/left") is None
    assert farm.store.size("blobs/ab/fresh") == 5
    assert uploads.view(farm, me(farm), upload).state == "open"
    with farm.read() as session:
        assert farm.store.digest(session.get_one(Blob, digest).key) == digest


def test_a_new_registry_leaves_an_old_store_alone(farm):
    """Somebody has started the farm with the wrong database: nothing of what lies there may go."""
    farm.store.put("blobs/ab/of-the-right-one", iter([b"precious"]))
    pass_time(farm, days=30)
    with farm.write() as session:
        for project in session.scalars(select(Project)):
            project.created = now(session)
    assert run(farm).orphans.count == 0
    assert farm.store.size("blobs/ab/of-the-right-one") == 8


def test_the_database_refuses_to_lose_what_something_consists_of(farm, model):
    with farm.write() as session:
        session.execute(delete(Holding))
        with pytest.raises(IntegrityError):
            session.execute(delete(Blob).where(Blob.sha256 == model))
        session.rollback()
    assert rows(farm, Blob)


def test_what_is_asked_for_between_the_look_and_the_removal_stays(farm, monkeypatch):
    digest = blobs.receive(farm, iter([b"bytes"]), None, 100, me(farm).project)[0]
    run(farm)
    pass_time(farm, days=2)
    write, answers = farm.write, []

    def interrupted(**how):
        monkeypatch.setattr(farm, "write", write)
        answers.append(uploads.open_(farm, me(farm), UploadRequest(sha256=digest, size=5)).state)
        monkeypatch.setattr(farm, "write", interrupted)
        return write(**how)

    monkeypatch.setattr(farm, "write", interrupted)
    found = Collection(dry_run=False)
    collect.remove(farm, found)
    monkeypatch.undo()
    assert (answers, found.removed.count) == (["complete"], 0)
    assert farm.store.digest(rows(farm, Blob)[0].key) == digest


def test_of_a_question_and_a_collection_at_once_one_is_first(farm, settings):
    """Two processes over one registry: either the bytes are promised and stay, or they are not promised."""
    other = Farm(settings)
    who = me(farm)
    for number in range(12):
        content = b"bytes %d" % number
        digest = blobs.receive(farm, iter([content]), None, 100, who.project)[0]
        run(farm)
        pass_time(farm, days=2)
        answers: list[str] = []
        start = threading.Barrier(2)

        request = UploadRequest(sha256=digest, size=len(content))

        def ask(request=request, answers=answers, start=start):
            start.wait()
            answers.append(uploads.open_(other, who, request).state)

        asking = threading.Thread(target=ask)
        asking.start()
        start.wait()
        run(farm)
        asking.join()
        with farm.read() as session:
            blob = session.get(Blob, digest)
        assert (blob is not None) == (answers == ["complete"])
        if blob is not None:
            assert farm.store.digest(blob.key) == digest
    other.dispose()


# --- history and usage -----------------------------------------------------------------------------------


def test_old_events_and_logs_go_but_not_those_of_what_has_not_ended(farm, model):
    made = built(farm, model)
    waiting = submit(farm, model, "openvino:fp16")
    line = {"seq": 1, "time": "2026-01-01T00:00:00Z", "text": "a line"}
    attempts.log(farm, made.id, LogBatch.model_validate({"fence": 1, "lines": [line]}))
    told_to_keep(farm, keep_events_days=10, keep_logs_days=20)
    pass_time(farm, days=11)
    done = submit(farm, model, "openvino:fp32", seed=9)
    before = len(rows(farm, EventRow))
    told = run(farm, dry_run=True)
    assert (len(rows(farm, EventRow)), told.logs) == (before, 0)
    after = run(farm)
    assert after.events == told.events > 0
    left = rows(farm, EventRow)
    assert len(left) == before - after.events
    assert {row.job_id for row in left} == {waiting.id, done.id}
    with farm.read() as session:
        assert [line.text for line in builds.log(session, me(farm), made.id).lines] == ["a line"]
    pass_time(farm, days=11)
    assert run(farm, dry_run=True).logs == 1
    assert run(farm).logs == 1
    assert rows(farm, LogRow) == []
    with farm.read() as session:
        log = builds.log(session, me(farm), made.id)
        assert (log.lines, log.ended) == ([], True)


def test_what_a_failed_attempt_left_goes_with_its_log(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32").builds[0]
    tick(farm)
    claim = hand.claim(made.id)
    line = {"seq": 1, "time": "2026-01-01T00:00:00Z", "text": "a line"}
    attempts.log(farm, made.id, LogBatch.model_validate({"fence": claim.fence, "lines": [line]}))
    hand.fail(claim, ConversionFailed("it cannot be converted").failure(), attachments={"reproduce.py": "print()"})
    told_to_keep(farm, keep_logs_days=20)
    pass_time(farm, days=19)
    run(farm)
    assert build(farm, made.id).attempts[0].attachments == ["reproduce.py"]
    pass_time(farm, days=2)
    assert run(farm, dry_run=True).logs == 1
    assert build(farm, made.id).attempts[0].attachments == ["reproduce.py"]
    run(farm)
    assert build(farm, made.id).attempts[0].attachments == []
    assert build(farm, made.id).failure is not None


def test_the_scheduler_makes_a_pass_an_hour_and_survives_one_that_fails(farm, model, monkeypatch):
    told_to_keep(farm, keep_events_days=1)
    jobs.cancel(farm, me(farm), submit(farm, model, "openvino:fp32").id)
    pass_time(farm, days=2)
    clock = [1000.0]
    monkeypatch.setattr(passes, "time", SimpleNamespace(monotonic=lambda: clock[0]))
    hourly = Hourly(farm)

    def looked() -> int:
        hourly.look()
        for thread in threading.enumerate():
            if thread.name == "retention":
                thread.join(60)
        return len(rows(farm, EventRow))

    assert looked() == 1
    jobs.cancel(farm, me(farm), submit(farm, model, "openvino:fp32", seed=2).id)
    pass_time(farm, days=2)
    clock[0] += EVERY_S - 1
    assert looked() > 1
    clock[0] += 1
    farm.settings.keep_events_days = "no number"
    assert looked() > 1
    told_to_keep(farm, keep_events_days=1)
    clock[0] += EVERY_S
    assert looked() == 1


def test_cursors_stay_good_when_all_events_are_old(farm, model):
    jobs.cancel(farm, me(farm), submit(farm, model, "openvino:fp32").id)
    with farm.read() as session:
        newest = events.newest(session)
    told_to_keep(farm, keep_events_days=1)
    pass_time(farm, days=2)
    run(farm)
    with farm.read() as session:
        assert events.newest(session) == newest
        assert session.scalar(select(func.count()).select_from(EventRow)) == 1
    submit(farm, model, "openvino:fp32", seed=2)
    with farm.read() as session:
        assert events.newest(session) > newest


def test_what_a_project_stores_counts_once_and_only_while_it_is_there(farm, model, model_bytes):
    who, other = me(farm), another_project(farm)
    size = len(model_bytes)

    def stored(project):
        with farm.read() as session:
            return stored_bytes(session, project)

    assert (stored(who.project), stored("other")) == (size, 0)
    models.receive(farm, other, "m", iter([model_bytes]), None)
    assert stored("other") == size
    made = built(farm, model, model_bytes)  # the artifact has the model's bytes
    assert stored(who.project) == size
    built(farm, model, b"an engine", 2)
    datasets.receive(farm, who, "d", iter([samples()]), None)
    blobs.receive(farm, iter([b"made into nothing"]), None, 100, who.project)
    assert stored(who.project) == size + 9 + len(samples())
    assert stored("other") == size
    told_to_keep(farm, keep_days=1)
    pass_time(farm, days=2)
    run(farm)
    assert view(farm, made.artifact).evicted
    datasets.delete(farm, who, "d@1")
    assert stored(who.project) == size
    models.delete(farm, who, model)
    assert stored(who.project) == 0
    assert push(farm, model_bytes) == model
    with farm.read() as session:
        assert session.scalar(select(func.count()).select_from(Dataset)) == 0

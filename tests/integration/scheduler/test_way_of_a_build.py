"""The way of a build through the registry, on SQLite and PostgreSQL: one writer, fences, leases, the cache."""

from __future__ import annotations

import pytest
from farmhand import Farmhand, build, job, let_leases_end, me, push, skip_backoff, submit, tick
from sqlalchemy import func, select

from enginehouse.errors import (
    AttemptStale,
    BuildCrashed,
    Conflict,
    ConversionFailed,
    DigestMismatch,
    InvalidOption,
    NotFound,
    OutputsDisagree,
    RequestError,
    UnknownBackend,
    UnknownPrecision,
)
from enginehouse.gates import Gates
from enginehouse.request import JobRequest
from enginehouse.states import AttemptState, BuildState, JobState, Origin
from scheduler import artifacts, builds, events, jobs, workers
from scheduler.registry.tables import Artifact, OutboxRow


def owed(farm) -> list[dict]:
    with farm.read() as session:
        return [row.body for row in session.scalars(select(OutboxRow).order_by(OutboxRow.id))]


def test_a_build_waits_is_dispatched_claimed_and_succeeds(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32")
    id_ = made.builds[0].id
    assert made.state is JobState.WAITING
    tick(farm)
    assert build(farm, id_).state is BuildState.DISPATCHED
    assert owed(farm) == [{"build": id_, "attempt": 1}]
    claim = hand.claim(id_)
    assert claim.fence == 1
    assert build(farm, id_).state is BuildState.RUNNING
    done = hand.complete(claim)
    assert (done.state, done.origin) == (BuildState.SUCCEEDED, Origin.BUILT)
    assert job(farm, made.id).state is JobState.SUCCEEDED
    with farm.read() as session:
        kinds = [event.kind for event in events.after(session, 0, job=made.id)]
        view = artifacts.get(session, me(farm), done.artifact)
    assert (
        kinds
        == [
            "job.created",
            "build.dispatched",
            "build.running",
            "job.running",
            "build.succeeded",
            "job.succeeded",
        ]
        or kinds[1] == "build.reason"
    )
    assert view.manifest.digest() == view.id


def test_nothing_to_do_owes_nothing(farm):
    tick(farm)
    assert owed(farm) == []


def test_a_second_delivery_of_a_message_is_refused_for_others_and_repeated_for_the_holder(farm, model):
    one, two = Farmhand(farm, "one", slots=2), Farmhand(farm, "two", "boot-0002", slots=2)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    first = one.claim(id_)
    assert one.claim(id_) == first
    with pytest.raises(AttemptStale):
        two.claim(id_)


def test_a_dispatch_that_nobody_claims_is_sent_again_and_costs_no_attempt(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    for number in range(1, 6):
        tick(farm)
        assert [a.number for a in build(farm, id_).attempts] == list(range(1, number + 1))
        let_leases_end(farm)
        hand.beat()
    tick(farm)
    assert hand.build(id_).state is BuildState.SUCCEEDED
    states = [attempt.state for attempt in build(farm, id_).attempts]
    assert states == [AttemptState.EXPIRED] * 5 + [AttemptState.SUCCEEDED]


def test_a_late_message_of_an_expired_dispatch_is_refused(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    let_leases_end(farm)
    tick(farm)
    with pytest.raises(AttemptStale):
        hand.claim(id_)


def test_a_lost_worker_costs_an_attempt_and_its_late_answer_is_refused(farm, model):
    slow, other = Farmhand(farm, "slow"), Farmhand(farm, "other", "boot-0002")
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    stale = slow.claim(id_)
    bundle = slow.bundle(stale, b"late")
    let_leases_end(farm)
    other.beat()
    tick(farm)
    assert build(farm, id_).state is BuildState.DISPATCHED
    fresh = other.claim(id_)
    assert fresh.fence > stale.fence
    from scheduler import attempts

    with pytest.raises(AttemptStale):
        attempts.complete(farm, id_, bundle)
    assert slow.beat(stale).drop[0].build == id_
    done = other.complete(fresh, b"in time")
    assert done.state is BuildState.SUCCEEDED
    with farm.read() as session:
        assert session.scalar(select(func.count()).select_from(Artifact)) == 1
    assert [a.state for a in done.attempts] == [AttemptState.LOST, AttemptState.SUCCEEDED]


def test_a_worker_started_anew_gives_its_old_leases_back_at_once(farm, model):
    before = Farmhand(farm, "one", "boot-0001")
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    before.claim(id_)
    after = Farmhand(farm, "one", "boot-0002")
    assert build(farm, id_).state is BuildState.WAITING
    assert not before.beat().known
    tick(farm)
    assert after.build(id_).state is BuildState.SUCCEEDED


def test_a_heartbeat_keeps_the_lease(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    claim = hand.claim(id_)
    let_leases_end(farm)
    assert hand.beat(claim).drop == []
    tick(farm)
    assert build(farm, id_).state is BuildState.RUNNING


def test_a_crash_is_tried_again_and_then_ends_the_build_with_every_attempt_on_record(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    for _ in range(farm.settings.max_attempts):
        skip_backoff(farm)
        tick(farm)
        hand.fail(hand.claim(id_))
    ended = build(farm, id_)
    assert ended.state is BuildState.FAILED
    assert ended.failure.code == BuildCrashed.code
    assert [a.failure.code for a in ended.attempts] == ["build.crashed"] * 3


def test_lost_workers_end_in_attempts_exhausted(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    for _ in range(farm.settings.max_attempts):
        skip_backoff(farm)
        tick(farm)
        hand.claim(id_)
        let_leases_end(farm)
        hand.beat()
        tick(farm)
    assert build(farm, id_).failure.code == "farm.attempts_exhausted"


def test_the_models_own_fault_is_not_tried_again(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    ended = hand.fail(hand.claim(id_), ConversionFailed("no").failure())
    assert (ended.state, len(ended.attempts)) == (BuildState.FAILED, 1)


def test_a_released_attempt_costs_nothing(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    for _ in range(5):
        tick(farm)
        assert hand.fail(hand.claim(id_), released=True).state is BuildState.WAITING
    tick(farm)
    assert hand.build(id_).state is BuildState.SUCCEEDED


def test_complete_and_fail_may_be_repeated(farm, model):
    from scheduler import attempts

    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    claim = hand.claim(id_)
    bundle = hand.bundle(claim)
    assert attempts.complete(farm, id_, bundle) == attempts.complete(farm, id_, bundle)
    other = submit(farm, model, "openvino:fp16").builds[0].id
    tick(farm)
    claim = hand.claim(other)
    refused = ConversionFailed("no").failure()
    assert hand.fail(claim, refused) == hand.fail(claim, refused)


def test_bytes_that_are_not_what_was_declared_make_no_artifact(farm, model):
    from scheduler import attempts

    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    claim = hand.claim(id_)
    complete = hand.bundle(claim)
    missing = complete.manifest.files[0].model_copy(update={"sha256": "0" * 64})
    forged = complete.model_copy(update={"manifest": complete.manifest.model_copy(update={"files": [missing]})})
    with pytest.raises(RequestError, match="does not hold"):
        attempts.complete(farm, id_, forged)
    assert build(farm, id_).state is BuildState.RUNNING
    assert attempts.complete(farm, id_, complete).state is BuildState.SUCCEEDED


def test_the_same_again_is_served_from_the_cache_at_once(farm, model):
    hand = Farmhand(farm)
    first = submit(farm, model, "openvino:fp32")
    tick(farm)
    built = hand.build(first.builds[0].id)
    again = submit(farm, model, "openvino:fp32@cpu", priority="high", limits={"time_s": 5})
    assert again.state is JobState.SUCCEEDED
    assert (again.builds[0].origin, again.builds[0].artifact) == (Origin.CACHE, built.artifact)
    assert again.builds[0].attempts == []
    other = submit(farm, model, "openvino:fp32", seed=1)
    assert other.state is JobState.WAITING


def test_another_hardware_class_or_toolchain_is_not_served_from_the_cache(farm, model):
    hand = Farmhand(farm)
    tick_and = submit(farm, model, "openvino:fp32")
    tick(farm)
    hand.build(tick_and.builds[0].id)
    workers.sign_off(farm, hand.signed_on.worker, hand.boot)
    newer = hand_capability("2026.4.2")
    Farmhand(farm, "two", "boot-0002", capabilities=[newer])
    assert submit(farm, model, "openvino:fp32").state is JobState.WAITING


def hand_capability(version: str):
    from farmhand import OPENVINO

    return OPENVINO.model_copy(update={"toolchain": {"openvino": version}})


def test_a_build_in_flight_is_joined_and_shares_the_result(farm, model):
    hand = Farmhand(farm)
    first, second = submit(farm, model, "openvino:fp32"), submit(farm, model, "openvino:fp32")
    tick(farm)
    waiting = build(farm, second.builds[0].id)
    assert waiting.state is BuildState.WAITING
    assert first.builds[0].id in waiting.reason
    hand.build(first.builds[0].id)
    shared = build(farm, second.builds[0].id)
    assert (shared.state, shared.origin) == (BuildState.SUCCEEDED, Origin.JOINED)


def test_the_same_target_twice_in_one_job_is_built_once(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32", "openvino:fp32")
    tick(farm)
    hand.build(made.builds[0].id)
    assert job(farm, made.id).state is JobState.SUCCEEDED
    assert len(owed(farm)) == 1


def test_when_the_joined_build_is_cancelled_the_oldest_follower_goes_on(farm, model):
    hand = Farmhand(farm)
    first, *others = [submit(farm, model, "openvino:fp32") for _ in range(3)]
    tick(farm)
    jobs.cancel(farm, me(farm), first.id)
    tick(farm)
    assert build(farm, others[0].builds[0].id).state is BuildState.DISPATCHED
    hand.build(others[0].builds[0].id)
    assert [job(farm, made.id).state for made in others] == [JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert job(farm, first.id).state is JobState.CANCELLED


def test_a_failure_of_the_model_is_shared_but_one_by_limits_is_not(farm, model):
    from enginehouse.errors import TimeExceeded

    hand = Farmhand(farm)
    first, second = submit(farm, model, "openvino:fp32"), submit(farm, model, "openvino:fp32")
    tick(farm)
    hand.fail(hand.claim(first.builds[0].id), TimeExceeded("1 s").failure())
    assert build(farm, second.builds[0].id).state is BuildState.WAITING
    tick(farm)
    third = submit(farm, model, "openvino:fp32")
    hand.fail(hand.claim(second.builds[0].id), ConversionFailed("no").failure())
    assert build(farm, third.builds[0].id).failure.code == "build.conversion_failed"


def test_disagreeing_outputs_fail_the_build_and_are_never_served_from_the_cache(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp16")
    tick(farm)
    ended = hand.complete(hand.claim(made.builds[0].id), agrees=False)
    assert (ended.state, ended.failure.code) == (BuildState.FAILED, OutputsDisagree.code)
    assert ended.artifact is not None
    assert submit(farm, model, "openvino:fp16").state is JobState.WAITING


def test_a_job_may_state_the_accuracy_that_it_accepts(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp16", gates=Gates(max_abs_error=0.5))
    tick(farm)
    assert hand.complete(hand.claim(made.builds[0].id), agrees=False).state is BuildState.SUCCEEDED


def test_a_missed_gate_keeps_the_evidence(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32", gates=Gates(max_abs_error=0.1))
    tick(farm)
    ended = hand.build(made.builds[0].id)
    assert ended.failure.code == "build.gate_missed"
    assert "0.5" in ended.failure.detail
    assert ended.artifact
    cached = submit(farm, model, "openvino:fp32", gates=Gates(max_abs_error=0.1))
    assert cached.state is JobState.FAILED
    relaxed = submit(farm, model, "openvino:fp32", gates=Gates(max_abs_error=0.6))
    assert relaxed.state is JobState.SUCCEEDED


def test_cancelling_in_every_state(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32", "openvino:fp16")
    first, second = made.builds
    tick(farm)
    assert builds.cancel(farm, me(farm), second.id).state is BuildState.CANCELLED
    claim = hand.claim(first.id)
    assert builds.cancel(farm, me(farm), first.id).state is BuildState.CANCELLING
    assert hand.beat(claim).cancel[0].build == first.id
    assert hand.fail(claim, cancelled=True).state is BuildState.CANCELLED
    assert job(farm, made.id).state is JobState.CANCELLED
    assert builds.cancel(farm, me(farm), first.id).state is BuildState.CANCELLED


def test_a_worker_lost_while_cancelling_leaves_a_cancelled_build(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    hand.claim(id_)
    builds.cancel(farm, me(farm), id_)
    let_leases_end(farm)
    tick(farm)
    assert build(farm, id_).state is BuildState.CANCELLED


def test_slots_are_counted_from_live_attempts_and_the_line_is_told(farm, model):
    hand = Farmhand(farm, slots=1)
    ids = [submit(farm, model, "openvino:fp32", seed=n).builds[0].id for n in range(3)]
    tick(farm)
    states = [build(farm, id_) for id_ in ids]
    assert [b.state for b in states] == [BuildState.DISPATCHED, BuildState.WAITING, BuildState.WAITING]
    assert "it is the next" in states[1].reason
    assert "1 ahead of it" in states[2].reason
    hand.build(ids[0])
    tick(farm)
    assert build(farm, ids[1]).state is BuildState.DISPATCHED


def test_a_higher_priority_goes_first(farm, model):
    hand = Farmhand(farm)
    low = submit(farm, model, "openvino:fp32", priority="low").builds[0].id
    high = submit(farm, model, "openvino:fp16", priority="high").builds[0].id
    tick(farm)
    assert build(farm, high).state is BuildState.DISPATCHED
    assert build(farm, low).state is BuildState.WAITING
    assert hand.signed_on.pool in build(farm, low).reason


def test_a_requirement_that_nobody_meets_waits_until_somebody_does(farm, model):
    Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32@unicorn").builds[0].id
    tick(farm)
    assert "unicorn" in build(farm, id_).reason
    unicorn = Farmhand(farm, "two", "boot-0002", tags=["cpu", "unicorn"])
    tick(farm)
    assert unicorn.build(id_).state is BuildState.SUCCEEDED


def test_a_toolchain_that_nobody_has_yet_waits_but_an_unknown_one_is_refused(farm, model):
    Farmhand(farm)
    assert "tensorrt" in submit(farm, model, "tensorrt:fp16").builds[0].reason
    with pytest.raises(UnknownBackend, match="frobnicate"):
        submit(farm, model, "frobnicate:fp16")
    with pytest.raises(UnknownPrecision, match="int4"):
        submit(farm, model, "openvino:int4")
    target = {"backend": "openvino", "precision": "fp16", "options": {"threads": "many"}}
    with pytest.raises(InvalidOption, match="threads"):
        submit(farm, model, target)


@pytest.mark.parametrize("shapes", [{"nope": (1,)}, {"0": (1, 2, 3, 4, 5)}])
def test_shapes_must_fit_the_model(farm, model, shapes):
    with pytest.raises(RequestError, match="shapes"):
        submit(farm, model, "openvino:fp32", shapes=shapes)


def test_an_idempotency_key_gives_the_same_job_and_refuses_another(farm, model):
    request = JobRequest(model=model, targets=["openvino:fp32"])
    first, new = jobs.submit(farm, me(farm), request, "key-1")
    second, again = jobs.submit(farm, me(farm), request, "key-1")
    assert (first.id, new, again) == (second.id, True, False)
    with pytest.raises(Conflict):
        jobs.submit(farm, me(farm), JobRequest(model=model, targets=["openvino:fp16"]), "key-1")


def test_pages_of_jobs_follow_each_other_without_a_gap(farm, model):
    made = [submit(farm, model, "openvino:fp32", seed=n).id for n in range(7)]
    seen, after = [], None
    while True:
        with farm.read() as session:
            page = jobs.list_(session, me(farm), limit=3, after=after)
        seen += [item.id for item in page.items]
        after = page.next
        if after is None:
            break
    assert seen == made[::-1]


def test_a_models_bytes_are_checked_and_stored_once(farm, model_bytes, model):
    from scheduler import models

    with pytest.raises(DigestMismatch):
        models.receive(farm, me(farm), "m", iter([model_bytes]), "0" * 64)
    assert push(farm, model_bytes) == model
    with farm.read() as session, pytest.raises(NotFound):
        models.get(session, me(farm), "f" * 64)

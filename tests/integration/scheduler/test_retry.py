"""Built again: after the farm's fault by itself and elsewhere first; on request, as a new job."""

from __future__ import annotations

import pytest
from farmhand import Farmhand, build, job, let_leases_end, me, push, skip_backoff, submit, tick
from sqlalchemy import select

from enginehouse.errors import (
    AttemptStale,
    Conflict,
    ConversionFailed,
    GateMissed,
    NotFound,
    RequestError,
    StoreUnavailable,
)
from enginehouse.gates import Gates
from enginehouse.request import JobChanges, JobRequest
from enginehouse.states import BuildState, JobState, Origin, Priority
from scheduler import builds, events, jobs, retry, tokens
from scheduler.registry.engine import now
from scheduler.registry.tables import Build, Job, Project


def row(farm, id_: str) -> Build:
    with farm.read() as session:
        return session.get_one(Build, id_)


def failed(farm, model, hand: Farmhand, *targets: str, **more):
    made = submit(farm, model, *(targets or ("openvino:fp32",)), **more)
    tick(farm)
    for one in made.builds:
        hand.fail(hand.claim(one.id), ConversionFailed("no").failure())
    return job(farm, made.id)


def stranger(farm) -> tokens.Principal:
    with farm.write() as session:
        session.add(Project(id="other", name="other", created=now(session)))
    return tokens.Principal(None, "other", frozenset({"submit", "read"}), "other")


def test_the_farms_fault_is_tried_again_later_and_elsewhere_first(farm, model):
    one, two = Farmhand(farm, "one"), Farmhand(farm, "two", "boot-0002")
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    one.fail(one.claim(id_), StoreUnavailable("away").failure())
    after = row(farm, id_)
    assert after.avoid == [one.signed_on.worker]
    assert after.not_before > build(farm, id_).attempts[0].ended
    skip_backoff(farm)
    tick(farm)
    with pytest.raises(AttemptStale):
        one.claim(id_)
    tick(farm)
    assert two.build(id_).state is BuildState.SUCCEEDED


def test_where_nobody_else_is_free_the_same_worker_tries_again(farm, model):
    one, two = Farmhand(farm, "one"), Farmhand(farm, "two", "boot-0002")
    id_, other = (submit(farm, model, target).builds[0].id for target in ("openvino:fp32", "openvino:fp16"))
    tick(farm)
    two.claim(other)
    one.fail(one.claim(id_), StoreUnavailable("away").failure())
    skip_backoff(farm)
    tick(farm)
    assert one.build(id_).state is BuildState.SUCCEEDED


def test_a_lost_worker_is_avoided_too(farm, model):
    one = Farmhand(farm, "one")
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    one.claim(id_)
    let_leases_end(farm)
    tick(farm)
    assert row(farm, id_).avoid == [one.signed_on.worker]


def test_the_models_fault_blames_no_worker(farm, model):
    hand = Farmhand(farm)
    made = failed(farm, model, hand)
    assert row(farm, made.builds[0].id).avoid == []


def test_a_build_that_failed_is_built_again_as_a_new_job(farm, model):
    hand = Farmhand(farm)
    made = failed(
        farm, model, hand, name="mine", priority="high", limits={"time_s": 77}, gates=Gates(max_abs_error=0.9), seed=4
    )
    old = made.builds[0]
    again, new = retry.retry_build(farm, me(farm), old.id)
    assert new
    assert again.id != made.id
    fresh = again.builds[0]
    assert fresh.note == f"in the place of {old.id} (build.conversion_failed)"
    assert row(farm, fresh.id).request_key == row(farm, old.id).request_key
    for field in ("name", "priority", "limits", "gates", "ladder", "model", "dataset"):
        assert getattr(again, field) == getattr(made, field), field
    with farm.read() as session:
        (created,) = [event for event in events.after(session, 0, job=again.id) if event.kind == "job.created"]
    assert created.data["cloned_from"] == made.id
    tick(farm)
    assert hand.build(fresh.id).state is BuildState.SUCCEEDED
    assert build(farm, old.id).state is BuildState.FAILED  # an end is final


def test_elsewhere_means_not_by_those_who_had_it(farm, model):
    one, two = Farmhand(farm, "one"), Farmhand(farm, "two", "boot-0002")
    made = failed(farm, model, one)
    again, _ = retry.retry_build(farm, me(farm), made.builds[0].id, elsewhere=True)
    id_ = again.builds[0].id
    assert row(farm, id_).avoid == [one.signed_on.worker]
    tick(farm)
    with pytest.raises(AttemptStale):
        one.claim(id_)
    tick(farm)
    assert two.build(id_).state is BuildState.SUCCEEDED


def test_of_a_job_only_what_failed_or_was_cancelled_is_built_again(farm, model):
    hand = Farmhand(farm, slots=3)
    made = submit(
        farm,
        model,
        "openvino:fp32",
        "openvino:fp16",
        "openvino:fp16@cpu",
        target_gates={"openvino:fp16@cpu": {"max_abs_error": 0.7}},
    )
    good, bad, unwanted = (one.id for one in made.builds)
    tick(farm)
    hand.build(good)
    hand.fail(hand.claim(bad), ConversionFailed("no").failure())
    builds.cancel(farm, me(farm), unwanted)
    hand.beat()
    with farm.read() as session:
        assert session.get_one(Build, unwanted).state in {BuildState.CANCELLED, BuildState.CANCELLING}
    again, _ = retry.retry_job(farm, me(farm), made.id)
    assert [str(one.target) for one in again.builds] == ["openvino:fp16", "openvino:fp16@cpu"]
    assert [one.gates.max_abs_error for one in again.builds] == [None, 0.7]


def test_of_a_ladder_the_last_rung_is_built_again(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp16", ladder=True, gates=Gates(min_cosine=0.99))
    tick(farm)
    hand.complete(hand.claim(made.builds[0].id))
    assert build(farm, made.builds[0].id).failure.code == GateMissed.code
    second = job(farm, made.id).builds[1]
    tick(farm)
    hand.fail(hand.claim(second.id), ConversionFailed("no").failure())
    again, _ = retry.retry_job(farm, me(farm), made.id)
    assert [one.target for one in again.builds] == [second.target]
    assert again.ladder


def test_what_has_not_failed_is_not_built_again(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32")
    with pytest.raises(Conflict, match="is waiting"):
        retry.retry_build(farm, me(farm), made.builds[0].id)
    with pytest.raises(Conflict, match="no build of job"):
        retry.retry_job(farm, me(farm), made.id)
    tick(farm)
    hand.build(made.builds[0].id)
    with pytest.raises(Conflict, match="is succeeded"):
        retry.retry_build(farm, me(farm), made.builds[0].id)


def test_another_projects_things_are_not_there(farm, model):
    made = failed(farm, model, Farmhand(farm))
    other = stranger(farm)
    for what in (
        lambda: retry.retry_build(farm, other, made.builds[0].id),
        lambda: retry.retry_job(farm, other, made.id),
        lambda: retry.clone(farm, other, made.id, JobChanges()),
        lambda: retry.prioritise(farm, other, made.id, Priority.HIGH),
    ):
        with pytest.raises(NotFound):
            what()


def test_a_key_makes_one_retry_of_many_requests(farm, model):
    made = failed(farm, model, Farmhand(farm))
    build_id = made.builds[0].id
    first, new = retry.retry_build(farm, me(farm), build_id, key="k")
    second, again = retry.retry_build(farm, me(farm), build_id, key="k")
    assert (first.id, new, again) == (second.id, True, False)
    with pytest.raises(Conflict, match="Idempotency-Key"):
        retry.clone(farm, me(farm), made.id, JobChanges(name="other"), key="k")


def test_a_clone_is_the_same_job_and_answered_by_the_cache(farm, model):
    hand = Farmhand(farm, slots=2)
    made = submit(farm, model, "openvino:fp32", "openvino:fp16@cpu", name="x", shapes={}, seed=9, verify=True)
    tick(farm)
    for one in made.builds:
        hand.build(one.id, one.id.encode())
    again, _ = retry.clone(farm, me(farm), made.id, JobChanges())
    assert again.state is JobState.SUCCEEDED
    assert {one.origin for one in again.builds} == {Origin.CACHE}
    assert [one.target for one in again.builds] == [one.target for one in made.builds]
    assert {one.note for one in again.builds} == {f"cloned from {made.id}"}


def test_a_clone_takes_what_is_given_in_place_of_its_own(farm, model):
    made = submit(
        farm,
        model,
        "openvino:fp32",
        "openvino:fp16",
        gates=Gates(max_abs_error=0.5),
        target_gates={"openvino:fp16": {"max_abs_error": 0.9}},
        limits={"time_s": 5, "memory_mb": 99},
        seed=3,
        name="first",
    )
    changes = JobChanges.model_validate(
        {"targets": ["openvino:fp32"], "seed": 8, "limits": {"time_s": 60}, "priority": "low", "name": None}
    )
    again, _ = retry.clone(farm, me(farm), made.id, changes)
    assert [str(one.target) for one in again.builds] == ["openvino:fp32"]
    assert again.builds[0].gates.max_abs_error == 0.5
    assert (again.priority, again.limits.time_s, again.name) == (Priority.LOW, 60, "")
    assert row(farm, again.builds[0].id).recipe["seed"] == 8


def test_a_clone_that_contradicts_itself_says_what_and_where(farm, model):
    made = submit(farm, model, "openvino:fp32")
    metric = {"name": "m", "code": "def metric(outputs, labels):\n    return 1.0\n", "higher_is_better": True}
    with pytest.raises(RequestError, match="metric: it is taken over a dataset"):
        retry.clone(farm, me(farm), made.id, JobChanges.model_validate({"metric": metric}))
    with pytest.raises(NotFound, match="there is no model"):
        retry.clone(farm, me(farm), made.id, JobChanges(model="0" * 64))
    other = {"openvino:int8": {"min_cosine": 0.9}}
    with pytest.raises(RequestError, match="is not one of the job's targets"):
        retry.clone(farm, me(farm), made.id, JobChanges.model_validate({"target_gates": other}))


def test_a_clone_of_another_model(farm, model):
    from pathlib import Path

    import onnx

    folder = Path(onnx.__file__).parent / "backend/test/data/pytorch-converted"
    other = push(farm, (folder / "test_Linear_no_bias/model.onnx").read_bytes())
    made = submit(farm, model, "openvino:fp32")
    again, _ = retry.clone(farm, me(farm), made.id, JobChanges(model=other))
    assert again.model == other


def test_every_field_of_a_request_can_be_changed():
    assert set(JobChanges.model_fields) == set(JobRequest.model_fields)


def test_another_priority_is_another_place_in_the_line(farm, model):
    hand = Farmhand(farm)
    first, second = (submit(farm, model, "openvino:fp32", seed=seed) for seed in (1, 2))
    view = retry.prioritise(farm, me(farm), second.id, Priority.HIGH)
    assert view.priority is Priority.HIGH
    assert row(farm, second.builds[0].id).due < row(farm, first.builds[0].id).due
    tick(farm)
    assert build(farm, second.builds[0].id).state is BuildState.DISPATCHED
    hand.build(second.builds[0].id)
    with farm.read() as session:
        (told,) = [event for event in events.after(session, 0, job=second.id) if event.kind == "job.priority"]
        assert session.get_one(Job, second.id).priority == "high"
    assert told.data == {"priority": "high", "came_from": "normal"}
    with pytest.raises(Conflict, match="means nothing any more"):
        retry.prioritise(farm, me(farm), second.id, Priority.LOW)


def test_a_running_build_comes_back_to_its_new_place(farm, model):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp32")
    tick(farm)
    claim = hand.claim(made.builds[0].id)
    retry.prioritise(farm, me(farm), made.id, Priority.LOW)
    hand.fail(claim, released=True)
    with farm.read() as session:
        waiting = session.scalar(select(Build).where(Build.job_id == made.id))
        assert waiting.due > waiting.created
    assert jobs.cancel(farm, me(farm), made.id).state is JobState.CANCELLED

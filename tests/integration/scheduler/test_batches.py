"""Batches: all or none, one cancel for all, and artifacts built again under bounds from their own reports."""

from __future__ import annotations

import pytest
from farmhand import Farmhand, build, me, submit, tick
from sqlalchemy import func, select

from enginehouse.batch import BatchRequest, RebuildRequest
from enginehouse.errors import Conflict, NotFound, UnknownBackend
from enginehouse.request import JobRequest
from enginehouse.states import BuildState, JobState
from scheduler import batches, jobs
from scheduler.batches import state_of
from scheduler.registry.tables import Batch, Job


def asked(model: str, *targets: str, seed: int = 0) -> JobRequest:
    return JobRequest(model=model, targets=list(targets), seed=seed)


def many(model: str, count: int) -> BatchRequest:
    return BatchRequest(name="many", jobs=[asked(model, "openvino:fp32", seed=seed) for seed in range(count)])


def test_all_are_accepted_and_the_batch_ends_when_they_have(farm, model):
    hand = Farmhand(farm, slots=3)
    batch, new = batches.submit(farm, me(farm), many(model, 3))
    assert (new, batch.state, batch.counts) == (True, JobState.WAITING, {JobState.WAITING: 3})
    tick(farm)
    for number, one in enumerate(batch.jobs):
        with farm.read() as session:
            (found,) = jobs.get(session, me(farm), one.id).builds
        hand.build(found.id, f"engine {number}".encode())
    with farm.read() as session:
        ended = batches.get(session, me(farm), batch.id)
        listed = batches.list_(session, me(farm)).items
    assert (ended.state, ended.counts) == (JobState.SUCCEEDED, {JobState.SUCCEEDED: 3})
    assert [(one.id, one.jobs) for one in listed] == [(batch.id, [])]


def test_one_wrong_job_and_none_is_accepted(farm, model):
    Farmhand(farm)
    request = BatchRequest(jobs=[asked(model, "openvino:fp32"), asked(model, "nonsense:fp32")])
    with pytest.raises(UnknownBackend, match=r"jobs\.1") as refused:
        batches.submit(farm, me(farm), request)
    assert refused.value.where["job"] == 1
    with farm.read() as session:
        assert session.scalar(select(func.count()).select_from(Job)) == 0
        assert session.scalar(select(func.count()).select_from(Batch)) == 0


def test_the_key_makes_it_one_batch(farm, model):
    Farmhand(farm)
    first, _ = batches.submit(farm, me(farm), many(model, 2), "key")
    again, new = batches.submit(farm, me(farm), many(model, 2), "key")
    assert (again.id, new) == (first.id, False)
    with pytest.raises(Conflict):
        batches.submit(farm, me(farm), many(model, 3), "key")


def test_it_is_cancelled_as_one(farm, model):
    hand = Farmhand(farm, slots=1)
    batch, _ = batches.submit(farm, me(farm), many(model, 3))
    tick(farm)
    with farm.read() as session:
        (running,) = jobs.get(session, me(farm), batch.jobs[0].id).builds
    claim = hand.claim(running.id)
    stopping = batches.cancel(farm, me(farm), batch.id)
    assert stopping.counts == {JobState.CANCELLED: 2, JobState.CANCELLING: 1}
    assert stopping.state is JobState.CANCELLING
    hand.fail(claim, cancelled=True)
    with farm.read() as session:
        assert batches.get(session, me(farm), batch.id).state is JobState.CANCELLED


def test_what_is_no_worse_is_promoted_and_what_became_worse_is_not(farm, model):
    hand = Farmhand(farm, slots=2)
    ids = [submit(farm, model, "openvino:fp32", seed=seed).builds[0].id for seed in range(2)]
    tick(farm)
    old = [hand.complete(hand.claim(id_), f"old {id_}".encode(), sqnr_db=40.0).artifact for id_ in ids]
    newer = Farmhand(farm, "newer", "boot-0009", slots=2, tags=("cpu", "newer"), hardware_class="cpu-newer")
    request = RebuildRequest(artifacts=old, requires=["newer"], max_sqnr_loss_db=1.0)
    batch, _ = batches.rebuild(farm, me(farm), request)
    tick(farm)
    ended = []
    for one, signal in zip(batch.jobs, (39.5, 38.5), strict=True):
        with farm.read() as session:
            (found,) = jobs.get(session, me(farm), one.id).builds
        assert found.target.requires == ("newer",)
        assert found.gates.min_sqnr_db == 39.0
        ended.append(newer.complete(newer.claim(found.id), f"new {one.id}".encode(), sqnr_db=signal))
    assert [one.state for one in ended] == [BuildState.SUCCEEDED, BuildState.FAILED]
    assert ended[1].failure is not None
    assert ended[1].failure.where["missed"][0]["measured"] == 38.5
    assert ended[1].artifact
    assert not ended[1].promoted
    assert build(farm, ids[1]).promoted


def test_only_what_the_project_sees_is_built_again(farm, model):
    Farmhand(farm)
    with pytest.raises(NotFound):
        batches.rebuild(farm, me(farm), RebuildRequest(artifacts=["a" * 64]))


@pytest.mark.parametrize(
    ("states", "state"),
    [
        ([JobState.WAITING], JobState.WAITING),
        ([JobState.WAITING, JobState.SUCCEEDED], JobState.RUNNING),
        ([JobState.RUNNING, JobState.FAILED], JobState.RUNNING),
        ([JobState.CANCELLING, JobState.RUNNING], JobState.CANCELLING),
        ([JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED], JobState.FAILED),
        ([JobState.SUCCEEDED, JobState.CANCELLED], JobState.CANCELLED),
        ([JobState.SUCCEEDED], JobState.SUCCEEDED),
    ],
)
def test_the_state_of_a_batch(states, state):
    assert state_of(states) is state

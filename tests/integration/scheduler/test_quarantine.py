"""Quarantine: what takes the farm down is not tried for ever, whoever asks for it; a person or a change lets it go."""

from __future__ import annotations

import pytest
from farmhand import OPENVINO, Farmhand, build, job, let_leases_end, me, skip_backoff, submit, tick

from enginehouse.errors import BuildCrashed, ConversionFailed, InternalError, NotFound, Quarantined, StoreUnavailable
from enginehouse.gates import Gates
from enginehouse.states import BuildState, JobState
from scheduler import events, quarantine, retry


def lose(farm, hand: Farmhand, id_: str) -> None:
    """The build takes its worker down, as often as it may."""
    for _ in range(farm.settings.max_attempts):
        skip_backoff(farm)
        tick(farm)
        hand.claim(id_)
        let_leases_end(farm)
        hand.beat()
        tick(farm)


def listed(farm) -> list[str]:
    with farm.read() as session:
        return [item.build for item in quarantine.list_(session).items]


@pytest.fixture
def hand(farm) -> Farmhand:
    return Farmhand(farm)


@pytest.fixture
def poison(farm, model, hand) -> str:
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    lose(farm, hand, id_)
    assert build(farm, id_).failure.code == "farm.attempts_exhausted"
    return id_


def test_an_equal_submission_fails_at_once_and_names_the_evidence(farm, model, poison):
    made = submit(farm, model, "openvino:fp32", "openvino:fp16")
    same, other = made.builds
    assert (same.state, same.failure.code) == (BuildState.FAILED, Quarantined.code)
    assert poison in same.failure.detail
    assert "farm.worker_lost" in same.failure.detail
    assert same.failure.where == {"build": poison}
    assert same.attempts == []
    assert other.state is BuildState.WAITING
    assert made.state is JobState.RUNNING


def test_it_is_listed_with_its_evidence(farm, poison):
    with farm.read() as session:
        page = quarantine.list_(session)
    (item,) = page.items
    assert (item.build, item.last, item.workers, str(item.target)) == (
        poison,
        "farm.worker_lost",
        ["one"],
        "openvino:fp32",
    )
    assert page.next is None


def test_pages_follow_each_other(farm, model, hand):
    ids = []
    for seed in range(3):
        ids.append(submit(farm, model, "openvino:fp32", seed=seed).builds[0].id)
        lose(farm, hand, ids[-1])
    seen, after = [], None
    while True:
        with farm.read() as session:
            page = quarantine.list_(session, limit=2, after=after)
        seen += [item.build for item in page.items]
        after = page.next
        if after is None:
            break
    assert seen == ids[::-1]


def test_an_operator_releases_it_and_then_it_may_be_built_again(farm, model, hand, poison):
    refused = retry.retry_build(farm, me(farm), poison)[0].builds[0]
    assert refused.failure.code == Quarantined.code
    released = quarantine.release(farm, me(farm), refused.id)  # any build that asks for the same names it
    assert released.build == poison
    assert listed(farm) == []
    with pytest.raises(NotFound, match="in quarantine"):
        quarantine.release(farm, me(farm), poison)
    again = retry.retry_build(farm, me(farm), poison)[0].builds[0].id
    tick(farm)
    assert hand.build(again).state is BuildState.SUCCEEDED
    with farm.read() as session:
        told = [event for event in events.after(session, 0) if event.kind in {"build.quarantined", "build.released"}]
    assert [(event.kind, event.build) for event in told] == [("build.quarantined", poison), ("build.released", poison)]


def test_what_fails_again_after_its_release_is_quarantined_again_with_the_newer_evidence(farm, model, hand, poison):
    quarantine.release(farm, me(farm), poison)
    again = submit(farm, model, "openvino:fp32").builds[0].id
    lose(farm, hand, again)
    assert listed(farm) == [again]


@pytest.mark.parametrize("what", ["toolchain", "pipeline"])
def test_another_toolchain_or_pipeline_is_another_build(farm, model, hand, poison, what):
    if what == "toolchain":
        newer = OPENVINO.model_copy(update={"toolchain": {"openvino": "2026.9"}})
        other = Farmhand(farm, "two", "boot-0002", capabilities=[newer])
    else:
        other = Farmhand(farm, "two", "boot-0002", pipeline="2")
    assert submit(farm, model, "openvino:fp32").builds[0].state is BuildState.WAITING
    assert listed(farm) == []
    assert other.signed_on.pool != hand.signed_on.pool


def test_more_of_the_same_workers_change_nothing(farm, model, poison):
    Farmhand(farm, "two", "boot-0002", hardware_class="another", slots=4)
    assert submit(farm, model, "openvino:fp32").builds[0].failure.code == Quarantined.code


def test_those_who_had_joined_fail_with_it(farm, model, hand):
    first, joined = (submit(farm, model, "openvino:fp32").builds[0].id for _ in range(2))
    lose(farm, hand, first)
    ended = build(farm, joined)
    assert (ended.state, ended.failure.code) == (BuildState.FAILED, Quarantined.code)
    assert first in ended.failure.detail


def test_a_rung_that_is_in_quarantine_is_not_tried(farm, model, hand, poison):
    made = submit(farm, model, "openvino:fp16", ladder=True, gates=Gates(min_cosine=0.99))
    tick(farm)
    hand.complete(hand.claim(made.builds[0].id))
    ended = job(farm, made.id)
    assert [one.failure.code for one in ended.builds] == ["build.gate_missed", Quarantined.code]
    assert ended.state is JobState.FAILED


def test_what_kills_its_process_every_time_is_quarantined(farm, model, hand):
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    while build(farm, id_).state is not BuildState.FAILED:
        skip_backoff(farm)
        tick(farm)
        hand.fail(hand.claim(id_), BuildCrashed("died by SIGSEGV").failure())
    assert listed(farm) == [id_]
    assert build(farm, id_).failure.code == BuildCrashed.code
    again = submit(farm, model, "openvino:fp32").builds[0]
    assert again.failure.code == Quarantined.code


@pytest.mark.parametrize("error", [ConversionFailed, StoreUnavailable, InternalError])
def test_what_the_build_has_no_part_in_or_what_is_tried_once_is_not_quarantined(farm, model, hand, error):
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    while build(farm, id_).state is not BuildState.FAILED:
        skip_backoff(farm)
        tick(farm)
        hand.fail(hand.claim(id_), error("no").failure())
    assert listed(farm) == []


def test_what_the_cache_has_is_answered_all_the_same(farm, model, hand, poison):
    quarantine.release(farm, me(farm), poison)
    again = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    hand.build(again)
    with farm.write() as session:
        from scheduler.registry.tables import Build

        quarantine.enter(session, session.get_one(Build, poison))
    assert submit(farm, model, "openvino:fp32").state is JobState.SUCCEEDED

"""Ladders in the registry: what was not good enough gives way to the next rung, once, whatever happens meanwhile."""

from __future__ import annotations

import pytest
from farmhand import OPENVINO, Farmhand, build, job, let_leases_end, me, skip_backoff, submit, tick

from enginehouse.errors import ConversionFailed, PrecisionNotKept
from enginehouse.gates import Gates
from enginehouse.states import BuildState, JobState, Origin
from enginehouse.targets import Precision
from scheduler import artifacts, builds, events, jobs

OPTIONS = {"threads": {"type": "integer", "default": 0}, "calibration": {"enum": ["dataset", "generated"]}}
PLAIN = OPENVINO.model_copy(
    update={
        "precisions": [Precision.INT8, Precision.FP16, Precision.FP32],
        "options_schema": {"type": "object", "properties": OPTIONS, "additionalProperties": False},
    }
)
MIXED = PLAIN.model_copy(
    update={"options_schema": {**PLAIN.options_schema, "properties": {**OPTIONS, "mixed": {"type": "boolean"}}}}
)
INT8 = {"backend": "openvino", "precision": "int8", "options": {"calibration": "generated", "threads": 2}}
FP32 = {"backend": "openvino", "precision": "fp32", "options": {"threads": 2}}
EXACT = Gates(max_abs_error=0.1)


def next_one(farm, hand, job_id, **report):
    """The job's newest build, dispatched, built with this report and ended."""
    tick(farm)
    newest = max(job(farm, job_id).builds, key=lambda one: one.rung)
    return hand.complete(hand.claim(newest.id), newest.id.encode(), **report)


def kinds(farm, job_id):
    with farm.read() as session:
        return [event.kind for event in events.after(session, 0, job=job_id)]


def test_it_goes_on_until_a_rung_passes(farm, model):
    hand = Farmhand(farm, capabilities=[MIXED])
    made = submit(farm, model, INT8, gates=EXACT, ladder=True)
    first = next_one(farm, hand, made.id, error=0.5)
    assert (first.state, first.failure.code, first.promoted) == (BuildState.FAILED, "build.gate_missed", False)
    between = job(farm, made.id)
    assert between.state is JobState.RUNNING
    assert [(one.rung, one.state) for one in between.builds] == [(0, BuildState.FAILED), (1, BuildState.WAITING)]
    next_one(farm, hand, made.id, agrees=False, error=0.3)
    last = next_one(farm, hand, made.id, error=0.05)
    ended = job(farm, made.id)
    assert ended.state is JobState.SUCCEEDED
    assert [one.target.options for one in ended.builds] == [
        {"calibration": "generated", "threads": 2},
        {"calibration": "generated", "threads": 2, "mixed": True},
        {"threads": 2},
    ]
    assert [str(one.target) for one in ended.builds] == ["openvino:int8", "openvino:int8", "openvino:fp16"]
    assert [one.promoted for one in ended.builds] == [False, False, True]
    assert [one.ladder_of for one in ended.builds] == [None, first.id, first.id]
    assert [one.replaced_by for one in ended.builds] == [ended.builds[1].id, last.id, None]
    assert [one.gates for one in ended.builds] == [EXACT] * 3
    assert "in the place of openvino:int8 mixed (build.gate_missed)" in last.note
    assert "left out: the options calibration, mixed" in last.note
    with farm.read() as session:
        kept = {one.id: one.promoted for one in artifacts.list_(session, me(farm)).items}
    assert kept == {one.artifact: one.promoted for one in ended.builds}
    told = kinds(farm, made.id)
    assert told.count("build.created") == 2
    assert [kind for kind in told if kind.startswith("job.")] == ["job.created", "job.running", "job.succeeded"]
    assert told.index("build.created") == told.index("build.failed") + 1


def test_where_no_rung_passes_the_job_fails_for_the_last_ones_reason(farm, model):
    hand = Farmhand(farm, capabilities=[PLAIN])
    made = submit(farm, model, INT8, gates=EXACT, ladder=True)
    for error in (0.5, 0.4, 0.3):
        next_one(farm, hand, made.id, error=error)
    ended = job(farm, made.id)
    assert ended.state is JobState.FAILED
    assert [str(one.target) for one in ended.builds] == ["openvino:int8", "openvino:fp16", "openvino:fp32"]
    assert "measured 0.3" in ended.builds[-1].failure.detail
    assert ended.builds[-1].note.endswith("the ladder ends here; there is nothing above fp32")
    assert kinds(farm, made.id).count("job.failed") == 1


def test_only_the_precisions_sake_leads_on_and_only_where_it_was_asked_for(farm, model):
    hand = Farmhand(farm, capabilities=[PLAIN], slots=3)
    degraded = submit(farm, model, INT8, ladder=True)
    broken = submit(farm, model, INT8, ladder=True, seed=1)
    without = submit(farm, model, INT8, seed=2)
    tick(farm)
    hand.fail(hand.claim(degraded.builds[0].id), PrecisionNotKept("fp32 inside").failure())
    hand.fail(hand.claim(broken.builds[0].id), ConversionFailed("no").failure())
    hand.fail(hand.claim(without.builds[0].id), PrecisionNotKept("fp32 inside").failure())
    found = [(job(farm, one.id).state, len(job(farm, one.id).builds)) for one in (degraded, broken, without)]
    assert found == [(JobState.RUNNING, 2), (JobState.FAILED, 1), (JobState.FAILED, 1)]


def test_where_nobody_offers_a_rung_the_build_says_so(farm, model):
    hand = Farmhand(farm, capabilities=[PLAIN.model_copy(update={"precisions": [Precision.INT8]})])
    made = submit(farm, model, INT8, gates=EXACT, ladder=True)
    ended = next_one(farm, hand, made.id)
    assert job(farm, made.id).state is JobState.FAILED
    assert "the ladder ends here" in ended.note
    assert "openvino is offered in int8, not in 'fp32'" in ended.note


def test_cancelling_ends_the_whole_ladder(farm, model):
    hand = Farmhand(farm, capabilities=[PLAIN], slots=2)
    made = submit(farm, model, INT8, gates=EXACT, ladder=True)
    next_one(farm, hand, made.id)
    assert jobs.cancel(farm, me(farm), made.id).state is JobState.CANCELLED
    other = submit(farm, model, INT8, gates=EXACT, ladder=True, seed=1)
    first = next_one(farm, hand, other.id)
    tick(farm)
    claim = hand.claim(job(farm, other.id).builds[1].id)
    assert builds.cancel(farm, me(farm), first.id).state is BuildState.FAILED
    assert job(farm, other.id).state is JobState.CANCELLING
    hand.fail(claim, PrecisionNotKept("no").failure())
    ended = job(farm, other.id)
    assert (ended.state, len(ended.builds)) == (JobState.CANCELLED, 2)


def test_a_cached_artifact_is_judged_by_the_gates_of_the_job_that_asks_and_rungs_come_from_the_cache(farm, model):
    hand = Farmhand(farm, capabilities=[PLAIN])
    for target, error in ((INT8, 0.5), (FP32, 0.01)):
        next_one(farm, hand, submit(farm, model, target).id, error=error)
    lenient = submit(
        farm, model, INT8, gates=Gates(max_abs_error=0.1), target_gates={"openvino:int8": {"max_abs_error": 1}}
    )
    assert lenient.state is JobState.SUCCEEDED
    strict = submit(farm, model, INT8, gates=EXACT, ladder=True)
    assert strict.state is JobState.RUNNING
    assert (strict.builds[0].origin, strict.builds[0].artifact) == (Origin.CACHE, lenient.builds[0].artifact)
    next_one(farm, hand, strict.id, error=0.5)
    tick(farm)
    ended = job(farm, strict.id)
    assert ended.state is JobState.SUCCEEDED
    assert [(str(one.target), one.origin) for one in ended.builds[1:]] == [
        ("openvino:fp16", Origin.BUILT),
        ("openvino:fp32", Origin.CACHE),
    ]


def test_jobs_that_joined_go_on_by_their_own_gates_and_their_rungs_join_again(farm, model):
    hand = Farmhand(farm, capabilities=[PLAIN], slots=4)
    strict = [submit(farm, model, INT8, gates=EXACT, ladder=True) for _ in range(2)]
    lenient = submit(farm, model, INT8, gates=Gates(max_abs_error=1), ladder=True)
    next_one(farm, hand, strict[0].id)
    assert job(farm, lenient.id).state is JobState.SUCCEEDED
    assert [len(job(farm, one.id).builds) for one in strict] == [2, 2]
    next_one(farm, hand, strict[0].id, error=0.05)
    ended = [job(farm, one.id) for one in strict]
    assert [one.state for one in ended] == [JobState.SUCCEEDED, JobState.SUCCEEDED]
    assert [one.builds[1].origin for one in ended] == [Origin.BUILT, Origin.JOINED]
    assert ended[0].builds[1].artifact == ended[1].builds[1].artifact


def test_a_rung_joins_what_its_own_job_is_building_already(farm, model):
    hand = Farmhand(farm, capabilities=[PLAIN], slots=2)
    made = submit(farm, model, INT8, {**FP32, "precision": "fp16"}, gates=EXACT, ladder=True)
    tick(farm)
    int8, fp16 = made.builds
    claim = hand.claim(fp16.id)
    hand.complete(hand.claim(int8.id))
    tick(farm)
    rung = job(farm, made.id).builds[1]
    assert (rung.ladder_of, rung.state, fp16.id in rung.reason) == (int8.id, BuildState.WAITING, True)
    hand.complete(claim, b"halves", error=0.05)
    ended = job(farm, made.id)
    assert (ended.state, ended.builds[1].origin) == (JobState.SUCCEEDED, Origin.JOINED)


@pytest.mark.parametrize("how", ["lost", "crashed"])
def test_a_rung_is_tried_again_like_any_build(farm, model, how):
    hand = Farmhand(farm, capabilities=[PLAIN])
    made = submit(farm, model, INT8, gates=EXACT, ladder=True)
    next_one(farm, hand, made.id)
    tick(farm)
    rung = job(farm, made.id).builds[1].id
    claim = hand.claim(rung)
    if how == "lost":
        let_leases_end(farm)
        hand.beat()
    else:
        hand.fail(claim)
    tick(farm)
    skip_backoff(farm)
    done = next_one(farm, hand, made.id, error=0.05)
    assert (done.id, done.state, len(done.attempts)) == (rung, BuildState.SUCCEEDED, 2)
    assert job(farm, made.id).state is JobState.SUCCEEDED
    assert build(farm, rung).promoted

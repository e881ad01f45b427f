"""Baselines in the registry: where such builds go, what is shared, and how gates on them end a build and a ladder."""

from __future__ import annotations

import pytest
from farmhand import OPENVINO, Farmhand, build, job, submit, tick

from enginehouse.errors import BaselineNotOffered, UnknownPrecision
from enginehouse.gates import Gates
from enginehouse.report import Benchmark, OtherBaseline, Timing
from enginehouse.states import BuildState, JobState, Origin
from enginehouse.targets import Precision
from enginehouse.work import Claim
from scheduler import attempts, workers

WHOLE = OPENVINO.model_copy(update={"precisions": [Precision.INT8, Precision.FP16, Precision.FP32]})
PLAIN = WHOLE.model_copy(
    update={"backend": "onnxruntime", "toolchain": {"onnxruntime": "1.31.1"}, "precisions": [Precision.FP32]}
)
SLOWER_THAN_FP32 = {"openvino:fp32": 0.9, "onnxruntime:fp32": 2.0}
FASTER = {"openvino:fp32": 1.3, "onnxruntime:fp32": 2.0}


def measured(hand: Farmhand, claim: Claim, content: bytes, over: dict[str, float]) -> None:
    """End the attempt with a report in which these are the lower ends of the speed-ups over the other baselines."""
    numbers = {"count": 9, "p50_ms": 1.0, "p90_ms": 1.0, "p99_ms": 1.0, "mean_ms": 1.0, "min_ms": 1.0}
    timing = Timing(name="side", load_ms=1, first_ms=1, **numbers)
    wanted = [str(one) for one in claim.recipe.against()]
    benchmark = Benchmark(
        artifact=timing, baseline=timing, speedup=1.0, speedup_low=1.0, speedup_high=1.0, warmup=1, shapes={},
        threads=1, affinity=[0], settings={}, load_before=0, load_after=0, disturbed=False,
        others=[OtherBaseline(name=name, speedup=over[name] + 0.1, speedup_low=over[name]) for name in wanted],
    )  # fmt: skip
    done = hand.bundle(claim, content)
    report = done.report.model_copy(update={"benchmark": benchmark})
    attempts.complete(hand.farm, claim.build, done.model_copy(update={"report": report}))


def test_it_goes_to_a_worker_that_offers_the_baselines_too(farm, model):
    Farmhand(farm, "alone", slots=4, capabilities=[WHOLE])
    hand = Farmhand(farm, "whole", boot="boot-0002", capabilities=[WHOLE, PLAIN], hardware_class="cpu-other")
    (made,) = submit(farm, model, "openvino:fp16", baselines=["onnxruntime:fp32", "openvino:fp16"]).builds
    assert [str(one) for one in made.baselines] == ["onnxruntime:fp32"]
    tick(farm)
    assert build(farm, made.id).pool.startswith("cpu-other")
    claim = hand.claim(made.id)
    assert [str(one) for one in claim.recipe.against()] == ["onnxruntime:fp32"]


def test_while_such_a_worker_is_away_it_waits_and_says_for_what(farm, model):
    whole = Farmhand(farm, "whole", capabilities=[WHOLE, PLAIN], hardware_class="cpu-other")
    Farmhand(farm, "alone", boot="boot-0002", capabilities=[WHOLE])
    workers.sign_off(farm, whole.signed_on.worker, whole.boot)
    (made,) = submit(farm, model, "openvino:fp16", baselines=["onnxruntime:fp32"]).builds
    tick(farm)
    waiting = build(farm, made.id)
    assert waiting.state is BuildState.WAITING
    assert "offers onnxruntime:fp32, which it is to be measured against" in waiting.reason


def test_what_nobody_offers_beside_the_target_is_refused_and_nothing_is_kept(farm, model):
    Farmhand(farm, "alone", capabilities=[WHOLE])
    Farmhand(farm, "other", boot="boot-0002", capabilities=[PLAIN], hardware_class="cpu-other")
    with pytest.raises(BaselineNotOffered, match="no worker that offers openvino:fp16 offers onnxruntime:fp32"):
        submit(farm, model, "openvino:fp16", gates=Gates(min_speedup={"onnxruntime:fp32": 1}))
    with pytest.raises(UnknownPrecision):
        submit(farm, model, "openvino:fp16", baselines=["openvino:bf16"])


def test_only_builds_with_the_same_baselines_share_a_result(farm, model):
    hand = Farmhand(farm, slots=4, capabilities=[WHOLE, PLAIN])
    both = ["openvino:fp32", "onnxruntime:fp32"]
    first = submit(farm, model, "openvino:fp16", baselines=both).builds[0]
    other = submit(farm, model, "openvino:fp16").builds[0]
    joined = submit(farm, model, "openvino:fp16", baselines=[*both[::-1], "openvino:fp16"]).builds[0]
    tick(farm)
    states = [build(farm, one.id).state for one in (first, other, joined)]
    assert states == [BuildState.DISPATCHED, BuildState.DISPATCHED, BuildState.WAITING]
    measured(hand, hand.claim(first.id), b"an engine", FASTER)
    ended = build(farm, joined.id)
    assert (ended.state, ended.origin, ended.artifact) == (
        BuildState.SUCCEEDED, Origin.JOINED, build(farm, first.id).artifact
    )  # fmt: skip
    (cached,) = submit(farm, model, "openvino:fp16", baselines=both).builds
    assert cached.origin is Origin.CACHE
    (fewer,) = submit(farm, model, "openvino:fp16", baselines=both[:1]).builds
    assert fewer.state is BuildState.WAITING


def test_another_version_of_a_baselines_toolchain_is_measured_anew(farm, model):
    hand = Farmhand(farm, capabilities=[WHOLE, PLAIN])
    (made,) = submit(farm, model, "openvino:fp16", baselines=["onnxruntime:fp32"]).builds
    (bare,) = submit(farm, model, "openvino:fp16").builds
    for one in (made, bare):
        tick(farm)
        measured(hand, hand.claim(one.id), one.id.encode(), FASTER)
    newer = PLAIN.model_copy(update={"toolchain": {"onnxruntime": "1.32.0"}})
    Farmhand(farm, boot="boot-0002", capabilities=[WHOLE, newer])
    (again,) = submit(farm, model, "openvino:fp16", baselines=["onnxruntime:fp32"]).builds
    assert again.state is BuildState.WAITING
    assert submit(farm, model, "openvino:fp16").builds[0].origin is Origin.CACHE


def test_rungs_keep_the_baselines_and_the_bounds_on_them(farm, model):
    hand = Farmhand(farm, capabilities=[WHOLE, PLAIN])
    gates = Gates(min_speedup={"openvino:fp32": 1.2, "onnxruntime:fp32": 1.5})
    made = submit(farm, model, "openvino:fp16", gates=gates, ladder=True)
    tick(farm)
    first = made.builds[0]
    assert first.gates == gates
    measured(hand, hand.claim(first.id), b"first", SLOWER_THAN_FP32)
    missed = build(farm, first.id)
    assert missed.state is BuildState.FAILED
    assert missed.failure is not None
    assert missed.failure.code == "build.gate_missed"
    (said,) = missed.failure.where["missed"]
    assert (said["gate"], said["bound"], said["measured"]) == ("min_speedup", 1.2, 0.9)
    assert said["of"].endswith("over openvino:fp32")
    tick(farm)
    rung = job(farm, made.id).builds[1]
    assert str(rung.target) == "openvino:fp32"
    assert rung.gates == gates
    assert [str(one) for one in rung.baselines] == ["onnxruntime:fp32"], "it is none of its own"
    measured(hand, hand.claim(rung.id), b"rung", FASTER)
    assert job(farm, made.id).state is JobState.SUCCEEDED

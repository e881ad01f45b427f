"""The resolver over a registry: what a project's builds left, what is passed over, what is enqueued."""

from __future__ import annotations

from typing import Any

import pytest
from farmhand import OPENVINO, Farmhand, me, submit, tick
from sqlalchemy import func, select

from enginehouse.capability import Hardware
from enginehouse.errors import InvalidShapes, NotFound, UnknownBackend
from enginehouse.fingerprint import Fingerprint
from enginehouse.gates import Gates
from enginehouse.reasons import Reason
from enginehouse.report import Benchmark, Timing
from enginehouse.resolution import Nearness, Resolution, ResolveRequest
from enginehouse.states import BuildState, JobState
from enginehouse.targets import Precision
from enginehouse.work import Claim, Complete
from scheduler import builds, jobs, models
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Build, Job, Project
from scheduler.resolve import resolve
from scheduler.tokens import Principal

TAGS = ("avx2", "avx512_vnni", "cpu", "intel", "x86_64")


def host(hardware_class: str = "cpu-test-2c", tags: tuple[str, ...] = TAGS, **runtimes: str) -> Fingerprint:
    hardware = Hardware(hardware_class=hardware_class, tags=sorted(tags), cpu_model="test", cores=2, memory_mb=1)
    return Fingerprint(hardware=hardware, runtimes=runtimes or {"openvino": "2026.4.1"})


def ask(farm: Farm, model: str, on: Fingerprint | None = None, **wishes: Any) -> Resolution:
    return resolve(farm, me(farm), ResolveRequest(model=model, host=on or host(), **wishes))


class Hand(Farmhand):
    """Hands whose artifacts are timed, or not, with the median that a test sets."""

    p50: float | None = 2.0
    verified = True

    def bundle(self, claim: Claim, content: bytes = b"an engine", *, agrees: bool = True) -> Complete:
        done = super().bundle(claim, content, agrees=agrees)
        if not self.verified:
            done.report.verification = None
        if self.p50 is not None:
            rest = {"count": 1, "p90_ms": 1, "p99_ms": 1, "mean_ms": 1, "min_ms": 1, "load_ms": 1, "first_ms": 1}
            done.report.benchmark = Benchmark(
                artifact=Timing(name="a", p50_ms=self.p50, **rest), baseline=Timing(name="b", p50_ms=4, **rest),
                speedup=4 / self.p50, warmup=1, shapes={}, threads=2, affinity=[], settings={}, load_before=0,
                load_after=0, disturbed=False,
            )  # fmt: skip
        hardware = Hardware(hardware_class="x", tags=list(TAGS), cpu_model="test", cores=2, memory_mb=1)
        done.report.environment = {"hardware": hardware.model_dump(mode="json")}
        return done

    def make(self, model: str, target: str, content: bytes, *, agrees: bool = True, **more: Any) -> str:
        """Submit, build, and give the artifact's id."""
        made = submit(self.farm, model, target, **more)
        self.beat()  # a slow machine would call it lost
        tick(self.farm)
        done = self.complete(self.claim(made.builds[0].id), content, agrees=agrees)
        assert done.artifact is not None
        return done.artifact


def stranger(farm: Farm) -> Principal:
    """Somebody of another project."""
    with farm.write() as session:
        session.add(Project(id="project_other", name="other", created=now(session)))
    return Principal(token=None, project="project_other", scopes=frozenset({"admin"}), name="other")


def count(farm: Farm, table: type[Job] | type[Build]) -> int:
    with farm.read() as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


def test_the_fastest_proven_artifact_is_the_best_and_the_others_follow(farm: Farm, model: str) -> None:
    hand = Hand(farm, tags=TAGS)
    slow = hand.make(model, "openvino:fp32", b"slow")
    hand.p50 = 1.0
    quick = hand.make(model, "openvino:fp16", b"quick")
    answer = ask(farm, model)
    assert answer.best is not None
    assert (answer.best.artifact, str(answer.best.target)) == (quick, "openvino:fp16")
    assert [one.artifact for one in answer.others] == [slow]
    assert answer.best.measured is not None
    assert (answer.best.measured.p50_ms, answer.best.measured.nearness) == (1.0, Nearness.SAME)
    assert (answer.best.entry, answer.best.runtime) == ("model.xml", {"openvino": "2026.4.1"})
    assert (answer.code, answer.passed_over, answer.complete, answer.job) == (None, [], True, None)
    elsewhere = ask(farm, model, host("another", openvino="2027.1.0"))
    assert elsewhere.best is not None
    assert elsewhere.best.measured is not None
    assert elsewhere.best.measured.nearness is Nearness.ALIKE


def test_each_artifact_that_is_passed_over_has_its_reason(farm: Farm, model: str) -> None:
    hand = Hand(farm, tags=TAGS)
    hand.make(model, "openvino:fp32", b"wrong", agrees=False)
    hand.make(model, "openvino:fp16", b"too slow", gates=Gates(max_p50_ms=1.0))
    hand.verified = False
    hand.make(model, "openvino:fp16", b"unproven", verify=False)
    answer = ask(farm, model)
    assert answer.best is None
    assert {one.target: one.code for one in answer.passed_over if one.code is not Reason.NOT_PROVEN} == {
        "openvino:fp32": Reason.DISAGREES,
        "openvino:fp16": Reason.NOT_PROMOTED,
    }
    assert Reason.NOT_PROVEN in {one.code for one in answer.passed_over}
    assert answer.code is Reason.NOT_PROMOTED, "the one that came nearest"
    assert "openvino:fp16" in answer.reason


NEAREST: list[tuple[Fingerprint, dict[str, Any], Reason]] = [
    (host(onnxruntime="1.31.1"), {}, Reason.RUNTIME_MISSING),
    (host(openvino="2025.1.0"), {}, Reason.RUNTIME_VERSION),
    (host(), {"backends": ["litert"]}, Reason.NOT_WANTED),
    (host(), {"precisions": ["int8"]}, Reason.NOT_WANTED),
    (host(), {"gates": {"max_p50_ms": 1.5}}, Reason.BOUND_MISSED),
    (host(), {"gates": {"max_bytes": 3}}, Reason.BOUND_MISSED),
]


def test_the_reason_of_the_nearest_is_the_answers(farm: Farm, model: str) -> None:
    Hand(farm, tags=TAGS).make(model, "openvino:fp16", b"an engine")
    for on, wishes, code in NEAREST:
        answer = ask(farm, model, on, **wishes)
        assert (answer.best, answer.code) == (None, code)
        assert [one.code for one in answer.passed_over] == [code]


def test_what_a_job_promoted_once_is_promoted(farm: Farm, model: str) -> None:
    hand = Hand(farm, tags=TAGS)
    made = hand.make(model, "openvino:fp16", b"an engine", gates=Gates(max_p50_ms=1.0))
    assert ask(farm, model).best is None
    again = submit(farm, model, "openvino:fp16")
    assert again.builds[0].artifact == made, "from the cache"
    answer = ask(farm, model)
    assert answer.best is not None
    assert answer.best.artifact == made


def test_a_project_never_learns_of_anothers_artifacts(farm: Farm, model: str, model_bytes: bytes) -> None:
    Hand(farm, tags=TAGS).make(model, "openvino:fp16", b"an engine")
    other = stranger(farm)
    request = ResolveRequest(model=model, host=host())
    with pytest.raises(NotFound):
        resolve(farm, other, request)
    models.receive(farm, other, "mine too", iter([model_bytes]), None)
    answer = resolve(farm, other, request)
    assert (answer.best, answer.passed_over, answer.code) == (None, [], Reason.NOT_BUILT)


def test_where_nothing_was_built_it_says_what_could_be(farm: Farm, model: str) -> None:
    answer = ask(farm, model)
    assert (answer.code, answer.buildable) == (Reason.NOT_BUILT, [])
    assert "no worker" in answer.advice
    Hand(farm, tags=TAGS)
    answer = ask(farm, model)
    assert answer.buildable == ["openvino:fp32", "openvino:fp16"]
    assert "enqueue" in answer.advice
    assert count(farm, Job) == 0, "nobody asked for a build"


def test_asking_twice_makes_one_job_and_its_result_is_the_answer(farm: Farm, model: str) -> None:
    hand = Hand(farm, tags=TAGS)
    wishes: dict[str, Any] = {"enqueue": True, "precisions": [Precision.FP16]}
    first = ask(farm, model, **wishes)
    again = ask(farm, model, host("another"), **wishes)
    assert (first.pending, first.best) == (True, None)
    assert first.job == again.job, "another host that can run the same is served by the same job"
    assert (count(farm, Job), count(farm, Build)) == (1, 1)
    hand.beat()
    tick(farm)
    with farm.read() as session:
        (waiting,) = jobs.get(session, me(farm), str(first.job)).builds
    done = hand.complete(hand.claim(waiting.id), b"an engine")
    answer = ask(farm, model, **wishes)
    assert answer.best is not None
    assert (answer.best.artifact, answer.pending) == (done.artifact, False)
    assert count(farm, Job) == 1


def test_what_another_project_built_is_taken_from_the_cache_where_it_shares_the_model(
    farm: Farm, model: str, model_bytes: bytes
) -> None:
    made = Hand(farm, tags=TAGS).make(model, "openvino:fp16", b"an engine")
    other = stranger(farm)
    models.receive(farm, other, "mine too", iter([model_bytes]), None)
    request = ResolveRequest(model=model, host=host(), enqueue=True, precisions=[Precision.FP16])
    private = resolve(farm, other, request)
    assert (private.best, private.pending) == (None, True)
    jobs.cancel(farm, other, str(private.job))
    models.share(farm, me(farm), model, True)
    answer = resolve(farm, other, request)
    assert answer.best is not None
    assert (answer.best.artifact, answer.pending) == (made, False)
    with farm.read() as session:
        assert jobs.get(session, other, str(answer.job)).state is JobState.SUCCEEDED


def test_a_job_that_failed_is_not_made_again_and_one_that_was_cancelled_is(farm: Farm, model: str) -> None:
    hand = Hand(farm, tags=TAGS)
    wishes: dict[str, Any] = {"enqueue": True, "precisions": [Precision.FP16]}
    first = ask(farm, model, **wishes)
    jobs.cancel(farm, me(farm), str(first.job))
    second = ask(farm, model, **wishes)
    assert second.job != first.job
    assert second.pending
    hand.beat()
    tick(farm)
    with farm.read() as session:
        (build,) = jobs.get(session, me(farm), str(second.job)).builds
    hand.complete(hand.claim(build.id), b"wrong", agrees=False)
    with farm.read() as session:
        assert builds.get(session, me(farm), build.id).state is BuildState.FAILED
    third = ask(farm, model, **wishes)
    assert (third.job, third.pending, third.code) == (second.job, False, Reason.DISAGREES)
    assert str(second.job) in third.advice
    assert count(farm, Job) == 2
    newer = OPENVINO.model_copy(update={"toolchain": {"openvino": "2026.4.2"}})
    hand = Hand(farm, tags=TAGS, capabilities=[newer], boot="boot-0002")
    fourth = ask(farm, model, **wishes)
    assert fourth.pending, "another toolchain may do better"
    assert count(farm, Job) == 3


def test_gates_of_the_request_are_the_jobs(farm: Farm, model: str) -> None:
    Hand(farm, tags=TAGS)
    answer = ask(farm, model, enqueue=True, gates={"min_cosine": 0.5}, backends=["openvino"])
    with farm.read() as session:
        made = jobs.get(session, me(farm), str(answer.job))
    assert made.gates == Gates(min_cosine=0.5)
    assert [str(one.target) for one in made.builds] == ["openvino:fp32", "openvino:fp16"]


def test_where_nothing_can_be_built_no_job_is_made(farm: Farm, model: str) -> None:
    Hand(farm, tags=TAGS)
    answer = ask(farm, model, host(onnxruntime="1.31.1"), enqueue=True)
    assert (answer.job, answer.code, count(farm, Job)) == (None, Reason.NOT_BUILT, 0)
    assert "no openvino" in answer.advice


def test_what_the_request_names_must_be_there(farm: Farm, model: str) -> None:
    with pytest.raises(NotFound):
        ask(farm, "0" * 64)
    with pytest.raises(InvalidShapes):
        ask(farm, model, shapes={"no input": (1,)})
    with pytest.raises(UnknownBackend):
        ask(farm, model, backends=["abacus"])
    with pytest.raises(NotFound):
        ask(farm, model, dataset="nobody@3")


def test_only_the_newest_are_looked_at_and_the_answer_says_so(
    farm: Farm, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    hand = Hand(farm, tags=TAGS)
    hand.make(model, "openvino:fp32", b"older")
    newer = hand.make(model, "openvino:fp16", b"newer")
    monkeypatch.setattr("scheduler.candidates.MOST", 1)
    answer = ask(farm, model)
    assert answer.best is not None
    assert (answer.best.artifact, answer.others, answer.complete) == (newer, [], False)

"""A build's numbers, picked out of its report by the database."""

from __future__ import annotations

from farmhand import Farmhand, build, me, submit, tick

from enginehouse.report import Benchmark, Timing
from enginehouse.views import ArtifactView
from scheduler import artifacts, attempts, results
from scheduler.farm import Farm
from scheduler.retention import pins


def timing(name: str, median: float) -> Timing:
    return Timing(
        name=name, count=9, p50_ms=median, p90_ms=median * 2, p99_ms=median * 3, mean_ms=median, min_ms=median / 2,
        load_ms=1, first_ms=2,
    )  # fmt: skip


def made(farm: Farm, model: str, *, benchmark: bool) -> ArtifactView:
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32", seed=int(benchmark)).builds[0].id
    tick(farm)
    answer = hand.bundle(hand.claim(id_), b"bytes", error=0.25, sqnr_db=40.5)
    if benchmark:
        measured = Benchmark(
            artifact=timing("a", 1.5), baseline=timing("b", 3.0), speedup=2.0, speedup_low=1.8, speedup_high=2.2,
            warmup=3, shapes={}, threads=2, affinity=[0, 1], settings={}, load_before=0.1, load_after=0.2,
            disturbed=True,
        )  # fmt: skip
        answer.report.benchmark = measured
    else:
        answer.report.verification = None
    attempts.complete(farm, id_, answer)
    with farm.read() as session:
        return artifacts.get(session, me(farm), build(farm, id_).artifact or "")


def test_what_was_measured(farm: Farm, model: str):
    artifact = made(farm, model, benchmark=True)
    pins.pin(farm, me(farm), artifact.id, "for the fair")
    with farm.read() as session:
        (found,) = results.of(session, me(farm), [artifact.id]).values()
    assert found.size == artifact.report.size
    assert (found.agrees, found.max_abs_error, found.cosine, found.sqnr_db) == (True, 0.25, 0.9, 40.5)
    assert (found.p50_ms, found.p90_ms) == (1.5, 3.0)
    assert (found.speedup, found.speedup_low, found.speedup_high, found.disturbed) == (2.0, 1.8, 2.2, True)
    assert (found.pinned, found.pin_note, found.evicted, found.exploration) == (True, "for the fair", None, None)


def test_what_was_not(farm: Farm, model: str):
    artifact = made(farm, model, benchmark=False)
    with farm.read() as session:
        (found,) = results.of(session, me(farm), [artifact.id]).values()
        assert results.of(session, me(farm), []) == {}
    assert found.agrees is found.max_abs_error is found.cosine is found.p50_ms is found.speedup is None
    assert (found.disturbed, found.pinned) == (False, False)

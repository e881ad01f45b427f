"""One candidate, converted, verified on a few samples and timed for a moment: the ordinary pipeline, made short."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from enginehouse.bundle import Manifest
from enginehouse.errors import Failure
from enginehouse.exploration import Candidate, Stage
from enginehouse.gates import Gates, judge
from enginehouse.report import Report
from enginehouse.targets import Target
from workers.exploration.apart import apart
from workers.exploration.candidates import for_trial
from workers.pipeline.order import Order
from workers.pipeline.run import run

SAMPLES = 8
"""Samples of a dataset that a trial is verified on."""

TIMED_S = 0.25
"""Seconds of a trial's timing."""


@dataclass(frozen=True)
class Trial:
    """What came of it; ``manifest`` and ``bundle`` where there is an artifact that agrees."""

    candidate: Candidate
    bundle: Path
    manifest: Manifest | None = None


def try_out(
    order: Order, target: Target, number: int, time_s: float, gates: Gates | None = None, timed_s: float = TIMED_S
) -> Trial:
    """Build one candidate in a folder of its own, in at most ``time_s``, of which ``timed_s`` go to its timing."""
    folder = order.work / "trials" / str(number)
    folder.mkdir(parents=True)
    short = order.model_copy(
        update={
            "recipe": order.recipe.model_copy(update={"target": for_trial(target), "verify": True, "benchmark": True}),
            "work": folder,
            "most_samples": SAMPLES,
            "benchmark_s": timed_s,
            "layers": False,
            "memory": False,
            "throughput": False,
            "made_onnx": order.work / "onnx",
        }
    )

    def build() -> str:
        result = run(short)
        return f"{result.manifest.model_dump_json()}\n{result.report.model_dump_json()}"

    answer = apart(build, time_s)
    if answer.failure is not None:
        failure = answer.failure
        candidate = Candidate(target=target, stage=Stage.FAILED, reason=failure.detail, code=failure.code)
        return Trial(candidate, short.bundle)
    first, second = answer.text.split("\n")
    manifest, report = Manifest.model_validate_json(first), Report.model_validate_json(second)
    return judged(target, manifest, report, short.bundle, judge(gates or Gates(), report))


def judged(target: Target, manifest: Manifest, report: Report, bundle: Path, refused: Failure | None) -> Trial:
    """A built candidate's row of the table."""
    verification, benchmark = report.verification, report.benchmark
    assert verification is not None
    assert benchmark is not None
    cosines = [one.cosine for one in verification.outputs if one.cosine is not None]
    errors = [one.max_abs_error for one in verification.outputs if one.max_abs_error is not None]
    candidate = Candidate(
        target=target,
        stage=Stage.REFUSED if refused else Stage.TIMED,
        reason=refused.detail if refused else "",
        code=refused.code if refused else "",
        p50_ms=benchmark.artifact.p50_ms,
        cosine=min(cosines, default=None),
        max_abs_error=max(errors, default=None),
        size=report.size,
        seconds=round(sum(one.seconds for one in report.phases), 2),
    )
    return Trial(candidate, bundle, None if refused else manifest)

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
from workers.exploration.candidates import for_trial
from workers.pipeline.aside import build_aside
from workers.pipeline.order import Order

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
    order: Order,
    target: Target,
    number: int,
    time_s: float,
    gates: Gates | None = None,
    timed_s: float = TIMED_S,
    samples: int | None = SAMPLES,
) -> Trial:
    """Build one candidate in a folder of its own, in at most ``time_s``, of which ``timed_s`` go to its timing.

    ``samples``: of the dataset, to verify it on; None for all.
    """
    folder = order.work / "trials" / str(number)
    changes = {"most_samples": samples, "benchmark_s": timed_s}
    made = build_aside(order, for_trial(target), folder, time_s, check=True, **changes)
    if isinstance(made, Failure):
        candidate = Candidate(target=target, stage=Stage.FAILED, reason=made.detail, code=made.code)
        return Trial(candidate, folder)
    return judged(target, made.manifest, made.report, made.folder, judge(gates or Gates(), made.report))


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

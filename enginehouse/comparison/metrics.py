"""The metric table: one row per measured value, with its ratio to the base and the better build."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from enginehouse.comparison.views import Better, MetricRow
from enginehouse.report import Benchmark, Report

Interval = tuple[float, float]


class Kind(NamedTuple):
    """How a value of a report is read."""

    group: str
    unit: str
    better: Better


TIMING = {
    "p50_ms": Kind("latency", "ms", Better.LOWER),
    "p90_ms": Kind("latency", "ms", Better.LOWER),
    "p99_ms": Kind("latency", "ms", Better.LOWER),
    "mean_ms": Kind("latency", "ms", Better.LOWER),
    "min_ms": Kind("latency", "ms", Better.LOWER),
    "load_ms": Kind("load", "ms", Better.LOWER),
    "first_ms": Kind("load", "ms", Better.LOWER),
    "memory_mb": Kind("memory", "MiB", Better.LOWER),
}
"""Numbers of ``Timing``."""

OUTPUT = {
    "max_abs_error": Kind("accuracy", "", Better.LOWER),
    "max_rel_error": Kind("accuracy", "", Better.LOWER),
    "mean_abs_error": Kind("accuracy", "", Better.LOWER),
    "cosine": Kind("accuracy", "", Better.HIGHER),
    "sqnr_db": Kind("accuracy", "dB", Better.HIGHER),
    "worst_sample_db": Kind("accuracy", "dB", Better.HIGHER),
    "top1_agreement": Kind("accuracy", "", Better.HIGHER),
    "top5_agreement": Kind("accuracy", "", Better.HIGHER),
    "decided_agreement": Kind("accuracy", "", Better.HIGHER),
    "equal_share": Kind("accuracy", "", Better.HIGHER),
    "nonfinite": Kind("accuracy", "", Better.LOWER),
}
"""Numbers of ``OutputVerification``."""

SPEEDUP = Kind("latency", "x", Better.HIGHER)
THROUGHPUT = Kind("throughput", "/s", Better.HIGHER)
SIZE = Kind("size", "B", Better.LOWER)


def metrics(reports: Sequence[Report], *, judge_times: bool, judge_errors: bool) -> list[MetricRow]:
    """Rows that at least one report has a value for. Without a right to judge no build is called the best."""
    found = [
        *_times(reports, judge_times),
        *_throughputs(reports, judge_times),
        _row("size", SIZE, [float(report.size) for report in reports]),
        *_tasks(reports, judge_errors),
        *_errors(reports, judge_errors),
    ]
    return [metric for metric in found if any(value is not None for value in metric.values)]


def _times(reports: Sequence[Report], judge: bool) -> Iterator[MetricRow]:
    benchmarks = [report.benchmark for report in reports]
    timings = [benchmark.artifact if benchmark else None for benchmark in benchmarks]
    intervals = {"p50_ms": [_interval(timing, "p50_low_ms", "p50_high_ms") for timing in timings]}
    for name, kind in TIMING.items():
        values = [_number(timing, name) for timing in timings]
        yield _row(name, kind, values, intervals.get(name), judge=judge)
    speedups = [_number(benchmark, "speedup") for benchmark in benchmarks]
    known = [_interval(benchmark, "speedup_low", "speedup_high") for benchmark in benchmarks]
    yield _row("speedup", SPEEDUP, speedups, known, judge=judge)
    yield from _other_baselines(benchmarks, judge)


def _other_baselines(benchmarks: Sequence[Benchmark | None], judge: bool) -> Iterator[MetricRow]:
    """Speed-ups over the baselines that the jobs named."""
    found = [{one.name: one for one in benchmark.others} if benchmark else {} for benchmark in benchmarks]
    for name in dict.fromkeys(name for one in found for name in one):
        rows = [one.get(name) for one in found]
        known = [_interval(row, "speedup_low", "speedup_high") for row in rows]
        calm = not any(row.disturbed for row in rows if row)
        values = [_number(row, "speedup") for row in rows]
        yield _row(f"speedup over {name}", SPEEDUP, values, known, judge=judge and calm)


def _throughputs(reports: Sequence[Report], judge: bool) -> Iterator[MetricRow]:
    """Items a second of the artifacts, in a row for each number of streams and size of batch."""
    found = [
        {
            f"streams {one.streams}, batch {one.batch}": one.per_s * one.batch
            for one in (report.benchmark.throughput if report.benchmark else [])
            if one.side == "artifact"
        }
        for report in reports
    ]
    for of in dict.fromkeys(of for one in found for of in one):
        yield _row("throughput", THROUGHPUT, [one.get(of) for one in found], of=of, judge=judge)


def _tasks(reports: Sequence[Report], judge: bool) -> Iterator[MetricRow]:
    """What the model is for, in numbers, as each artifact has it."""
    found = [{metric.name: metric for metric in report.metrics} for report in reports]
    for name in dict.fromkeys(name for one in found for name in one):
        rows = [one.get(name) for one in found]
        higher = all(row.higher_is_better for row in rows if row)
        kind = Kind("accuracy", "", Better.HIGHER if higher else Better.LOWER)
        yield _row(name, kind, [_number(row, "artifact") for row in rows], judge=judge)


def _errors(reports: Sequence[Report], judge: bool) -> Iterator[MetricRow]:
    """Each output against the source model's."""
    found = [
        {output.name: output for output in report.verification.outputs} if report.verification else {}
        for report in reports
    ]
    for of in dict.fromkeys(of for one in found for of in one):
        for name, kind in OUTPUT.items():
            yield _row(name, kind, [_number(one.get(of), name) for one in found], of=of, judge=judge)


def _interval(holder: object, low: str, high: str) -> Interval | None:
    ends = _number(holder, low), _number(holder, high)
    return None if ends[0] is None or ends[1] is None else (ends[0], ends[1])


def _number(holder: object, name: str) -> float | None:
    """The value as a finite float; None where there is none."""
    value = getattr(holder, name, None)
    return float(value) if value is not None and math.isfinite(value) else None


def _row(
    name: str,
    kind: Kind,
    values: list[float | None],
    intervals: Sequence[Interval | None] | None = None,
    *,
    of: str = "",
    judge: bool = True,
) -> MetricRow:
    known = list(intervals) if intervals is not None else [None] * len(values)
    base = values[0]
    return MetricRow(
        group=kind.group,
        name=name,
        of=of,
        unit=kind.unit,
        better=kind.better,
        values=values,
        intervals=known,
        # Decibels are a ratio already.
        ratios=[value / base if base and value is not None and kind.unit != "dB" else None for value in values],
        within=[index > 0 and _overlap(known[0], one) for index, one in enumerate(known)],
        best=_best(values, known, max if kind.better is Better.HIGHER else min) if judge else None,
    )


def _overlap(one: Interval | None, other: Interval | None) -> bool:
    return one is not None and other is not None and one[0] <= other[1] and other[0] <= one[1]


def _best(
    values: Sequence[float | None], intervals: Sequence[Interval | None], choose: Callable[..., float]
) -> int | None:
    """The one best value. None where it is shared, alone, or not told apart by the confidence intervals."""
    measured = [value for value in values if value is not None]
    if len(measured) < 2 or measured.count(choose(measured)) > 1:
        return None
    best = values.index(choose(measured))
    rivals = [interval for index, interval in enumerate(intervals) if index != best]
    return None if any(_overlap(intervals[best], rival) for rival in rivals) else best

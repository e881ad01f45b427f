"""The order among artifacts that can all run on a host, and what to say about it. Pure.

Numbers of the host's own hardware class come first, then those of machines like it, then others, then none at all.
Within a class the median decides, by the upper end of its confidence interval; those whose intervals reach below the
fastest one's upper end cannot be told from it, and of them the smallest comes first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from enginehouse.bundle import Manifest
from enginehouse.fingerprint import Fingerprint
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.resolution import Choice, Goal, Measured, Nearness
from enginehouse.rules import Made, isa_and_vendor, on_gpu
from enginehouse.shapes import Shapes

SETTINGS: Mapping[str, tuple[str, ...]] = {
    "openvino": (
        "device",
        "INFERENCE_PRECISION_HINT",
        "PERFORMANCE_HINT",
        "EXECUTION_MODE_HINT",
        "NUM_STREAMS",
        "INFERENCE_NUM_THREADS",
    ),
    "onnxruntime": (
        "providers",
        "graph_optimization_level",
        "execution_mode",
        "intra_op_num_threads",
        "inter_op_num_threads",
    ),
    "litert": ("xnnpack", "num_threads"),
    "tensorrt": ("version_compatible",),
}
"""Of all that a manifest tells of settings, those that whoever loads the artifact gives to the runtime."""

_THREADS = ("INFERENCE_NUM_THREADS", "NUM_STREAMS", "intra_op_num_threads", "num_threads")
_NEAREST = tuple(Nearness)


@dataclass(frozen=True)
class Candidate:
    """A proven artifact with what is looked at. ``report`` is without its layers."""

    artifact: str
    manifest: Manifest
    report: Report
    made: Made
    recipe: Recipe
    notes: list[str] = field(default_factory=list)

    def nearness(self, host: Fingerprint) -> Nearness:
        """How much the machine that it was made and timed on is like the host."""
        if self.manifest.hardware_class == host.hardware.hardware_class:
            return Nearness.SAME
        if on_gpu(self.made):
            alike = self.made.settings.get("device") in {gpu.name for gpu in host.hardware.gpus}
        else:
            known = isa_and_vendor(self.made.tags)
            alike = bool(known) and known == isa_and_vendor(frozenset(host.hardware.tags))
        return Nearness.ALIKE if alike else Nearness.ELSEWHERE


@dataclass(frozen=True)
class _Cost:
    """The smaller, the better: at best, and at worst."""

    low: float
    high: float


def rank(found: Sequence[Candidate], host: Fingerprint, goal: Goal, shapes: Shapes) -> list[Choice]:
    """The best one first, each with why it stands there."""
    costs = {one.artifact: _cost(one.report, goal) for one in found}
    classes: dict[tuple[Any, ...], list[Candidate]] = {}
    for one in found:
        classes.setdefault(_class(one, host, goal, shapes), []).append(one)
    ordered: list[Choice] = []
    for key in sorted(classes):
        rest = sorted(classes[key], key=lambda one: (costs[one.artifact].high, one.report.size, one.artifact))
        while rest:
            first = rest[0]
            tied = [one for one in rest if costs[one.artifact].low <= costs[first.artifact].high]
            tied.sort(key=lambda one: (one.report.size, costs[one.artifact].high, one.artifact))
            for one in tied:
                ordered.append(_choice(one, host, goal, shapes, len(ordered), len(found), len(tied)))
            rest = [one for one in rest if costs[one.artifact].low > costs[first.artifact].high]
    return ordered


def _class(one: Candidate, host: Fingerprint, goal: Goal, shapes: Shapes) -> tuple[Any, ...]:
    """What is compared before any number: where the number was taken, and with which shapes."""
    if goal is Goal.SIZE:
        return ()
    if one.report.benchmark is None:
        return (len(_NEAREST),)
    return (_NEAREST.index(one.nearness(host)), not _timed_with(one.report, shapes))


def _cost(report: Report, goal: Goal) -> _Cost:
    if goal is Goal.SIZE:
        return _Cost(report.size, report.size)
    benchmark = report.benchmark
    if benchmark is None:
        return _Cost(0, 0)
    if goal is Goal.THROUGHPUT:
        rate = items_per_s(report)
        each = 1 / rate if rate else benchmark.artifact.mean_ms / 1000
        return _Cost(each, each)
    timing = benchmark.artifact
    low, high = timing.p50_low_ms, timing.p50_high_ms
    return _Cost(timing.p50_ms if low is None else low, timing.p50_ms if high is None else high)


def items_per_s(report: Report) -> float | None:
    """The most items a second that were measured side by side."""
    rows = report.benchmark.throughput if report.benchmark else []
    return max((row.per_s * row.batch for row in rows if row.side == "artifact"), default=None)


def _timed_with(report: Report, shapes: Shapes) -> bool:
    timed = report.benchmark.shapes if report.benchmark else {}
    return all(timed.get(name) == list(shape) for name, shape in shapes.items())


def _choice(one: Candidate, host: Fingerprint, goal: Goal, shapes: Shapes, before: int, of: int, tied: int) -> Choice:
    near, report = one.nearness(host), one.report
    return Choice(
        artifact=one.artifact,
        target=one.manifest.target,
        entry=one.manifest.entry,
        runtime=one.manifest.runtime,
        size=report.size,
        why=_why(report, goal, near, before, of, tied),
        settings=settings_on(host, one.made, near),
        measured=_measured(one, near),
        notes=[*one.notes, *_cautions(one, near, shapes)],
    )


def _why(report: Report, goal: Goal, near: Nearness, before: int, of: int, tied: int) -> str:
    place = "the only one that is proven and runs there" if of == 1 else f"number {before + 1} of {of}"
    if goal is Goal.SIZE:
        return f"{place} by size: {report.size} bytes"
    if report.benchmark is None:
        return f"{place}; it was never timed, so it stands behind all that were"
    where = {
        Nearness.SAME: "measured on this hardware class",
        Nearness.ALIKE: "measured on a machine with the same vendor and instruction sets, or the same GPU",
        Nearness.ELSEWHERE: "measured on another machine",
    }[near]
    told = {Goal.LATENCY: _latency, Goal.THROUGHPUT: _rate}[goal](report)
    same = f"; {tied} cannot be told apart, the smallest stands first" if tied > 1 else ""
    return f"{place}: {told}, {where}{same}"


def _latency(report: Report) -> str:
    assert report.benchmark is not None
    timing = report.benchmark.artifact
    between = ""
    if timing.p50_low_ms is not None and timing.p50_high_ms is not None:
        between = f" ({timing.p50_low_ms:.4g} to {timing.p50_high_ms:.4g})"
    return f"median {timing.p50_ms:.4g} ms{between}"


def _rate(report: Report) -> str:
    assert report.benchmark is not None
    rate = items_per_s(report)
    if rate:
        return f"{rate:.4g} items a second"
    return f"one inference after the other, {report.benchmark.artifact.mean_ms:.4g} ms each"


def _measured(one: Candidate, near: Nearness) -> Measured | None:
    benchmark = one.report.benchmark
    if benchmark is None:
        return None
    timing = benchmark.artifact
    return Measured(
        hardware_class=one.manifest.hardware_class,
        nearness=near,
        p50_ms=timing.p50_ms,
        p50_low_ms=timing.p50_low_ms,
        p50_high_ms=timing.p50_high_ms,
        p90_ms=timing.p90_ms,
        p99_ms=timing.p99_ms,
        items_per_s=items_per_s(one.report),
        speedup=benchmark.speedup,
        speedup_low=benchmark.speedup_low,
        baseline=benchmark.baseline.name,
        threads=benchmark.threads,
        shapes=benchmark.shapes,
        disturbed=benchmark.disturbed,
    )


def _cautions(one: Candidate, near: Nearness, shapes: Shapes) -> list[str]:
    benchmark = one.report.benchmark
    if benchmark is None:
        return []
    found = []
    if near is not Nearness.SAME:
        found.append(f"timed on {one.manifest.hardware_class}: measure it here before relying on the numbers")
    if benchmark.disturbed:
        found.append(f"the timing was disturbed: {benchmark.disturbance or 'other work used the cores'}")
    if not _timed_with(one.report, shapes):
        found.append("it was timed with other shapes than those asked for")
    if benchmark.speedup_low is not None and benchmark.speedup_low < 1:
        found.append(f"not surely faster than {benchmark.baseline.name}")
    return found


def settings_on(host: Fingerprint, made: Made, near: Nearness) -> dict[str, Any]:
    """As it was verified under; on another machine with no more threads than the host has cores."""
    found = {name: made.settings[name] for name in SETTINGS.get(made.backend, ()) if name in made.settings}
    if near is not Nearness.SAME:
        for name in _THREADS:
            if isinstance(found.get(name), int):
                found[name] = min(found[name], host.hardware.cores)
    return found

"""The benchmark: artifact and baseline in turns, in one process, with the same threads on the same cores.

Nobody else of the farm uses the cores meanwhile; each side is warmed up until it is steady; what was disturbed all the
same is taken again, and marked in the end. docs/measurement.md tells it all in one place.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from enginehouse.report import Benchmark, Conditions, MachineState, Throughput, Timing
from workers.backends.base import Arrays
from workers.backends.options import Options
from workers.cores import alone
from workers.pipeline.bootstrap import CONFIDENCE, Interval, intervals
from workers.pipeline.machine import Usage, cpu_time, governor, state, usage
from workers.pipeline.order import Order
from workers.pipeline.sides import Side
from workers.pipeline.steady import WarmUp, warm_up
from workers.pipeline.throughput import throughputs
from workers.pipeline.turns import Turns, take_turns
from workers.pipeline.undisturbed import disturbances, undisturbed
from workers.pipeline.verify import Cases
from workers.probe.cpu import siblings

_WAIT_FOR_CORES_S = 600.0


@dataclass(frozen=True)
class _Try:
    """One timing of both sides, and what happened on the cores meanwhile."""

    warm: tuple[WarmUp, WarmUp]
    turns: Turns
    used: Usage
    before: MachineState
    after: MachineState


def measure(
    order: Order, artifact: Side, baseline: Side, cases: Cases, threads: int, options: Options | None = None
) -> Benchmark:
    """Time single inferences of both on the first case, then many side by side, with the conditions of all that."""
    feeds = (cases.fed[0], cases.feeds[0])
    cores = sorted(os.sched_getaffinity(0))
    with alone(order.cores, _WAIT_FOR_CORES_S) as had:
        taken = undisturbed(
            lambda: _take(order, (artifact, baseline), feeds, cores),
            lambda one: disturbances(*one.turns.times, one.used, len(cores)),
            told=_say,
        )
        side_by_side = _side_by_side(order, artifact, baseline, feeds, threads, options) if order.throughput else []
    one, spoilt = taken.what, list(taken.disturbances)
    if not had:
        spoilt.insert(0, "other builds used the cores")
    benchmark = _benchmark(order, (artifact, baseline), one, threads, cores, had)
    benchmark.shapes = {name: list(array.shape) for name, array in feeds[0].items()}
    benchmark.throughput = side_by_side
    benchmark.tries = taken.tries
    benchmark.disturbed, benchmark.disturbance = bool(spoilt), "; ".join(spoilt)
    _tell(benchmark)
    return benchmark


def _side_by_side(
    order: Order, artifact: Side, baseline: Side, feeds: tuple[Arrays, Arrays], threads: int, options: Options | None
) -> list[Throughput]:
    sides = {"artifact": artifact, "baseline": baseline}
    return throughputs(sides, feeds, options or Options(), threads, order.benchmark_s)


def _take(order: Order, sides: tuple[Side, Side], feeds: tuple[Arrays, Arrays], cores: list[int]) -> _Try:
    mine, theirs = ((lambda side=side, fed=fed: _time(side, fed)) for side, fed in zip(sides, feeds, strict=True))
    before = state(cores, order.gpu)
    warm = warm_up(mine, order.benchmark_s), warm_up(theirs, order.benchmark_s)
    began = cpu_time(cores)
    turns = take_turns(mine, theirs, [one.estimate_s for one in warm], order.benchmark_s)
    used = usage(began, cpu_time(cores), len(cores))
    return _Try(warm, turns, used, before, state(cores, order.gpu))


def _benchmark(
    order: Order, sides: tuple[Side, Side], one: _Try, threads: int, cores: list[int], had: bool
) -> Benchmark:
    mine, theirs = one.turns.times
    between = intervals(one.turns.mine, one.turns.theirs, order.recipe.seed)
    return Benchmark(
        artifact=timing(sides[0], mine, one.warm[0], between.mine),
        baseline=timing(sides[1], theirs, one.warm[1], between.theirs),
        speedup=round(float(np.median(theirs) / np.median(mine)), 4),
        speedup_low=round(between.ratio.low, 4),
        speedup_high=round(between.ratio.high, 4),
        confidence=CONFIDENCE,
        pairs=len(one.turns.mine),
        warmup=max(warm.count for warm in one.warm),
        steady=all(warm.steady for warm in one.warm),
        shapes={},
        threads=threads,
        affinity=cores,
        settings={name: side.session.settings() for name, side in zip(("artifact", "baseline"), sides, strict=True)},
        conditions=Conditions(
            before=one.before,
            after=one.after,
            alone=had,
            siblings=[list(group) for group in siblings(cores)],
            governor=governor(cores),
            others_share=round(one.used.others, 4),
            steal_share=round(one.used.steal, 4),
            switches_per_s=round(one.used.switches_per_s, 1),
        ),
        load_before=one.before.load,
        load_after=one.after.load,
        disturbed=False,
    )


def timing(side: Side, times_s: Sequence[float], warm: WarmUp, between: Interval) -> Timing:
    """Percentiles of one side, in milliseconds."""
    values = np.asarray(times_s) * 1e3
    p50, p90, p99 = (float(np.percentile(values, q)) for q in (50, 90, 99))
    rounded = {
        "p50_ms": p50, "p50_low_ms": between.low * 1e3, "p50_high_ms": between.high * 1e3,
        "p90_ms": p90, "p99_ms": p99, "mean_ms": values.mean(), "min_ms": values.min(),
    }  # fmt: skip
    return Timing(
        name=side.name,
        count=len(values),
        load_ms=round(side.load_ms, 3),
        first_ms=round(side.first_ms or 0.0, 3),
        warmup=warm.count,
        steady=warm.steady,
        size=side.size,
        **{name: round(float(value), 4) for name, value in rounded.items()},
    )


def _time(side: Side, feeds: Arrays) -> float:
    begin = time.perf_counter()
    side.run(feeds)
    return time.perf_counter() - begin


def _tell(benchmark: Benchmark) -> None:
    mine, theirs = benchmark.artifact, benchmark.baseline
    _say(
        f"p50 {mine.p50_ms:.3f} ms over {mine.count}, baseline {theirs.p50_ms:.3f} ms over {theirs.count}: "
        f"{benchmark.speedup:.2f}x ({benchmark.speedup_low:.2f} to {benchmark.speedup_high:.2f})"
        f"{'' if benchmark.steady else '; not steady'}"
        f"{'; disturbed: ' if benchmark.disturbed else ''}{benchmark.disturbance}"
    )
    for row in benchmark.throughput:
        _say(f"{row.side}: {row.per_s:.1f} inferences/s from {row.streams} streams, batch {row.batch}")


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - standard output is the build's log

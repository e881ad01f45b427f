"""The benchmark: artifact and baseline in turns, in one process, with the same threads on the same cores.

They take turns in short blocks, so that a slow spell of the machine hits both. The first inference of each
block is not counted: it finds the caches full of the other side's data.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence

import numpy as np

from enginehouse.report import Benchmark, Timing
from workers.backends.base import Arrays
from workers.pipeline.machine import Cores, cpu_time, others_share
from workers.pipeline.order import Order
from workers.pipeline.sides import Side
from workers.pipeline.verify import Cases

_WARMUP = 3
_BLOCK_S = 0.03
_MOST_PER_BLOCK = 50
_FEWEST = 5
_WAIT_FOR_CORES_S = 120.0

OTHERS_SHARE = 0.10
"""more of the cores' time than this in other processes disturbs a benchmark"""
HALVES_APART = 0.15
"""medians of the first and second half further apart than this disturb it too"""


def measure(order: Order, cores_lock: Cores, artifact: Side, baseline: Side, cases: Cases, threads: int) -> Benchmark:
    """Time single inferences of both on the first case, with the conditions that they were taken under."""
    feeds = (cases.fed[0], cases.feeds[0])
    cores = sorted(os.sched_getaffinity(0))
    with cores_lock.alone(_WAIT_FOR_CORES_S) as alone:
        load_before = os.getloadavg()[0]
        estimates = [_warm_up(side, fed) for side, fed in zip((artifact, baseline), feeds, strict=True)]
        before = cpu_time(cores)
        mine, theirs = _take_turns(artifact, baseline, feeds, estimates, order.benchmark_s)
        share = others_share(before, cpu_time(cores), len(cores))
        load_after = os.getloadavg()[0]
    disturbance = disturbances(mine, theirs, share)
    if not alone:
        disturbance.insert(0, "another build of this worker used the cores")
    benchmark = Benchmark(
        artifact=timing(artifact, mine),
        baseline=timing(baseline, theirs),
        speedup=round(float(np.median(theirs) / np.median(mine)), 4),
        warmup=_WARMUP,
        shapes={name: list(array.shape) for name, array in feeds[0].items()},
        threads=threads,
        affinity=cores,
        settings={"artifact": artifact.session.settings(), "baseline": baseline.session.settings()},
        load_before=load_before,
        load_after=load_after,
        disturbed=bool(disturbance),
        disturbance="; ".join(disturbance),
    )
    print(  # noqa: T201 - standard output is the build's log
        f"p50 {benchmark.artifact.p50_ms:.3f} ms over {len(mine)}, baseline {benchmark.baseline.p50_ms:.3f} ms "
        f"over {len(theirs)}: {benchmark.speedup:.2f}x{'; disturbed: ' if disturbance else ''}{benchmark.disturbance}",
        flush=True,
    )
    return benchmark


def disturbances(mine: Sequence[float], theirs: Sequence[float], others: float) -> list[str]:
    """What speaks against the numbers, in words. Times in any unit; ``others`` is a share."""
    found = []
    if others > OTHERS_SHARE:
        found.append(f"other processes took {others:.0%} of the cores")
    for name, times in (("artifact", mine), ("baseline", theirs)):
        half = len(times) // 2
        first, second = float(np.median(times[:half])), float(np.median(times[half:]))
        apart = abs(first - second) / min(first, second)
        if apart > HALVES_APART:
            found.append(f"the {name}'s halves are {apart:.0%} apart")
    return found


def timing(side: Side, times_s: Sequence[float]) -> Timing:
    """Percentiles of one side, in milliseconds."""
    values = np.asarray(times_s) * 1e3
    p50, p90, p99 = (float(np.percentile(values, q)) for q in (50, 90, 99))
    rounded = {"p50_ms": p50, "p90_ms": p90, "p99_ms": p99, "mean_ms": values.mean(), "min_ms": values.min()}
    return Timing(
        name=side.name,
        count=len(values),
        load_ms=round(side.load_ms, 3),
        first_ms=round(side.first_ms or 0.0, 3),
        **{name: round(float(value), 4) for name, value in rounded.items()},
    )


def _warm_up(side: Side, feeds: Arrays) -> float:
    """A few inferences that do not count; returns the fastest, seconds."""
    return min(_time(side, feeds) for _ in range(_WARMUP))


def _take_turns(
    artifact: Side, baseline: Side, feeds: tuple[Arrays, Arrays], estimates: Sequence[float], budget_s: float
) -> tuple[list[float], list[float]]:
    sides = (artifact, baseline)
    blocks = [max(1, min(_MOST_PER_BLOCK, round(_BLOCK_S / max(estimate, 1e-6)))) for estimate in estimates]
    times: tuple[list[float], list[float]] = ([], [])
    until = time.monotonic() + budget_s
    while time.monotonic() < until or min(len(one) for one in times) < _FEWEST:
        for side, fed, block, kept in zip(sides, feeds, blocks, times, strict=True):
            _time(side, fed)
            kept.extend(_time(side, fed) for _ in range(block))
    return times


def _time(side: Side, feeds: Arrays) -> float:
    begin = time.perf_counter()
    side.run(feeds)
    return time.perf_counter() - begin

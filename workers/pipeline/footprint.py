"""What a model takes of memory: how far a fresh process's resident memory peaks above what its runtime holds.

In the build's own process the number would be wrong either way: the toolchains have left room there that the model
takes for nothing, and their own peak may be higher than the model's. ``python -m workers.pipeline.footprint FILE``.
"""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
from pydantic import BaseModel, ValidationError

from enginehouse.report import Benchmark
from workers.backends.base import Arrays, Saved
from workers.pipeline.order import Order
from workers.pipeline.verify import Cases

_ROOT = Path(__file__).resolve().parents[2]
_LONGEST_S = 300.0
_RUNS = 3
_ANSWER = "footprint "


class Ask(BaseModel):
    """One side of a build. Without ``saved`` it is the baseline: the source model in its own framework."""

    order: Order
    threads: int
    feeds: Path
    saved: Saved | None = None


class Reading(BaseModel):
    """Bytes: resident now, and the most since the process began."""

    now: int
    peak: int


def weigh(order: Order, benchmark: Benchmark, cases: Cases, threads: int, saved: Saved) -> None:
    """Add what both sides take of memory."""
    benchmark.artifact.memory_mb = footprint_mb(order, cases.fed[0], threads, saved)
    benchmark.baseline.memory_mb = footprint_mb(order, cases.feeds[0], threads)


def footprint_mb(order: Order, feeds: Arrays, threads: int, saved: Saved | None = None) -> float | None:
    """MiB, measured in a process of its own; None, and a line in the log, where it cannot be."""
    name = "artifact" if saved else "baseline"
    arrays = order.work / f"footprint-{name}.npz"
    asked = arrays.with_suffix(".json")
    try:
        np.savez(arrays, allow_pickle=False, **{f"feed:{key}": np.asarray(array) for key, array in feeds.items()})
        ask = Ask(order=order, threads=threads, feeds=arrays, saved=saved)
        asked.write_text(ask.model_dump_json())
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        done = subprocess.run(
            [sys.executable, "-m", "workers.pipeline.footprint", str(asked)],
            env={**os.environ, "PYTHONPATH": path},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_LONGEST_S,
            check=False,
        )
        answers = [line for line in done.stdout.splitlines() if line.startswith(_ANSWER)]
        if done.returncode or not answers:
            said = done.stderr.strip().splitlines() or [f"code {done.returncode}"]
            raise ValueError(said[-1])
        grown = grown_bytes(*(Reading.model_validate_json(part) for part in answers[-1].removeprefix(_ANSWER).split()))
    except (OSError, ValueError, ValidationError, subprocess.TimeoutExpired) as error:
        print(f"the {name}'s memory is not measured: {error}", flush=True)  # noqa: T201 - the build's log
        return None
    finally:
        arrays.unlink(missing_ok=True)
        asked.unlink(missing_ok=True)
    return round(grown / 2**20, 1)


def grown_bytes(before: Reading, after: Reading) -> int:
    """How far memory peaked above ``before.now``. A peak of the imports that was not reached again does not count."""
    most = after.peak if after.peak > before.peak else after.now
    return max(0, most - before.now)


def reading() -> Reading:
    """This process's resident memory."""
    sizes = {}
    for line in Path("/proc/self/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name in ("VmRSS", "VmHWM"):
            sizes[name] = int(value.split()[0]) * 1024
    return Reading(now=sizes["VmRSS"], peak=max(sizes["VmHWM"], sizes["VmRSS"]))


def main(path: str) -> None:
    """Import, read, load and run, read again, and say both readings."""
    import workers.child.quiet  # noqa: F401 - before any toolchain
    from workers import sources
    from workers.backends import get
    from workers.backends.workpiece import Source
    from workers.pipeline.sides import load_artifact, load_reference

    ask = Ask.model_validate_json(Path(path).read_text())
    order = ask.order
    with np.load(ask.feeds, allow_pickle=False) as arrays:
        feeds = {name.removeprefix("feed:"): arrays[name] for name in arrays.files}
    source = Source(order.model, order.signature)
    backend = get(order.recipe.target.backend)
    own = f"workers.backends.{backend.name}.run"
    for name in (*backend.modules, own) if ask.saved else sources.get(source.format).modules:
        importlib.import_module(name)
    before = reading()
    if ask.saved is not None:
        side = load_artifact(backend, ask.saved, backend.check(order.recipe.target, source.format), ask.threads)
    else:
        side = load_reference(source, ask.threads, order.work)
    for _ in range(_RUNS):
        side.run(feeds)
    after = reading()
    print(f"\n{_ANSWER}{before.model_dump_json()} {after.model_dump_json()}", flush=True)  # noqa: T201 - the answer
    os._exit(0)  # nothing to tear down


if __name__ == "__main__":
    main(sys.argv[1])

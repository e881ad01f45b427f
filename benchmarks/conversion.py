"""(a) One conversion through the running farm against ``ovc``; (b) twenty with two workers against a shell loop."""

from __future__ import annotations

import itertools
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure
from benchmarks.peer import Ovc
from enginehouse.client import Client
from enginehouse.states import JobState, Origin
from enginehouse.views import JobView
from zoo.fetch import model_path

MODELS = ("ppocr-det", "ppocr-rec")
REPEATS = 11
FLEET = 20


def _fresh() -> Iterator[int]:
    """Seeds never used before: a seed is part of the cache key, so every job is really built."""
    return itertools.count(time.time_ns() % 2**31)


def _built(job: JobView) -> JobView:
    if job.state is not JobState.SUCCEEDED or any(build.origin is not Origin.BUILT for build in job.builds):
        raise RuntimeError(f"job {job.id} is {job.state}: {[build.failure or build.origin for build in job.builds]}")
    return job


def one(farm: Client, folder: Path) -> list[Figure]:
    """Submit→artifact, conversion only, for each model; the model has been pushed, as ``ovc`` has it on its disk."""
    ovc, seeds = Ovc(folder), _fresh()
    figures = []
    for name in MODELS:
        path = model_path(name)
        model = farm.models.push(path)
        ours, fetched, theirs = [], [], []
        for turn in range(REPEATS + 1):
            with tempfile.TemporaryDirectory(dir=folder) as out:
                begin = time.perf_counter()
                job = farm.jobs.submit(
                    model=model.id, targets=["openvino:fp16"], verify=False, benchmark=False, seed=next(seeds)
                )
                job = _built(farm.jobs.wait(job, timeout=120))
                done = time.perf_counter()
                farm.artifacts.download(str(job.builds[0].artifact), out)
                on_disk = time.perf_counter()
            peer = ovc.convert(path)
            if turn > 0:  # the first turn warms both
                ours.append(done - begin)
                fetched.append(on_disk - begin)
                theirs.append(peer)
        size = f"{path.stat().st_size / 1e6:.1f} MB"
        figures.append(Figure(f"(a) {name} ({size}), submit→artifact", ours, theirs, "s", "ovc MODEL", "1.0 or less"))
        figures.append(
            Figure(f"(a) {name} ({size}), submit→artifact on the client's disk", fetched, theirs, "s", "ovc MODEL")
        )
    return figures


def fleet(farm: Client, folder: Path) -> list[Figure]:
    """Twenty conversions, submitted at once to two workers, against a shell loop."""
    ovc, seeds = Ovc(folder), _fresh()
    paths = [model_path(MODELS[turn % len(MODELS)]) for turn in range(FLEET)]
    ids = {path: farm.models.push(path).id for path in set(paths)}
    ours, theirs = [], []
    for _ in range(3):
        begin = time.perf_counter()
        jobs = [
            farm.jobs.submit(
                model=ids[path], targets=["openvino:fp16"], verify=False, benchmark=False, seed=next(seeds)
            )
            for path in paths
        ]
        for job in jobs:
            _built(farm.jobs.wait(job, timeout=300))
        ours.append(time.perf_counter() - begin)
        theirs.append(ovc.convert_all(paths))
    return [Figure(f"(b) {FLEET} models, two workers", ours, theirs, "s", "shell loop of ovc")]

"""Builds that do nothing. (g) Their rate, and what a submission and a dispatch take; and a thousand times the same one.

The whole way is gone: submitted over HTTP, dispatched, claimed, published, completed. The peer is a bare Celery task
on the same Redis.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles
from typing import Any

from celery import Celery

from benchmarks.figures import Figure
from benchmarks.noop_worker import BACKEND
from enginehouse.client import Client
from enginehouse.messages import CELERY
from enginehouse.states import JobState, Origin
from enginehouse.targets import Precision, Target
from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path

BUILDS = 300
SLOTS = 4
AT_ONCE = 1000
CALLERS = 16

_TARGET = Target(backend=BACKEND, precision=Precision.FP32)
_QUEUE = "bench"
_CELERY_WORKER = """
import sys
from celery import Celery
from enginehouse.messages import CELERY
app = Celery("bench", broker=sys.argv[1])
app.conf.update(CELERY, task_default_queue="bench", worker_disable_prefetch=True)
done = open(sys.argv[2], "w", buffering=1)
@app.task(name="noop")
def noop(number):
    done.write("x\\n")
app.worker_main(["worker", "-P", "threads", "-c", sys.argv[3], "-Q", "bench", "--without-gossip", "--without-mingle",
                 "--without-heartbeat", "--loglevel", "WARNING"])
"""


def noop(folder: Path) -> Iterator[Figure]:
    """Rates, latencies, and one execution for a thousand submissions."""
    with EmbeddedFarm(folder / "home", workers=0) as farm, Client(farm.url, farm.token) as client:
        model = client.models.push(model_path("ppocr-cls")).id
        with _worker(farm, folder / "worker") as times:
            yield from _rates(farm, client, model, folder, times)
            yield from _identical(client, model, times)


def _rates(farm: EmbeddedFarm, client: Client, model: str, folder: Path, times: Path) -> Iterator[Figure]:
    submits: list[float] = []
    begin = time.perf_counter()
    jobs = []
    for seed in range(BUILDS):
        before = time.perf_counter()
        jobs.append(client.jobs.submit(model=model, targets=[_TARGET], verify=False, benchmark=False, seed=seed))
        submits.append(time.perf_counter() - before)
    for job in jobs:
        ended = client.jobs.wait(job, timeout=300)
        if ended.state is not JobState.SUCCEEDED:
            raise RuntimeError(f"job {ended.id} is {ended.state}: {ended.builds[0].failure}")
    ours = BUILDS / (time.perf_counter() - begin)
    reads = []
    for job in jobs[:100]:
        before = time.perf_counter()
        client.jobs.get(job.id)
        reads.append(time.perf_counter() - before)
    theirs = _celery(farm.redis.url, folder / "celery")
    yield Figure(
        "(g) no-op builds a second, submit→complete", [ours], [theirs], "/s", "bare Celery tasks", "",
        {"builds": BUILDS, "slots": SLOTS},
    )  # fmt: skip
    for share in (50, 99):
        mine, read = (quantiles(values, n=100)[share - 1] * 1e3 for values in (submits, reads))
        yield Figure(f"(g) submission, p{share}", [mine], [read], "ms", "GET of a job")
    gaps = _gaps(times, BUILDS)
    for share in (50, 99):
        gap = quantiles(gaps, n=100)[share - 1] * 1e3
        yield Figure(f"(g) slot free→next build claimed, p{share}", [gap], [quantiles(reads, n=2)[0] * 1e3], "ms",
                     "GET of a job, p50")  # fmt: skip


def _identical(client: Client, model: str, times: Path) -> Iterator[Figure]:
    before = len(times.read_text().splitlines())
    took: list[float] = []

    def ask(_: int) -> Any:
        begin = time.perf_counter()
        job = client.jobs.submit(model=model, targets=[_TARGET], verify=False, benchmark=False, seed=10**6)
        took.append(time.perf_counter() - begin)
        return job

    with ThreadPoolExecutor(CALLERS) as callers:
        jobs = list(callers.map(ask, range(AT_ONCE)))
    ended = [client.jobs.wait(job, timeout=300) for job in jobs]
    if any(job.state is not JobState.SUCCEEDED for job in ended):
        raise RuntimeError("not all of the identical submissions succeeded")
    executed = sum(job.builds[0].origin is Origin.BUILT for job in ended)
    ran = len(times.read_text().splitlines()) - before
    yield Figure(
        f"(g) builds executed for {AT_ONCE} identical submissions", [float(max(executed, ran))], [1.0], "",
        "one", "1.00", {"median answer": f"{sorted(took)[len(took) // 2] * 1e3:.1f} ms with {CALLERS} callers"},
    )  # fmt: skip


def _gaps(times: Path, builds: int) -> list[float]:
    """Between a slot's becoming free and the next claim: the builds are more than the slots all the time."""
    pairs = [tuple(map(float, row.split())) for row in times.read_text().splitlines()]
    free = sorted(done for _, done in pairs)
    claims = sorted(claimed for claimed, _ in pairs)[SLOTS:]
    return [claimed - done for claimed, done in zip(claims, free, strict=False)][: builds - SLOTS]


@contextmanager
def _worker(farm: EmbeddedFarm, folder: Path) -> Iterator[Path]:
    folder.mkdir()
    environment = {
        **os.environ,
        "ENGINEHOUSE_URL": farm.url,
        "ENGINEHOUSE_TOKEN": farm.home.secrets().worker_token,
        "ENGINEHOUSE_BROKER_URL": farm.redis.url,
        "ENGINEHOUSE_WORKER_NAME": "noop",
        "ENGINEHOUSE_SLOTS": str(SLOTS),
        "ENGINEHOUSE_SCRATCH_DIR": str(folder / "scratch"),
    }
    command = [sys.executable, "-m", "benchmarks.noop_worker", str(folder)]
    process = subprocess.Popen(command, env=environment)
    try:
        while "noop" not in farm.workers_online():
            if process.poll() is not None:
                raise RuntimeError(f"the worker ended with {process.returncode}")
            time.sleep(0.05)
        yield folder / "times"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _celery(url: str, folder: Path) -> float:
    """Tasks that do nothing, sent and done, a second."""
    folder.mkdir()
    app = Celery("bench", broker=url, set_as_current=False)
    app.conf.update(CELERY, task_default_queue=_QUEUE)
    done = folder / "done"
    process = subprocess.Popen([sys.executable, "-c", _CELERY_WORKER, url, str(done), str(SLOTS)])
    try:
        app.send_task("noop", args=[0], queue=_QUEUE)
        _until(done, 1)
        begin = time.perf_counter()
        for number in range(BUILDS):
            app.send_task("noop", args=[number], queue=_QUEUE)
        _until(done, BUILDS + 1)
        return BUILDS / (time.perf_counter() - begin)
    finally:
        process.terminate()
        process.wait(timeout=30)
        app.close()


def _until(done: Path, lines: int) -> None:
    while not done.exists() or len(done.read_text().splitlines()) < lines:
        time.sleep(0.005)

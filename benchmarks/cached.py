"""(d) A job that the cache answers: submit→done, against one plain read of the API."""

from __future__ import annotations

import time

from benchmarks.figures import Figure
from enginehouse.client import Client
from enginehouse.request import JobRequest
from enginehouse.states import JobState, Origin
from enginehouse.targets import parse_target
from zoo.fetch import model_path

REPEATS = 50


def cached(farm: Client) -> list[Figure]:
    """Submit what was built before, again and again, and read the farm's workers in between."""
    model = farm.models.push(model_path("ppocr-cls"))
    request = JobRequest(model=model.id, targets=[parse_target("openvino:fp16")], verify=False, benchmark=False)
    farm.jobs.wait(farm.jobs.submit(request), timeout=120)
    ours, theirs = [], []
    for _ in range(REPEATS):
        begin = time.perf_counter()
        job = farm.jobs.wait(farm.jobs.submit(request))
        ours.append((time.perf_counter() - begin) * 1000)
        if job.state is not JobState.SUCCEEDED or job.builds[0].origin is not Origin.CACHE:
            raise RuntimeError(f"job {job.id} did not come from the cache: {job.state}")
        begin = time.perf_counter()
        farm.jobs.get(job.id)
        theirs.append((time.perf_counter() - begin) * 1000)
    return [Figure("(d) cached job, submit→done", ours, theirs, "ms", "GET of one job")]

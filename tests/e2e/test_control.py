"""Operators over a farm as it is shipped, with a heartbeat every five seconds: pause, drain, leave, cancel."""

from __future__ import annotations

import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from watching import children_of_build, part_of, running, until

from enginehouse.client import Client
from enginehouse.states import AttemptState, BuildState, JobState, Phase, WorkerMode
from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path


@pytest.fixture(scope="module")
def farm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedFarm]:
    """With its own settings, and not with the others' short times."""
    with EmbeddedFarm(tmp_path_factory.mktemp("calm") / "home", workers=2) as farm:
        yield farm


@pytest.fixture
def leaver(farm: EmbeddedFarm, tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A worker that nobody starts again, in a pool of its own."""
    part = farm._running.worker(7)
    environment = {**part.environment, "ENGINEHOUSE_WORKER_NAME": "leaver", "ENGINEHOUSE_TAGS": "leaver"}
    environment["ENGINEHOUSE_SCRATCH_DIR"] = str(tmp_path / "scratch")
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(part.command, env=environment, cwd=part.folder, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def mode_of(client: Client, name: str) -> WorkerMode | None:
    return next((one.mode for one in client.workers.list().items if one.name == name), None)


def test_cancelling_a_running_build_ends_its_processes_within_five_seconds(farm, client, seed):
    model = client.models.push(model_path("ppocr-rec"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp32"], seed=seed)
    view = running(client, job.builds[0].id, Phase.IMPORT)
    children = children_of_build(farm, part_of(farm, view))
    assert children
    client.jobs.cancel(job.id)
    until(
        lambda: not [one for one in children if one.is_running() and one.status() != psutil.STATUS_ZOMBIE],
        "the build's processes are gone",
        seconds=5,
    )
    ended = client.jobs.wait(job.id, timeout=30)
    assert ended.state is JobState.CANCELLED
    registry = farm.home.database_url.removeprefix("sqlite:///")
    with sqlite3.connect(f"file:{registry}?mode=ro", uri=True) as connection:
        owner = f"attempt:{job.builds[0].id}:%"
        (left,) = connection.execute("SELECT count(*) FROM uploads WHERE owner LIKE ?", [owner]).fetchone()
    assert left == 0


def test_a_worker_is_paused_resumed_drained_and_leaves_with_status_0(client, leaver, seed, tmp_path):
    until(lambda: mode_of(client, "leaver") is WorkerMode.OPEN, "it has signed on")
    client.workers.pause("leaver", "new disks")
    until(lambda: '"to": "paused"' in (tmp_path / "log").read_text(), "it has heard of it")
    model = client.models.push(model_path("ppocr-rec"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp32@leaver"], seed=seed)
    assert "is paused or drained" in job.builds[0].reason
    assert mode_of(client, "leaver") is WorkerMode.PAUSED
    client.workers.resume("leaver")
    view = running(client, job.builds[0].id, Phase.IMPORT)
    assert view.attempts[-1].worker == "leaver"
    assert client.workers.drain("leaver", leave=True).mode is WorkerMode.LEAVING
    ended = client.jobs.wait(job.id, timeout=120)
    assert ended.state is JobState.SUCCEEDED
    assert [attempt.state for attempt in ended.builds[0].attempts][-1] is AttemptState.SUCCEEDED
    assert leaver.wait(60) == 0
    until(lambda: mode_of(client, "leaver") is None, "it has signed off")


def test_while_one_of_two_is_paused_the_other_does_it_all(farm, client, seed):
    paused = farm._running.worker_name(1)
    client.workers.pause(paused)
    model = client.models.push(model_path("ppocr-cls"))
    jobs = [
        client.jobs.submit(model=model.id, targets=["openvino:fp16"], verify=False, benchmark=False, seed=seed + n)
        for n in range(6)
    ]
    ended = [client.jobs.wait(job, timeout=90) for job in jobs]
    client.workers.resume(paused)
    assert {job.state for job in ended} == {JobState.SUCCEEDED}
    claimed = {attempt.worker for job in ended for attempt in job.builds[0].attempts if attempt.worker}
    assert claimed == {farm._running.worker_name(2)}


def test_maintenance_holds_everything_back_until_it_is_over(client, seed):
    view = client.set_maintenance(True, "the store moves")
    assert view.on
    assert client.maintenance().reason == "the store moves"
    model = client.models.push(model_path("ppocr-cls"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp16"], verify=False, benchmark=False, seed=seed)
    assert job.builds[0].reason == "the farm is in maintenance: the store moves"
    assert client.builds.get(job.builds[0].id).state is BuildState.WAITING
    client.set_maintenance(False)
    ended = client.jobs.wait(job, timeout=60)
    assert ended.state is JobState.SUCCEEDED
    assert len(ended.builds[0].attempts) == 1

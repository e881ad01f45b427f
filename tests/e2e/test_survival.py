"""The farm's parts die in the middle of work. Every job ends, with one artifact, and nothing is left behind."""

from __future__ import annotations

import os
import signal

import psutil
import pytest
from services.process import wait_until
from watching import children_of_build, part_of, running, until

from enginehouse.client import Client
from enginehouse.states import AttemptState, BuildState, JobState, Origin, Phase
from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path


@pytest.fixture
def slow(client: Client, seed: int) -> tuple[str, str]:
    """A job whose build takes seconds: job id and build id."""
    model = client.models.push(model_path("ppocr-rec"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp32"], seed=seed)
    return job.id, job.builds[0].id


def test_a_worker_killed_in_the_middle_of_a_build(farm: EmbeddedFarm, client: Client, slow):
    job, build = slow
    view = running(client, build, Phase.VERIFY)
    part = part_of(farm, view)
    children = children_of_build(farm, part)
    assert children
    farm.kill(part, signal.SIGKILL)
    ended = client.jobs.wait(job, timeout=120)
    assert ended.state is JobState.SUCCEEDED
    states = [attempt.state for attempt in ended.builds[0].attempts]
    assert states[0] is AttemptState.LOST
    assert states[-1] is AttemptState.SUCCEEDED
    mine = [item for item in client.artifacts.list(model=ended.model, limit=200).items if item.build == build]
    assert len(mine) == 1
    for child in children:
        wait_until(
            lambda child=child: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE, 10, "it is gone"
        )


def test_a_child_that_dies_by_a_signal_is_tried_again(farm: EmbeddedFarm, client: Client, slow):
    job, build = slow
    view = running(client, build, Phase.VERIFY)
    (child,) = children_of_build(farm, part_of(farm, view))
    os.kill(child.pid, signal.SIGSEGV)
    ended = client.jobs.wait(job, timeout=120)
    assert ended.state is JobState.SUCCEEDED
    first = ended.builds[0].attempts[0]
    assert (first.state, first.failure.code) == (AttemptState.FAILED, "build.crashed")
    assert "SIGSEGV" in first.failure.detail


def test_a_build_whose_child_always_dies_ends_as_crashed_with_its_attempts_on_record(
    farm: EmbeddedFarm, client: Client, slow
):
    job, build = slow
    for number in (1, 2, 3):
        until(lambda number=number: len(client.builds.get(build).attempts) == number, f"attempt {number}")
        view = running(client, build, Phase.IMPORT)
        (child,) = until(lambda view=view: children_of_build(farm, part_of(farm, view)), "its child is there")
        os.kill(child.pid, signal.SIGKILL)
        until(lambda number=number: client.builds.get(build).attempts[number - 1].ended, "the attempt has ended")
    ended = client.jobs.wait(job, timeout=60).builds[0]
    assert (ended.state, ended.failure.code) == (BuildState.FAILED, "build.crashed")
    assert [attempt.failure.code for attempt in ended.attempts] == ["build.crashed"] * 3


def test_redis_flushed_while_jobs_wait(farm: EmbeddedFarm, client: Client, seed):
    model = client.models.push(model_path("ppocr-cls"))
    farm.hold("scheduler")  # so that everything still waits when the broker forgets
    jobs = [
        client.jobs.submit(model=model.id, targets=["openvino:fp16"], verify=False, benchmark=False, seed=seed + n)
        for n in range(8)
    ]
    _flush(farm)
    farm.restart("scheduler")
    _flush(farm)
    assert {client.jobs.wait(job, timeout=90).state for job in jobs} == {JobState.SUCCEEDED}


def test_redis_flushed_again_and_again_while_jobs_run(farm: EmbeddedFarm, client: Client, seed):
    model = client.models.push(model_path("ppocr-cls"))
    jobs = [
        client.jobs.submit(model=model.id, targets=["openvino:fp16"], verify=False, benchmark=False, seed=seed + n)
        for n in range(12)
    ]
    for job in jobs:
        _flush(farm)
        assert client.jobs.wait(job, timeout=90).state is JobState.SUCCEEDED


def test_redis_killed_and_started_again(farm: EmbeddedFarm, client: Client, seed):
    model = client.models.push(model_path("ppocr-cls"))
    farm.kill("redis", signal.SIGKILL)
    job = client.jobs.submit(model=model.id, targets=["openvino:fp16"], verify=False, benchmark=False, seed=seed)
    assert client.jobs.wait(job, timeout=120).state is JobState.SUCCEEDED


def test_the_api_restarted_while_builds_run(farm: EmbeddedFarm, client: Client, slow):
    job, build = slow
    running(client, build, Phase.VERIFY)
    farm.restart("api")
    ended = client.jobs.wait(job, timeout=120)
    assert ended.state is JobState.SUCCEEDED
    assert ended.builds[0].attempts[-1].state is AttemptState.SUCCEEDED


def test_the_api_killed_while_builds_run(farm: EmbeddedFarm, client: Client, slow):
    job, build = slow
    running(client, build, Phase.VERIFY)
    farm.kill("api", signal.SIGKILL)
    assert client.jobs.wait(job, timeout=120).state is JobState.SUCCEEDED


def test_the_scheduler_killed_while_jobs_wait(farm: EmbeddedFarm, client: Client, seed):
    model = client.models.push(model_path("ppocr-cls"))
    jobs = [
        client.jobs.submit(model=model.id, targets=["openvino:fp16"], verify=False, benchmark=False, seed=seed + n)
        for n in range(6)
    ]
    farm.kill("scheduler", signal.SIGKILL)
    assert {client.jobs.wait(job, timeout=90).state for job in jobs} == {JobState.SUCCEEDED}


def test_a_worker_told_to_stop_gives_its_build_back_at_no_cost(farm: EmbeddedFarm, client: Client, slow):
    job, build = slow
    view = running(client, build, Phase.VERIFY)
    farm.restart(part_of(farm, view))
    ended = client.jobs.wait(job, timeout=120)
    assert ended.state is JobState.SUCCEEDED
    assert ended.builds[0].attempts[0].failure is None


def test_cancelling_a_running_build_leaves_no_process(farm: EmbeddedFarm, client: Client, slow):
    job, build = slow
    view = running(client, build, Phase.VERIFY)
    children = children_of_build(farm, part_of(farm, view))
    client.jobs.cancel(job)
    ended = client.jobs.wait(job, timeout=30)
    assert ended.state is JobState.CANCELLED
    assert not [child for child in children if child.is_running() and child.status() != psutil.STATUS_ZOMBIE]


def test_the_same_thing_submitted_many_times_at_once_is_built_once(client: Client, seed):
    model = client.models.push(model_path("ppocr-rec"))
    jobs = [client.jobs.submit(model=model.id, targets=["openvino:fp16"], seed=seed) for _ in range(6)]
    builds = [client.jobs.wait(job, timeout=120).builds[0] for job in jobs]
    assert {build.state for build in builds} == {BuildState.SUCCEEDED}
    assert len({build.artifact for build in builds}) == 1
    assert [build.origin for build in builds].count(Origin.BUILT) == 1


def _flush(farm: EmbeddedFarm) -> None:
    import redis

    with redis.Redis.from_url(farm.redis.url) as connection:
        connection.flushall()

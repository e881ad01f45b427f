"""``auto`` through the farm: a real model, everything that a CPU worker has, and the artifact of what it recommends."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest

from enginehouse.client import Client
from enginehouse.exploration import Stage
from enginehouse.gates import Gates
from enginehouse.states import BuildState, Origin
from enginehouse.targets import parse_target
from enginehouse.views import JobView
from farm.embedded import EmbeddedFarm
from zoo import model_path
from zoo.samples import SAMPLED

pytestmark = pytest.mark.timeout(900)

AUTO = parse_target("auto").model_copy(update={"options": {"budget_s": 60, "backends": ["onnxruntime", "openvino"]}})


@pytest.fixture(scope="module")
def asker(farm: EmbeddedFarm) -> Iterator[Client]:
    with Client(farm.url, farm.token) as client:
        yield client


@pytest.fixture(scope="module")
def asked(asker: Client) -> dict[str, str]:
    file = io.BytesIO()
    np.savez(file, **SAMPLED["ppocr-cls"]())
    dataset = asker.datasets.push(file.getvalue(), name="lines").id
    return {"model": asker.models.push(model_path("ppocr-cls")).id, "dataset": dataset}


@pytest.fixture(scope="module")
def job(asker: Client, asked: dict[str, str]) -> JobView:
    return asker.jobs.wait(asker.jobs.submit(targets=[AUTO], **asked), timeout=600)


def test_it_builds_what_it_recommends_and_shows_what_it_tried(client: Client, job: JobView) -> None:
    (build,) = job.builds
    assert build.state is BuildState.SUCCEEDED, build.failure
    artifact = client.artifacts.get(str(build.artifact))
    report = artifact.report
    table = report.exploration
    assert table is not None
    chosen = table.candidates[0]
    assert chosen.stage is Stage.RECOMMENDED
    assert (artifact.manifest.target, report.target) == (chosen.target, str(chosen.target))
    assert report.verification is not None
    assert report.verification.agrees
    assert report.benchmark is not None
    tried = {f"{one.target.backend}:{one.target.precision}" for one in table.candidates}
    assert tried >= {"onnxruntime:fp32", "openvino:fp32", "openvino:bf16", "openvino:int8", "onnxruntime:int8"}
    assert all(one.reason for one in table.candidates if one.stage in (Stage.SKIPPED, Stage.FAILED, Stage.REFUSED))
    assert any("plain ONNX Runtime" in reason for reason in table.reasons) or str(chosen.target) == "onnxruntime:fp32"


def test_what_was_explored_once_is_answered_from_the_cache(client: Client, asked: dict[str, str], job: JobView) -> None:
    again = client.jobs.wait(client.jobs.submit(targets=[AUTO], **asked), timeout=60)
    assert again.builds[0].origin is Origin.CACHE
    assert again.builds[0].artifact == job.builds[0].artifact


def test_the_jobs_gates_say_what_is_right(client: Client, asked: dict[str, str]) -> None:
    gates = Gates(max_abs_error=0)
    job = client.jobs.wait(client.jobs.submit(targets=[AUTO], gates=gates, **asked), timeout=600)
    (build,) = job.builds
    assert build.state is BuildState.SUCCEEDED, build.failure
    artifact = client.artifacts.get(str(build.artifact))
    assert (artifact.manifest.target.backend, str(artifact.manifest.target.precision)) == ("onnxruntime", "fp32")
    table = artifact.report.exploration
    assert table is not None
    assert {one.code for one in table.candidates if one.stage is Stage.REFUSED} == {"build.gate_missed"}

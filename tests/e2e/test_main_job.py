"""The main job, from the command line to an artifact that runs: a real published model through every real part."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from enginehouse.bundle import Manifest
from enginehouse.cli.exit_codes import ExitCode
from enginehouse.client import Client
from enginehouse.states import BuildState, JobState, Origin
from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path
from zoo.light import light_model

ENGINEHOUSE = Path(sys.executable).with_name("enginehouse")


def cli(farm: EmbeddedFarm, *arguments: str, code: ExitCode = ExitCode.OK) -> str:
    environment = {**os.environ, "ENGINEHOUSE_URL": farm.url, "ENGINEHOUSE_TOKEN": farm.token}
    done = subprocess.run(
        [ENGINEHOUSE, *arguments], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    assert done.returncode == code, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def submitted(farm: EmbeddedFarm, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict, Path]:
    out = tmp_path_factory.mktemp("out")
    targets = ["-t", "openvino:fp32", "-t", "openvino:fp16", "-t", "onnxruntime:fp32", "-t", "onnxruntime:fp16"]
    text = cli(farm, "submit", str(model_path("ppocr-rec")), *targets, "--wait", "--out", str(out), "--json")
    return json.loads(text), out


def test_every_build_succeeds_and_is_proven_and_measured(farm: EmbeddedFarm, client: Client, submitted):
    job, _ = submitted
    assert job["state"] == JobState.SUCCEEDED
    for build in job["builds"]:
        artifact = client.artifacts.get(build["artifact"])
        report = artifact.report
        assert report.verification.agrees
        assert report.verification.samples >= 2
        assert min(output.cosine for output in report.verification.outputs) > 0.99
        assert report.benchmark.artifact.p50_ms > 0
        assert report.benchmark.artifact.p50_ms <= report.benchmark.artifact.p90_ms
        assert report.benchmark.speedup == pytest.approx(
            report.benchmark.baseline.p50_ms / report.benchmark.artifact.p50_ms, rel=1e-3
        )
        assert report.layers
        assert report.environment
        assert report.size == sum(file.size for file in artifact.manifest.files if file.role == "model")


def test_fp16_weights_take_about_half_of_the_room(client: Client, submitted):
    sizes = {
        f"{b['target']['backend']}:{b['target']['precision']}": client.artifacts.get(b["artifact"]).report.size
        for b in submitted[0]["builds"]
    }
    assert sizes["openvino:fp16"] < 0.6 * sizes["openvino:fp32"]
    assert sizes["onnxruntime:fp16"] < 0.6 * sizes["onnxruntime:fp32"]


def test_the_downloaded_ir_runs_by_itself_and_agrees_with_the_source(submitted):
    import onnxruntime
    import openvino

    _, out = submitted
    found = [path for path in out.rglob("manifest.json") if Manifest.model_validate_json(path.read_text())]
    ir = next(
        path.parent for path in found if str(Manifest.model_validate_json(path.read_text()).target) == "openvino:fp32"
    )
    manifest = Manifest.model_validate_json((ir / "manifest.json").read_text())
    core = openvino.Core()
    compiled = core.compile_model(str(ir / manifest.entry), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    feed = np.random.default_rng(7).normal(size=(1, 3, 48, 320)).astype(np.float32)
    ours = compiled({0: feed})[0]
    session = onnxruntime.InferenceSession(model_path("ppocr-rec"), providers=["CPUExecutionProvider"])
    theirs = session.run(None, {session.get_inputs()[0].name: feed})[0]
    np.testing.assert_allclose(ours, theirs, atol=1e-3)


def test_the_same_again_comes_from_the_cache(farm: EmbeddedFarm, submitted):
    text = cli(farm, "submit", str(model_path("ppocr-rec")), "-t", "openvino:fp16", "--wait", "--json")
    again = json.loads(text)
    assert again["builds"][0]["origin"] == Origin.CACHE
    assert again["builds"][0]["artifact"] == submitted[0]["builds"][1]["artifact"]


def test_the_log_and_phases_of_a_build_can_be_read(farm: EmbeddedFarm, client: Client, submitted):
    build = submitted[0]["builds"][0]["id"]
    assert cli(farm, "job", "logs", build)
    stream = client.events(job=submitted[0]["id"], after=0)
    kinds = []
    for event in stream:
        kinds.append(event.kind)
        if event.kind == "job.succeeded":
            break
    assert "build.phase" in kinds
    assert kinds.count("build.succeeded") == 4


@pytest.mark.parametrize("name", ["ppocr-det", "ppocr-cls", "magika", "silero-vad-ifless", "silero-vad-openvino"])
def test_the_other_real_models(client: Client, name):
    model = client.models.push(model_path(name))
    targets = ["openvino:fp32", "openvino:fp16", "onnxruntime:fp32", "onnxruntime:fp16"]
    job = client.jobs.wait(client.jobs.submit(model=model.id, targets=targets), timeout=240)
    ended = {str(build.target): (build.state, build.failure and build.failure.code) for build in job.builds}
    for target in ("openvino:fp32", "onnxruntime:fp32"):
        assert ended[target] == (BuildState.SUCCEEDED, None)
    for target in ("openvino:fp16", "onnxruntime:fp16"):  # half precision may be too little; then it must be said
        assert ended[target] in {(BuildState.SUCCEEDED, None), (BuildState.FAILED, "build.outputs_disagree")}


def test_a_model_whose_outputs_are_noise_is_not_called_proven(client: Client):
    """Synthetic weights make logits of 1e10 here: the last bit of a weight decides the class."""
    model = client.models.push(light_model("light_squeezenet"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp32"], benchmark=False)
    (build,) = client.jobs.wait(job, timeout=120).builds
    assert (build.state, build.failure.code) == (BuildState.FAILED, "build.outputs_disagree")
    assert "ill-conditioned" in build.failure.detail
    assert client.artifacts.get(build.artifact).report.verification.outputs[0].cosine < 0.9


@pytest.mark.parametrize("name", ["light_resnet50", "light_densenet121", "light_shufflenet"])
def test_classic_networks_in_the_formats_of_their_time(client: Client, name):
    model = client.models.push(light_model(name))
    targets = ["openvino:fp32", "openvino:fp16", "onnxruntime:fp32", "onnxruntime:fp16"]
    job = client.jobs.submit(model=model.id, targets=targets, benchmark=False)
    ended = client.jobs.wait(job, timeout=240)
    assert [build.failure for build in ended.builds] == [None] * 4


def test_a_model_with_external_data_as_exporters_write_it(client: Client, tmp_path):
    """The weights in one file beside the graph, pushed together and named by both files' bytes."""
    onnx.save(
        onnx.load(model_path("magika")),
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="model.onnx.data",
    )
    model = client.models.push(tmp_path / "model.onnx")
    assert [file.path for file in model.files] == ["model.onnx", "model.onnx.data"]
    targets = ["openvino:fp32", "onnxruntime:fp32", "onnxruntime:fp16"]
    job = client.jobs.wait(client.jobs.submit(model=model.id, targets=targets, benchmark=False), timeout=240)
    assert [build.failure for build in job.builds] == [None] * 3
    back = client.models.download(model.id, tmp_path / "back")
    for file in back.files:
        assert (tmp_path / "back" / file.path).read_bytes() == (tmp_path / file.path).read_bytes()


def test_a_users_dataset_is_what_the_artifact_is_proven_on(client: Client, tmp_path):
    model = client.models.push(model_path("ppocr-cls"))
    samples = np.random.default_rng(3).uniform(-1, 1, size=(6, 2, 3, 80, 160)).astype(np.float32)
    name = model.signature.inputs[0].name
    np.savez(tmp_path / "lines.npz", **{name: samples})
    dataset = client.datasets.push(tmp_path / "lines.npz")
    job = client.jobs.submit(model=model.id, targets=["openvino:fp32"], dataset="lines")
    job = client.jobs.wait(job, timeout=240)
    report = client.artifacts.get(job.builds[0].artifact).report
    assert report.verification.inputs == f"dataset lines@{dataset.version}"
    assert report.verification.samples == 6
    assert report.verification.shapes[name] == [2, 3, 80, 160]

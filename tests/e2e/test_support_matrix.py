"""One classifier in every source format to every target that a CPU farm announces: what docs/support-matrix.md says.

``make matrix`` writes the page anew from such a run; without it the run must come to what the page says.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from make_sources import CLASSES, SAMPLES, SIDE, SOURCES

from enginehouse.client import Client
from enginehouse.states import BuildState
from enginehouse.targets import Precision
from enginehouse.views import ModelView

PAGE = Path(__file__).parents[2] / "docs/support-matrix.md"
WRITE = os.environ.get("ENGINEHOUSE_TEST_MATRIX") == "write"
BACKENDS = ("openvino", "onnxruntime", "litert")
ABSENT = [f"tensorrt:{one}" for one in Precision if one not in (Precision.INT4, Precision.AUTO)]
PROVEN = "verified"

HEAD = f"""# What goes where

A small classifier (convolution, batch norm, ReLU, a residual, {CLASSES} classes; {SIDE}x{SIDE} pictures) in every
source format, built for every target that a CPU farm announces, calibrated and verified with {SAMPLES} samples.
`{PROVEN}`: the artifact's outputs agree with the source model in its own framework, within the tolerance of the
precision. Anything else is the code of the reason ([errors.md](errors.md)). Made by `make matrix`; a test holds the
page to what a farm does.

TensorRT needs an NVIDIA GPU: no worker of this farm announces it, and such a build waits.

"""


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    program = Path(__file__).with_name("make_sources.py")
    subprocess.run([sys.executable, str(program), str(folder)], check=True, capture_output=True, timeout=300)
    return folder


def samples(client: Client, model: ModelView) -> str:
    """Pictures in the layout that the model takes."""
    (spec,) = model.signature.inputs
    pictures = np.random.default_rng(5).random((SAMPLES, 1, 3, SIDE, SIDE), dtype=np.float32)
    if spec.shape[-1] == 3:
        pictures = np.moveaxis(pictures, 2, -1)
    file = io.BytesIO()
    np.savez(file, **{spec.name: pictures})
    return client.datasets.push(file.getvalue(), name=f"matrix-{model.signature.format}").id


@pytest.fixture(scope="module")
def matrix(farm, sources: Path) -> dict[str, dict[str, str]]:
    """Source format to target to outcome."""
    jobs = {}
    with Client(farm.url, farm.token) as client:
        for name, file in SOURCES.items():
            model = client.models.push(sources / file)
            assert model.signature.format == name
            targets = [one.target for one in client.models.targets(model.id).items if one.target != "auto"]
            jobs[name] = client.jobs.submit(
                model=model.id, targets=targets, dataset=samples(client, model), benchmark=False
            )
        found = {}
        for name, job in jobs.items():
            builds = client.jobs.wait(job, timeout=1200).builds
            found[name] = {str(build.target): outcome(client, build) for build in builds}
        return found


def outcome(client: Client, build) -> str:
    if build.state is not BuildState.SUCCEEDED:
        return f"`{build.failure.code}`"
    verification = client.artifacts.get(build.artifact).report.verification
    return PROVEN if verification and verification.agrees else "`unproven`"


def page(matrix: dict[str, dict[str, str]]) -> str:
    targets = [*next(iter(matrix.values())), *ABSENT]
    lines = [f"| target | {' | '.join(matrix)} |", "|---" * (len(matrix) + 1) + "|"]
    for target in targets:
        cells = [row.get(target, "waits") for row in matrix.values()]
        lines.append(f"| {target} | {' | '.join(cells)} |")
    return HEAD + "\n".join(lines) + "\n"


@pytest.mark.timeout(1500)
def test_every_cell_is_what_the_page_says(matrix: dict[str, dict[str, str]]):
    if WRITE:
        PAGE.write_text(page(matrix))
    assert page(matrix) == PAGE.read_text()


@pytest.mark.timeout(1500)
@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_source_goes_to_every_backend(matrix: dict[str, dict[str, str]], source: str, backend: str):
    row = matrix[source]
    assert row[f"{backend}:fp32"] == PROVEN
    assert row[f"{backend}:fp16"] == PROVEN
    assert row[f"{backend}:int8"] == PROVEN


def test_a_target_that_no_worker_offers_waits_with_the_reason(client: Client, sources: Path):
    model = client.models.push(sources / SOURCES["onnx"])
    job = client.jobs.submit(model=model.id, targets=ABSENT[:1])
    (build,) = client.jobs.get(job.id).builds
    assert build.state is BuildState.WAITING
    assert "no worker online offers tensorrt" in build.reason
    assert client.jobs.cancel(job.id).builds[0].state is BuildState.CANCELLED

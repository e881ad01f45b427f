"""Real published models to every target that a CPU farm announces, calibrated with real samples where there are any.

By default three of them; ENGINEHOUSE_TEST_MATRIX=write (``make matrix``) takes all and writes docs/real-models.md.
"""

from __future__ import annotations

import io
import os
from pathlib import Path

import numpy as np
import pytest

from enginehouse.client import Client
from zoo.fetch import model_path
from zoo.samples import SAMPLED

PAGE = Path(__file__).parents[2] / "docs/real-models.md"
WRITE = os.environ.get("ENGINEHOUSE_TEST_MATRIX") == "write"
MODELS = list(SAMPLED) if WRITE else ["ppocr-cls", "magika", "silero-vad-openvino"]

TOLD = {
    "",
    "build.outputs_disagree",
    "build.unsupported_operator",
    "build.precision_not_kept",
    "build.calibration_failed",
}
"""What a lower precision may come to."""

HEAD = """# Real models on a CPU farm

Published models (`python -m zoo` lists them with their licences) to every target that a CPU farm announces. PP-OCR is
calibrated and verified with 32 pieces of two photographs, magika with 32 files, silero with made-up sounds. A cell is
the least cosine of all outputs against ONNX Runtime FP32 on these samples, or the code of the reason
([errors.md](errors.md)) why there is no proven artifact; `build.outputs_disagree` carries its cosine. Made by
`make matrix`.

"""

pytestmark = pytest.mark.timeout(3600 if WRITE else 900)


def submit(client: Client, name: str) -> str:
    model = client.models.push(model_path(name))
    arrays = SAMPLED[name]()
    file = io.BytesIO()
    np.savez(file, **arrays)
    dataset = client.datasets.push(file.getvalue(), name=f"real-{name}")
    targets = [one.target for one in client.models.targets(model.id).items if one.target != "auto"]
    shapes = {key: array.shape[1:] for key, array in arrays.items()}
    return client.jobs.submit(model=model.id, targets=targets, dataset=dataset.id, shapes=shapes, benchmark=False).id


def outcome(client: Client, build) -> tuple[str, float | None]:
    """The failure's code ('' for none) and the least cosine."""
    code = build.failure.code if build.failure else ""
    if not build.artifact:
        return code, None
    verification = client.artifacts.get(build.artifact).report.verification
    return code, min((one.cosine for one in verification.outputs if one.cosine is not None), default=None)


@pytest.fixture(scope="module")
def outcomes(farm) -> dict[str, dict[str, tuple[str, float | None]]]:
    with Client(farm.url, farm.token) as client:
        jobs = {name: submit(client, name) for name in MODELS}
        return {
            name: {str(build.target): outcome(client, build) for build in client.jobs.wait(job, timeout=3000).builds}
            for name, job in jobs.items()
        }


@pytest.mark.parametrize("name", MODELS)
def test_every_target_is_proven_or_says_why(outcomes, name: str):
    for target, (code, cosine) in outcomes[name].items():
        refused = name == "silero-vad" and code in {"build.unsupported_operator", "build.conversion_failed"}
        if refused or target.endswith(":fp32"):
            assert code == "" or refused, (target, code)
        else:  # too little for some models; then it is said, with the numbers
            assert code in TOLD, (target, code, cosine)


def test_the_page(outcomes):
    if not WRITE:
        assert all(name in PAGE.read_text() for name in SAMPLED)
        return
    targets = list(next(iter(outcomes.values())))
    lines = [f"| target | {' | '.join(outcomes)} |", "|---" * (len(outcomes) + 1) + "|"]
    for target in targets:
        lines.append(f"| {target} | {' | '.join(cell(*row[target]) for row in outcomes.values())} |")
    PAGE.write_text(HEAD + "\n".join(lines) + "\n")


def cell(code: str, cosine: float | None) -> str:
    number = "equal" if cosine is None and not code else "" if cosine is None else f"{cosine:.5f}"
    return f"`{code}` {number}".strip() if code else number


def test_a_proven_build_says_how_it_was_calibrated(client: Client, outcomes):
    model = client.models.push(model_path("magika"))
    assert outcomes["magika"]["onnxruntime:int8"][0] == ""
    artifacts = client.artifacts.list(model=model.id, limit=200).items
    found = [one.report for one in artifacts if one.report.target == "onnxruntime:int8" and one.report.calibration]
    assert any(report.calibration.origin.startswith("dataset real-magika@") for report in found)

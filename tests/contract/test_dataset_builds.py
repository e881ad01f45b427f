"""Every kind of dataset calibrates and verifies a build."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from contract.backends_models import GOOD, order
from contract.backends_models import write as write_model
from unit.samples.made import npy, pictures, write, zipped

from enginehouse.errors import DatasetNotFinite
from workers.pipeline.run import run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """Takes [batch, 3, height, width]."""
    return write_model(GOOD["convolution"](), tmp_path / "in")


@pytest.mark.parametrize("target", ["onnxruntime:fp32", "openvino:int8"])
def test_pictures(model: Path, tmp_path: Path, target: str) -> None:
    table = b"file,label\n" + b"".join(b"%d.png,%d\n" % (n, n) for n in range(5))
    samples = write(tmp_path, zipped(pictures(5, {"labels.csv": table}, scale=255, size=[8, 12])))
    report = run(order(model, target, tmp_path / "work", dataset_path=samples)).report
    assert report.verification is not None
    assert report.verification.agrees
    assert (report.verification.samples, report.verification.shapes) == (5, {"x": [1, 3, 8, 12]})
    if target == "openvino:int8":
        assert report.calibration is not None
        assert (report.calibration.origin, report.calibration.samples) == ("dataset samples@1", 5)


def sizes(folder: Path, last: float = 0.5) -> Path:
    random = np.random.default_rng(0)
    files = {f"x/{n}.npy": npy(random.random((1, 3, 8 + 2 * n, 12), np.float32)) for n in range(4)}
    return write(folder, zipped(files | {"x/9.npy": npy(np.full((1, 3, 20, 9), last, np.float32))}))


def test_samples_of_several_sizes(model: Path, tmp_path: Path) -> None:
    report = run(order(model, "openvino:int8", tmp_path / "work", dataset_path=sizes(tmp_path))).report
    assert report.verification is not None
    assert report.verification.agrees
    assert report.verification.samples == 5
    assert report.calibration is not None
    assert report.calibration.samples == 5


def test_a_hole_that_the_inspection_did_not_reach(model: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetNotFinite, match="sample 4 of 'x'"):
        run(order(model, "onnxruntime:fp32", tmp_path / "work", dataset_path=sizes(tmp_path, np.nan)))

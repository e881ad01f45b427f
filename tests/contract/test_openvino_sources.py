"""The OpenVINO backend reads every other format than ONNX directly too, and keeps the source's names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import openvino
import pytest
from contract.openvino_sources import order_of, tensorflow_files, torch_files

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.errors import UnsupportedOperator
from workers.pipeline import run

pytestmark = [
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # PyTorch's and TensorFlow's own, while they export
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::UserWarning"),
]

GENERATED = {"calibration": "generated", "calibration_samples": 4}
SHAPES = {"net.pt": {"image": (2, 3, 16, 16)}}
TORCH = ["net.pt2", "net.pt"]
TENSORFLOW = ["net.keras", "net.zip", "net.tflite"]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    torch_files(folder)
    tensorflow_files(folder)
    return folder


@pytest.mark.parametrize("precision", ["fp32", "int8"])
@pytest.mark.parametrize("name", [*TORCH, *TENSORFLOW])
def test_every_format_is_proven(name: str, precision: str, files: Path, tmp_path: Path) -> None:
    options = GENERATED if precision == "int8" else {}
    told = order_of(files / name, f"openvino:{precision}", tmp_path, options=options, shapes=SHAPES.get(name, {}))
    result = run(told)
    verification = result.report.verification
    assert verification is not None
    assert verification.agrees, verification
    model = openvino.Core().read_model(told.bundle / "model.xml")
    assert [port.get_names() for port in model.inputs] == [{"image"}]
    assert [port.get_names() for port in model.outputs] == [{spec.name} for spec in told.signature.outputs]
    assert result.report.intermediate is None
    assert len(result.report.route) == 1
    convolution = next(layer for layer in result.report.layers if layer.type == "Convolution")
    assert convolution.precision == ("u8" if precision == "int8" else "f32")


@pytest.mark.parametrize(
    ("name", "fused"),
    [("net.pt2", ["conv2d", "batch_norm", "relu"]), ("net.pt", ["aten::conv2d", "aten::batch_norm", "aten::relu"])],
)
def test_the_three_nodes_of_a_pytorch_program_are_one_layer(
    name: str, fused: list[str], files: Path, tmp_path: Path
) -> None:
    result = run(order_of(files / name, "openvino:fp32", tmp_path, shapes=SHAPES.get(name, {})))
    layer = next(layer for layer in result.report.layers if layer.type == "Convolution")
    assert layer.fused == fused
    assert result.report.removed == []


@pytest.mark.parametrize("name", TENSORFLOW)
def test_what_openvino_forgets_of_a_tensorflow_graph_is_said(name: str, files: Path, tmp_path: Path) -> None:
    result = run(order_of(files / name, "openvino:fp32", tmp_path))
    dense = next(layer for layer in result.report.layers if layer.type == "FullyConnected")
    assert any("dense" in node for node in dense.fused)
    convolution = next(layer for layer in result.report.layers if layer.type == "Convolution")
    assert convolution.fused == []
    assert any("turns from NHWC" in note for note in result.report.notes)


def test_inputs_and_outputs_keep_the_sources_order(files: Path, tmp_path: Path) -> None:
    told = order_of(files / "two.keras", "openvino:fp32", tmp_path)
    verification = run(told).report.verification
    assert verification is not None
    assert verification.agrees
    model = openvino.Core().read_model(told.bundle / "model.xml")
    assert {port.get_any_name() for port in model.inputs} == {"zeta", "alpha"}
    assert [output.name for output in verification.outputs] == [spec.name for spec in told.signature.outputs]


def test_an_operator_that_openvino_does_not_have_is_named(tmp_path: Path) -> None:
    import torch

    class Eigen(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> Any:
            return torch.linalg.eigh(x @ x.T)[0]

    path = tmp_path / "eigen.pt2"
    torch.export.save(torch.export.export(Eigen(), (torch.rand(4, 4),)), path)
    with pytest.raises(UnsupportedOperator, match=r"aten\._linalg_eigh") as caught:
        run(order_of(path, "openvino:fp32", tmp_path / "work"))
    assert caught.value.where["operators"] == ["aten._linalg_eigh.default"]
    assert caught.value.where["opsets"]


@pytest.mark.parametrize("name", [*TORCH, *TENSORFLOW])
def test_the_script_reads_the_same_model(name: str, files: Path, tmp_path: Path) -> None:
    import os
    import shutil
    import subprocess
    import sys

    told = order_of(files / name, "openvino:fp32", tmp_path, shapes=SHAPES.get(name, {}), verify=False, benchmark=False)
    run(told)
    place = tmp_path / "elsewhere"
    place.mkdir()
    shutil.copy(files / name, place)
    done = subprocess.run(
        [sys.executable, told.bundle / "reproduce.py"],
        cwd=place,
        env={**os.environ, "HOME": str(place)},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    mine, theirs = (openvino.Core().read_model(folder / "model.xml") for folder in (told.bundle, place))
    assert [port.get_names() for port in theirs.inputs] == [port.get_names() for port in mine.inputs]
    assert [port.get_names() for port in theirs.outputs] == [port.get_names() for port in mine.outputs]
    assert len(theirs.get_ops()) == len(mine.get_ops())

"""LiteRT: every format, precision and kind of shape; the layer table; what is refused, and how."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.backends_models import GOOD, dense, order, write
from contract.litert_models import block, branches, cubic, gelu, odd_names, operators, ports, shifted
from contract.openvino_sources import order_of, tensorflow_files, torch_files

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.errors import (
    BoundsRequired,
    DatasetRequired,
    InvalidOption,
    InvalidShapes,
    PrecisionNotKept,
    UnsupportedOperator,
)
from enginehouse.report import Layer
from enginehouse.targets import parse_target
from workers.backends import get
from workers.backends.base import Saved, Session, Setting
from workers.backends.litert import profiler
from workers.pipeline import Order, run

FORMATS = {
    "net.tflite": ["tflite"],
    "net.zip": ["tf-savedmodel", "tflite"],
    "net.keras": ["keras", "tf-savedmodel", "tflite"],
    "net.pt2": ["torch-export", "tflite"],
    "net.pt": ["torchscript", "onnx", "tflite"],
}
GENERATED = {"calibration": "generated"}

pytestmark = [
    # TensorFlow's and torch's own use of what NumPy and Python have deprecated.
    pytest.mark.filterwarnings("ignore::DeprecationWarning:tensorflow"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:torch"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning:keras"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources")
    tensorflow_files(folder)
    torch_files(folder)
    return folder


def from_file(files: Path, name: str, target: str, folder: Path, **recipe: Any) -> Order:
    (folder / "in").mkdir(parents=True, exist_ok=True)
    path = folder / "in" / name
    shutil.copy(files / name, path)
    if name == "net.pt":  # a script says nothing of its shapes
        recipe.setdefault("shapes", {"image": (1, 3, 16, 16)})
    return order_of(path, target, folder / "work", **recipe)


def session(told: Order) -> Session:
    backend = get("litert")
    saved = Saved(told.bundle, "model.tflite", ("model.tflite",))
    return backend.load(saved, backend.check(told.recipe.target, told.signature.format), Setting(threads=1))


def of_type(layers: list[Layer], kind: str) -> list[Layer]:
    return [layer for layer in layers if layer.type == kind]


# -- formats and precisions -----------------------------------------------------------------------


@pytest.mark.parametrize("target", ["litert:fp32", "litert:fp16", "litert:int8"])
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_is_proven_in_every_precision(files: Path, name: str, target: str, tmp_path: Path) -> None:
    told = from_file(files, name, target, tmp_path, options=GENERATED if "int8" in target else {})
    result = run(told)
    report = result.report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert report.route == FORMATS[name]
    assert (report.intermediate is not None) == ("onnx" in report.route)
    artifact = told.bundle / "model.tflite"
    names = [spec.name for spec in (*told.signature.inputs, *told.signature.outputs)]
    interpreter = session(told)._interpreter  # type: ignore[attr-defined]
    assert interpreter.get_signature_list() == {"serving_default": {"inputs": names[:1], "outputs": names[1:]}}
    held = {detail["dtype"] for detail in interpreter.get_tensor_details()}
    assert (np.float16 in held) == (target == "litert:fp16")
    assert (np.int8 in held) == (target == "litert:int8")
    assert set(ports(artifact).values()) == {"FLOAT32"}


def test_a_tflite_file_in_fp32_keeps_its_bytes(files: Path, tmp_path: Path) -> None:
    told = from_file(files, "net.tflite", "litert:fp32", tmp_path, verify=False, benchmark=False)
    run(told)
    assert (told.bundle / "model.tflite").read_bytes() == (files / "net.tflite").read_bytes()


def test_a_quantised_tflite_file_is_int8_and_nothing_else(files: Path, tmp_path: Path) -> None:
    first = from_file(files, "net.tflite", "litert:int8", tmp_path / "first", options=GENERATED, benchmark=False)
    run(first)
    path = first.bundle / "model.tflite"
    for target in ("litert:fp32", "litert:fp16"):
        with pytest.raises(PrecisionNotKept, match="quantised already"):
            run(order_of(path, target, tmp_path / target[-4:]))
    report = run(order_of(path, "litert:int8", tmp_path / "again", benchmark=False)).report
    assert report.verification is not None
    assert report.verification.agrees
    assert report.calibration is None
    assert any("quantised already" in note for note in report.notes)


@pytest.mark.parametrize(("how", "precision"), [("dynamic", "int8 (dynamic)"), ("weights", "float32")])
def test_weights_are_quantised_without_samples(how: str, precision: str, tmp_path: Path) -> None:
    path = write(dense(np.float32), tmp_path / "in")
    told = order(path, "litert:int8", tmp_path / "work", options={"quantization": how})
    report = run(told).report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert report.calibration is None
    assert {layer.precision for layer in of_type(report.layers, "FULLY_CONNECTED")} == {precision}
    assert ("DEQUANTIZE" in operators(told.bundle / "model.tflite")) == (how == "weights")


def test_static_int8_needs_a_dataset_and_says_how_it_was_calibrated(tmp_path: Path) -> None:
    path = write(block(), tmp_path / "in")
    with pytest.raises(DatasetRequired):
        run(order(path, "litert:int8", tmp_path / "refused"))
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.random.default_rng(1).random((6, 1, 3, 12, 16), np.float32))
    report = run(order(path, "litert:int8", tmp_path / "work", dataset_path=samples)).report
    assert report.calibration is not None
    assert (report.calibration.origin, report.calibration.samples) == ("dataset samples@1", 6)
    assert report.calibration.method.startswith("MinMax")
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert {layer.precision for layer in of_type(report.layers, "CONV_2D")} == {"int8"}


def test_a_float_output_is_not_rounded_to_the_steps_of_a_softmax(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    report = run(order(path, "litert:int8", tmp_path / "work", options=GENERATED)).report
    assert report.kept_float == ["softmax"]
    assert {layer.precision for layer in of_type(report.layers, "SOFTMAX")} == {"float32"}


def test_int8_inputs_and_outputs_take_and_give_the_sources_floats(tmp_path: Path) -> None:
    path = write(block(), tmp_path / "in")
    told = order(path, "litert:int8", tmp_path / "work", options={**GENERATED, "io": "int8"})
    report = run(told).report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert ports(told.bundle / "model.tflite") == {"x": "INT8", "y": "INT8"}
    loaded = session(told)
    assert (loaded.settings()["inputs"], loaded.settings()["outputs"]) == ("int8", "int8")
    assert loaded.run({"x": np.zeros((2, 3, 12, 16), np.float32)})["y"].dtype == np.float32


@pytest.mark.parametrize(
    ("target", "options"),
    [("litert:int8", {"io": "int8", "quantization": "dynamic"}), ("litert:fp32", {"io": "int8"})],
)
def test_integer_ports_belong_to_static_int8(target: str, options: dict[str, str]) -> None:
    wanted = parse_target(target).model_copy(update={"options": options})
    with pytest.raises(InvalidOption, match="io"):
        get("litert").check(wanted, "onnx")


def test_weights_in_branches_are_quantised_without_samples_only(tmp_path: Path) -> None:
    path = write(branches(), tmp_path / "in")
    with pytest.raises(PrecisionNotKept, match="no layer was quantised"):
        run(order(path, "litert:int8", tmp_path / "static", options=GENERATED))
    report = run(order(path, "litert:int8", tmp_path / "work", options={"quantization": "dynamic"})).report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    (decision,) = of_type(report.layers, "IF")
    assert decision.time_us is None
    inside = report.layers[report.layers.index(decision) + 1 :]
    assert [layer.fused for layer in inside if layer.type == "FULLY_CONNECTED"] == [["if"]]


def test_half_precision_computes_and_answers_in_the_sources_types(tmp_path: Path) -> None:
    told = order(write(dense(np.float16), tmp_path / "in"), "litert:fp16", tmp_path / "work", benchmark=False)
    run(told)
    assert session(told).run({"x": np.zeros((3, 32), np.float16)})["y"].dtype == np.float16


# -- names and shapes -----------------------------------------------------------------------------


def test_odd_names_and_their_order_are_kept(tmp_path: Path) -> None:
    told = order(write(odd_names(), tmp_path / "in"), "litert:fp32", tmp_path / "work")
    report = run(told).report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(told.bundle / "model.tflite"))
    assert [one["name"] for one in interpreter.get_input_details()] == ["/z:0", "unread", "a@b"]
    assert len(interpreter.get_output_details()) == 3
    found = interpreter.get_signature_runner()(
        **{
            "/z:0": np.ones((2, 3), np.float32),
            "a@b": np.ones((2, 3), np.float32),
            "unread": np.ones((2, 3), np.float32),
        }
    )
    assert {name: float(array.mean()) for name, array in found.items()} == {"sum;2": 2.0, "same": 1.0, "sum;1": 2.0}
    added = of_type(report.layers, "ADD")[0]
    assert "/block.0/Add@0:1" in added.fused


@pytest.mark.parametrize("name", ["net.tflite", "net.zip", "net.keras", "net.pt2"])
def test_shapes_are_as_open_as_the_sources_or_fixed(files: Path, name: str, tmp_path: Path) -> None:
    told = from_file(files, name, "litert:fp32", tmp_path / "open", benchmark=False)
    sizes = (3, 16, 16) if name == "net.pt2" else (16, 16, 3)
    assert (verification := run(told).report.verification) is not None
    assert verification.samples > 4  # a second batch was looked at
    assert session(told).takes({"image": np.zeros((7, *sizes), np.float32)})

    still = from_file(files, name, "litert:fp32", tmp_path / "still", benchmark=False, shapes={"image": (5, *sizes)},
                      options={"reshape": "static"})  # fmt: skip
    report = run(still).report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert report.verification.shapes == {"image": [5, *sizes]}
    assert report.notes == [f"fixed shapes: image {[5, *sizes]}"]
    loaded = session(still)
    assert not loaded.takes({"image": np.zeros((7, *sizes), np.float32)})
    assert loaded.run({"image": np.zeros((5, *sizes), np.float32)})


def test_what_does_not_convert_with_open_sizes_names_them(tmp_path: Path) -> None:
    path = write(cubic(), tmp_path / "in")
    with pytest.raises(BoundsRequired) as caught:
        run(order(path, "litert:fp32", tmp_path / "none"))
    assert caught.value.where["dimensions"] == ["x[2] height", "x[3] width"]
    with pytest.raises(UnsupportedOperator, match="cubic"):
        run(order(path, "litert:fp32", tmp_path / "dynamic", options={"reshape": "dynamic"}))
    report = run(order(path, "litert:fp32", tmp_path / "given", shapes={"x": (2, 2, 8, 6)})).report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert report.notes == ["fixed shapes: x [2, 2, 8, 6]"]
    guessed = run(order(path, "litert:fp32", tmp_path / "guessed", options={"reshape": "static"})).report
    assert guessed.verification is not None
    assert guessed.verification.agrees


def test_samples_of_other_shapes_than_the_fixed_ones_are_refused(tmp_path: Path) -> None:
    path = write(cubic(), tmp_path / "in")
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.zeros((3, 1, 2, 5, 5), np.float32))
    with pytest.raises(InvalidShapes):
        run(order(path, "litert:fp32", tmp_path / "work", shapes={"x": (1, 2, 8, 6)}, dataset_path=samples))


# -- the layer table ------------------------------------------------------------------------------


@pytest.mark.parametrize("xnnpack", [True, False])
def test_convolution_batch_norm_and_relu_are_one_layer(xnnpack: bool, tmp_path: Path) -> None:
    path = write(block(), tmp_path / "in")
    report = run(order(path, "litert:fp32", tmp_path / "work", options={"xnnpack": xnnpack})).report
    (convolution,) = of_type(report.layers, "CONV_2D")
    assert convolution.fused == ["conv", "bn", "relu"]
    assert convolution.time_us
    assert convolution.precision == "float32"
    assert sum(layer.share or 0 for layer in report.layers) == pytest.approx(1, abs=0.01)
    assert report.removed == []
    assert report.benchmark is not None
    assert report.benchmark.settings["artifact"]["xnnpack"] is xnnpack
    assert bool(report.benchmark.settings["artifact"]["delegates"]) is xnnpack


def test_the_three_are_one_layer_from_torch_too(files: Path, tmp_path: Path) -> None:
    report = run(from_file(files, "net.pt2", "litert:fp32", tmp_path)).report
    assert [layer.fused for layer in of_type(report.layers, "CONV_2D")] == [["conv2d", "batch_norm", "relu"]]
    assert report.removed == []


def test_gelu_is_one_layer(tmp_path: Path) -> None:
    report = run(order(write(gelu(), tmp_path / "in"), "litert:fp32", tmp_path / "work")).report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert [layer.fused for layer in of_type(report.layers, "GELU")] == [["div", "erf", "plus", "times", "half"]]


def test_a_profiler_that_fails_costs_the_times_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = tmp_path / "profiler.py"
    broken.write_text("import os\nos.abort()\n")
    monkeypatch.setattr(profiler, "__file__", str(broken))
    report = run(order(write(block(), tmp_path / "in"), "litert:fp32", tmp_path / "work")).report
    assert of_type(report.layers, "CONV_2D")
    assert {layer.time_us for layer in report.layers} == {None}
    assert any("no times of single layers" in note for note in report.notes)


# -- failures -------------------------------------------------------------------------------------


def test_an_operator_without_a_kernel_names_its_node(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperator) as caught:
        run(order(write(shifted(), tmp_path / "in"), "litert:fp32", tmp_path / "work"))
    assert caught.value.where == {"operators": ["LeftShift"], "nodes": ["shift"]}


def test_a_form_that_cannot_be_said_names_node_and_operator_set(tmp_path: Path) -> None:
    path = write(cubic(), tmp_path / "in")
    with pytest.raises(UnsupportedOperator) as caught:
        run(order(path, "litert:fp32", tmp_path / "work", options={"reshape": "dynamic"}))
    assert caught.value.where == {"operators": ["Resize"], "nodes": ["resize"], "opset": 17}


# -- outside the farm -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "options"),
    [("litert:fp32", {}), ("litert:fp16", {"reshape": "static"}), ("litert:int8", {})],
)
def test_the_script_repeats_the_build_to_the_byte(target: str, options: dict[str, str], tmp_path: Path) -> None:
    path = write(block(), tmp_path / "in")
    samples = tmp_path / "dataset.npz"
    np.savez(samples, x=np.random.default_rng(1).random((4, 1, 3, 12, 16), np.float32))
    told = order(path, target, tmp_path / "work", options=options, dataset_path=samples, benchmark=False)
    run(told)
    outside = tmp_path / "outside"
    outside.mkdir()
    for file in (path, samples, told.bundle / "reproduce.py"):
        shutil.copy(file, outside)
    environment = {name: text for name, text in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "reproduce.py"], cwd=outside, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (outside / "model.tflite").read_bytes() == (told.bundle / "model.tflite").read_bytes()
    assert "{'serving_default': {'inputs': ['x'], 'outputs': ['y']}}" in done.stdout


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_has_a_script_before_its_build(files: Path, name: str, tmp_path: Path) -> None:
    told = from_file(files, name, "litert:fp32", tmp_path, verify=False, benchmark=False)
    run(told)
    text = (told.bundle / "reproduce.py").read_text()
    compile(text, "reproduce.py", "exec")
    assert json.dumps(told.signature.inputs[0].name)[1:-1] in text

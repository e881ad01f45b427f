"""What only the OpenVINO backend does: its precisions, shapes, pre-processing, settings, and what it tells of them."""

from __future__ import annotations

import json
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import openvino
import pytest
from contract.backends_models import GOOD, dense, order, write
from contract.openvino_models import dataset, folded, perceptron, twice, uneven

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.errors import (
    CalibrationFailed,
    CompileFailed,
    DatasetRequired,
    InvalidOption,
    InvalidShapes,
    PrecisionNotKept,
)
from enginehouse.report import Layer
from enginehouse.shapes import ShapeRange
from enginehouse.targets import Precision, parse_target
from workers.backends import get
from workers.backends.base import Saved, Setting
from workers.backends.openvino import graph
from workers.pipeline import Order, Result, run
from workers.probe.cpu import Cpu
from zoo.fetch import model_path

BACKEND = get("openvino")
BF16 = pytest.mark.skipif(Precision.BF16 not in BACKEND.offered(), reason="this CPU does not compute in bf16")
ROOT = Path(__file__).parents[2]
GENERATED = {"calibration": "generated", "calibration_samples": 4}


def built(path: Path, target: str, work: Path, **recipe: Any) -> tuple[Result, Order]:
    told = order(path, target, work, **recipe)
    return run(told), told


def python(*arguments: str | Path, cwd: Path = ROOT, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a Python of its own, which finds the code and its tests."""
    found = {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests'}", "PATH": "/usr/bin:/bin", "HOME": str(cwd), **environment}
    return subprocess.run(
        [sys.executable, *arguments], cwd=cwd, env=found, capture_output=True, text=True, timeout=120, check=False
    )


def ir(told: Order) -> Any:
    return openvino.Core().read_model(told.bundle / "model.xml")


def agrees(result: Result) -> bool:
    verification = result.report.verification
    assert verification is not None
    return verification.agrees


def layer(result: Result, kind: str) -> Layer:
    return next(one for one in result.report.layers if one.type == kind)


@pytest.mark.parametrize(
    ("precision", "computed"),
    [("fp32", "f32"), ("fp16", "f32"), pytest.param("bf16", "bf16", marks=BF16), ("int8", "u8")],
)
def test_convolution_batch_norm_and_relu_are_one_layer(precision: str, computed: str, tmp_path: Path) -> None:
    path = write(folded(), tmp_path / "in")
    options = GENERATED if precision == "int8" else {}
    result, _ = built(path, f"openvino:{precision}", tmp_path / "work", options=options)
    assert agrees(result)
    one = layer(result, "Convolution")
    assert one.fused == ["conv", "bn", "relu"]
    assert one.precision == computed
    assert result.report.removed == []


@BF16
def test_bf16_is_in_the_manifest_where_nothing_was_run(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    result, _ = built(path, "openvino:bf16", tmp_path / "work", verify=False, benchmark=False)
    assert result.manifest.settings["INFERENCE_PRECISION_HINT"] == "bf16"


@BF16
def test_bf16_is_recorded_in_the_bundle_and_used_wherever_it_is_loaded(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    result, told = built(path, "openvino:bf16", tmp_path / "work")
    assert result.manifest.settings["INFERENCE_PRECISION_HINT"] == "bf16"
    assert layer(result, "Convolution").precision == "bf16"
    config = json.loads((told.bundle / "runtime.json").read_text())["config"]
    compiled = openvino.Core().compile_model(told.bundle / "model.xml", "CPU", config)
    assert compiled.get_property("INFERENCE_PRECISION_HINT") == openvino.Type.bf16
    names = tuple(file.path for file in result.manifest.files if file.role == "model")
    assert "runtime.json" in names
    saved = Saved(told.bundle, result.manifest.entry, names)
    session = BACKEND.load(saved, BACKEND.check(told.recipe.target, "onnx"), Setting(threads=1))
    assert session.settings()["INFERENCE_PRECISION_HINT"] == "bf16"


def test_weights_beyond_the_range_of_half_precision_are_not_kept_in_it(tmp_path: Path) -> None:
    made = dense(np.float32)
    for tensor in made.graph.initializer:
        tensor.raw_data = (np.frombuffer(tensor.raw_data, np.float32) * np.float32(1e7)).tobytes()
    with pytest.raises(PrecisionNotKept, match="half precision"):
        built(write(made, tmp_path / "in"), "openvino:fp16", tmp_path / "work")


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the limit is one of x86 instruction sets")
def test_a_precision_that_the_runtime_does_not_take_up_is_not_kept(tmp_path: Path) -> None:
    """An x86 CPU without AVX-512 has no kernels for half precision, and OpenVINO takes another one silently."""
    path = write(GOOD["convolution"](), tmp_path / "in")
    _, told = built(path, "openvino:fp32", tmp_path / "work", verify=False, benchmark=False)
    file = told.bundle / "runtime.json"
    file.write_text(file.read_text().replace('"f32"', '"f16"'))
    code = (
        "import workers.child.quiet; from pathlib import Path; from workers.backends import get; "
        "from workers.backends.base import Saved, Setting; backend = get('openvino'); "
        f"backend.load(Saved(Path({str(told.bundle)!r}), 'model.xml', ()), backend.options(), Setting(threads=1))"
    )
    done = python("-c", code, ONEDNN_MAX_CPU_ISA="AVX2")
    assert done.returncode == 1
    assert "PrecisionNotKept: the artifact is to be computed in f16; on this CPU OpenVINO computes in" in done.stderr


@pytest.mark.parametrize(
    ("isa", "bf16", "fix"),
    [
        (("avx2",), False, "enable"),
        (("avx2", "avx512f", "avx512_vnni"), False, "disable"),
        (("avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16", "amx_int8"), True, "disable"),
    ],
)
def test_what_depends_on_the_cpu(isa: tuple[str, ...], bf16: bool, fix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from workers.backends import openvino as backend
    from workers.backends.openvino.options import OpenVinoOptions, overflow_fix

    cpu = Cpu(model="x", vendor="intel", machine="x86_64", isa=isa, cores=1, threads=1)
    monkeypatch.setattr("workers.probe.cpu.read_cpu", lambda: cpu)
    backend._computes_bf16.cache_clear()
    try:
        assert (Precision.BF16 in BACKEND.offered()) == bf16
    finally:
        backend._computes_bf16.cache_clear()
    assert overflow_fix(OpenVinoOptions()) == fix
    assert overflow_fix(OpenVinoOptions(overflow_fix="first_layer")) == "first_layer"


def test_without_nncf_no_low_precision_is_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.sources.available", lambda modules: "nncf" not in modules)
    offered = BACKEND.offered()
    assert {Precision.FP32, Precision.FP16} <= set(offered)
    assert not {Precision.INT8, Precision.INT4} & set(offered)


# -- int8 with ranges -------------------------------------------------------------------------


def test_int8_is_calibrated_with_the_dataset(tmp_path: Path) -> None:
    samples = dataset(tmp_path / "samples.npz", (1, 3, 48, 192))
    path = model_path("ppocr-cls")
    result, told = built(path, "openvino:int8", tmp_path / "work", dataset_path=samples)
    assert agrees(result)
    calibration = result.report.calibration
    assert calibration is not None
    assert (calibration.origin, calibration.samples) == ("dataset samples@1", 8)
    assert "MinMax" in calibration.method
    assert graph.fake_quantizes(ir(told)) > 50
    computed = [one.precision for one in result.report.layers if one.type == "Convolution"]
    assert len([one for one in computed if one in ("u8", "i8")]) > 0.9 * len(computed)
    assert any("compute in eight bits" in note for note in result.report.notes)
    _, float_ = built(path, "openvino:fp32", tmp_path / "fp32", verify=False, benchmark=False)
    assert (told.bundle / "model.bin").stat().st_size < 0.35 * (float_.bundle / "model.bin").stat().st_size


def test_int8_without_samples_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetRequired):
        built(write(folded(), tmp_path / "in"), "openvino:int8", tmp_path / "work")


def test_presets_quantise_activations_with_and_without_a_zero_point(tmp_path: Path) -> None:
    path = write(uneven(), tmp_path / "in")
    lows: dict[str, list[float]] = {}
    for preset in ("performance", "mixed"):
        options = {**GENERATED, "preset": preset}
        _, told = built(path, "openvino:int8", tmp_path / preset, options=options, verify=False, benchmark=False)
        fakes = [node for node in ir(told).get_ordered_ops() if node.get_type_name() == "FakeQuantize"]
        lows[preset] = [float(node.input_value(1).get_node().data.min()) for node in fakes]
    assert lows["performance"] != lows["mixed"]


@pytest.mark.parametrize("scopes", [{"names": ["bn"]}, {"types": ["Convolution"]}, {"patterns": ["con"]}])
def test_ignored_scopes_are_the_sources_nodes(scopes: dict[str, list[str]], tmp_path: Path) -> None:
    """Whatever OpenVINO calls the convolution that the batch norm went into."""
    path = write(folded(), tmp_path / "in")
    with pytest.raises(PrecisionNotKept, match="nothing to quantise"):  # it is the only node that could be
        built(path, "openvino:int8", tmp_path / "work", options={**GENERATED, "ignored_scopes": scopes})


def test_what_is_ignored_stays_in_float_and_is_listed(tmp_path: Path) -> None:
    path = write(twice(), tmp_path / "in")
    options = {**GENERATED, "ignored_scopes": {"names": ["conv"]}}
    result, _ = built(path, "openvino:int8", tmp_path / "work", options=options)
    computed = {tuple(one.fused): one.precision for one in result.report.layers if one.type == "Convolution"}
    assert computed == {("conv", "bn", "relu"): "f32", ("other", "norm"): "u8"}
    assert result.report.kept_float == ["conv", "bn"]


def test_an_ignored_scope_that_means_nothing_is_refused(tmp_path: Path) -> None:
    path = write(folded(), tmp_path / "in")
    for scopes, told in (({"names": ["nobody"]}, "conv"), ({"types": ["Conv"]}, "Convolution")):
        with pytest.raises(InvalidOption, match=told):
            built(path, "openvino:int8", tmp_path / "work", options={**GENERATED, "ignored_scopes": scopes})
    with pytest.raises(InvalidOption, match="regular expression"):
        built(path, "openvino:int8", tmp_path / "work", options={"ignored_scopes": {"patterns": ["("]}})


def test_accuracy_control_puts_back_to_float_what_costs_too_much(tmp_path: Path) -> None:
    path = write(uneven(), tmp_path / "in")
    samples = dataset(tmp_path / "samples.npz", (1, 3, 16, 16))
    options = {"quantization": "accuracy", "max_drop": 0.01}
    result, _ = built(path, "openvino:int8", tmp_path / "work", dataset_path=samples, options=options)
    assert agrees(result)
    assert "quiet" in result.report.kept_float
    assert "loud" not in result.report.kept_float
    assert any(note.startswith("agreement with the float model on 8 samples: 0.99") for note in result.report.notes)
    assert "accuracy control to absolute 0.01" in str(result.report.calibration)


def test_accuracy_control_that_leaves_nothing_in_int8_is_refused(tmp_path: Path) -> None:
    path = write(folded(), tmp_path / "in")
    samples = dataset(tmp_path / "samples.npz", (1, 3, 16, 16))
    options = {"quantization": "accuracy", "max_drop": 0.0}
    with pytest.raises((PrecisionNotKept, CalibrationFailed), match="max_drop"):
        built(path, "openvino:int8", tmp_path / "work", dataset_path=samples, options=options)


def test_a_branch_that_no_sample_takes_is_said(tmp_path: Path) -> None:
    """Silero's model branches on the sample rate, and made-up inputs have the usual one."""
    with pytest.raises(CalibrationFailed, match="dataset must not be empty") as caught:
        built(model_path("silero-vad-ifless"), "openvino:int8", tmp_path, options=GENERATED)
    assert "every branch" in caught.value.hint


def test_accuracy_control_looks_at_the_labels(tmp_path: Path) -> None:
    path = write(perceptron(), tmp_path / "in")
    rng = np.random.default_rng(3)
    pictures = rng.standard_normal((24, 1, 64)).astype(np.float32)
    compiled = openvino.Core().compile_model(path, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    labels = np.array([int(compiled(one)[0].argmax()) for one in pictures])
    labels[:6] = (labels[:6] + 1) % 10  # the float model is right on 18 of 24
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=pictures, labels=labels)
    options = {"quantization": "accuracy", "max_drop": 0.5}
    result, _ = built(path, "openvino:int8", tmp_path / "work", dataset_path=samples, options=options)
    note = next(note for note in result.report.notes if note.startswith("top-1 accuracy on 24 samples"))
    assert "0.7500 in float" in note


# -- weights in eight and four bits -----------------------------------------------------------


@pytest.mark.parametrize("mode", ["asymmetric", "symmetric"])
def test_int8_weights_need_no_samples(mode: str, tmp_path: Path) -> None:
    path = write(perceptron(), tmp_path / "in")
    options = {"quantization": "weights", "weight_mode": mode}
    result, told = built(path, "openvino:int8", tmp_path / "work", options=options)
    assert agrees(result)
    stored = graph.stored(ir(told))
    assert stored["i8" if mode == "symmetric" else "u8"] > 128 * 128
    assert stored["f32"] == 0
    assert result.report.calibration is None
    assert layer(result, "FullyConnected").precision == "f32"


@pytest.mark.parametrize(
    ("options", "four"), [({}, 64 * 128 + 128 * 128), ({"all_layers": True}, 64 * 128 + 128 * 128 + 128 * 10)]
)
def test_int4_weights(options: dict[str, Any], four: int, tmp_path: Path) -> None:
    path = write(perceptron(), tmp_path / "in")
    result, told = built(path, "openvino:int4", tmp_path / "work", options={"weight_mode": "symmetric", **options})
    assert agrees(result)
    assert graph.stored(ir(told))["i4"] == four
    assert any("in 4 bits" in note for note in result.report.notes)


def test_int4_looks_at_samples_where_that_is_asked_for(tmp_path: Path) -> None:
    path = write(perceptron(), tmp_path / "in")
    plain, _ = built(path, "openvino:int4", tmp_path / "plain")
    result, _ = built(path, "openvino:int4", tmp_path / "work", options={**GENERATED, "data_aware": True})
    assert agrees(result)
    assert result.report.calibration is not None
    assert result.report.calibration.origin == "generated"
    assert plain.report.calibration is None


def test_int4_without_a_weight_in_four_bits_is_not_kept(tmp_path: Path) -> None:
    with pytest.raises(PrecisionNotKept, match="four bits"):
        built(write(dense(np.float32), tmp_path / "in"), "openvino:int4", tmp_path / "work")


@pytest.mark.parametrize(("target", "how"), [("int4", "static"), ("fp16", "weights"), ("fp32", "static")])
def test_a_way_that_a_precision_does_not_have(target: str, how: str) -> None:
    wanted = parse_target(f"openvino:{target}").model_copy(update={"options": {"quantization": how}})
    with pytest.raises(InvalidOption, match=how):
        BACKEND.check(wanted, "onnx")


# -- shapes -----------------------------------------------------------------------------------

PROFILE = {"x": ShapeRange(min=(1, 3, 8, 8), opt=(2, 3, 12, 16), max=(4, 3, 24, 32))}


@pytest.mark.parametrize(
    ("recipe", "shape", "first"),
    [
        ({"shapes": {"x": (1, 3, 20, 30)}}, "[1,3,20,30]", [1, 3, 20, 30]),
        ({"profiles": (PROFILE,)}, "[2,3,12,16]", [2, 3, 12, 16]),
        ({}, "[1,3,224,224]", [1, 3, 224, 224]),
    ],
)
def test_static_shapes(recipe: dict[str, Any], shape: str, first: list[int], tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    result, told = built(path, "openvino:fp32", tmp_path / "work", options={"reshape": "static"}, **recipe)
    assert agrees(result)
    assert str(ir(told).inputs[0].get_partial_shape()) == shape
    assert result.report.verification is not None
    assert result.report.verification.shapes == {"x": first}
    assert f"fixed shapes: x {shape}" in result.report.notes


def test_bounded_shapes(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    other = {"x": ShapeRange(min=(1, 3, 4, 8), opt=(1, 3, 8, 8), max=(1, 3, 8, 64))}
    result, told = built(
        path, "openvino:fp32", tmp_path / "work", options={"reshape": "bounded"}, profiles=(PROFILE, other)
    )
    assert agrees(result)
    assert str(ir(told).inputs[0].get_partial_shape()) == "[1..4,3,4..24,8..64]"
    assert result.report.verification is not None
    assert result.report.verification.shapes == {"x": [2, 3, 12, 16]}


def test_shapes_stay_dynamic_by_default(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    _, told = built(path, "openvino:fp32", tmp_path / "work", verify=False, benchmark=False)
    assert str(ir(told).inputs[0].get_partial_shape()) == "[?,3,?,?]"


def test_wrong_shapes(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    with pytest.raises(InvalidShapes, match="profiles"):
        built(path, "openvino:fp32", tmp_path / "work", options={"reshape": "bounded"})
    samples = dataset(tmp_path / "samples.npz", (1, 3, 8, 8))
    with pytest.raises(InvalidShapes, match="other shapes"):
        built(
            path,
            "openvino:fp32",
            tmp_path / "work",
            options={"reshape": "static"},
            shapes={"x": (1, 3, 20, 30)},
            dataset_path=samples,
        )


# -- pre-processing ---------------------------------------------------------------------------

CAMERA = {"color": "bgr-to-rgb", "mean": [123.7, 116.3, 103.5], "scale": [58.4, 57.1, 57.4]}


@pytest.mark.parametrize(
    ("more", "raw"),
    [
        ({}, "[1,16,24,3]"),
        ({"resize": "linear"}, "[1,?,?,3]"),
        ({"resize": "nearest", "size": [31, 17]}, "[1,31,17,3]"),
        ({"resize": "cubic", "size": [10, 50], "element_type": "f32"}, "[1,10,50,3]"),
        ({"layout": "nchw", "element_type": "u16"}, "[1,3,16,24]"),
    ],
)
def test_embedded_preprocessing_is_proven_from_the_bytes_on(more: dict[str, Any], raw: str, tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    options = {"reshape": "static", "preprocess": {"x": {**CAMERA, **more}}}
    result, told = built(path, "openvino:fp32", tmp_path / "work", options=options, shapes={"x": (1, 3, 16, 24)})
    assert agrees(result)
    port = ir(told).inputs[0]
    assert (port.get_any_name(), str(port.get_partial_shape())) == ("x", raw)
    assert port.get_element_type().get_type_name() == more.get("element_type", "u8")
    assert "the artifact does the pre-processing of x itself" in result.report.notes
    benchmark = result.report.benchmark
    assert benchmark is not None
    assert len(benchmark.shapes["x"]) == 4


def test_preprocessing_that_the_source_model_does_not_see_disagrees(tmp_path: Path) -> None:
    """The proof is worth something: with another mean in the artifact than in NumPy the outputs differ."""
    from workers.backends.openvino.options import Preprocess

    path = write(perceptron(), tmp_path / "in")
    one = {"layout": "nc", "model_layout": "nc", "element_type": "f32"}
    options = {"preprocess": {"x": {**one, "mean": [0.5]}}}
    told = order(path, "openvino:fp32", tmp_path / "work", options=options)
    result = run(told)
    assert agrees(result)
    session = BACKEND.load(Saved(told.bundle, "model.xml", ()), BACKEND.check(told.recipe.target, "onnx"), Setting(1))
    from workers.backends.openvino.feeding import fed

    feeds = {"x": np.random.default_rng(0).standard_normal((1, 64)).astype(np.float32)}
    right, _ = fed(feeds, {"x": Preprocess(**one, mean=(0.5,))})
    wrong, _ = fed(feeds, {"x": Preprocess(**one, mean=(0.0,))})
    assert not np.allclose(session.run(right)["y"], session.run(wrong)["y"], atol=1e-3)


def test_int8_with_preprocessing_and_a_dataset(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    samples = dataset(tmp_path / "samples.npz", (1, 3, 16, 24))
    options = {"preprocess": {"x": {"scale": [255.0]}}}
    result, told = built(path, "openvino:int8", tmp_path / "work", options=options, dataset_path=samples)
    assert agrees(result)
    assert result.report.verification is not None
    assert result.report.verification.inputs == "dataset samples@1"
    assert ir(told).inputs[0].get_element_type() == openvino.Type.u8


@pytest.mark.parametrize(
    ("one", "why"),
    [
        ({"resize": "linear"}, "reshape=static"),
        ({"mean": [1.0, 2.0]}, "2 numbers"),
        ({"layout": "hwc", "model_layout": "chw"}, "does not fit"),
        ({"layout": "nhwx"}, "same axes"),
        ({"scale": [0.0]}, "cannot be 0"),
        ({"size": [3, 3]}, "resize is 'none'"),
    ],
)
def test_preprocessing_that_does_not_fit(one: dict[str, Any], why: str, tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    with pytest.raises(InvalidOption, match=why):
        built(path, "openvino:fp32", tmp_path / "work", options={"preprocess": {"x": one}})


def test_preprocessing_of_an_input_that_is_not_there_or_not_float(tmp_path: Path) -> None:
    path = write(GOOD["embedding"](), tmp_path / "in")
    for name, why in (("pixels", "no such input"), ("ids", "float input")):
        options = {"preprocess": {name: {"layout": "nt", "model_layout": "nt"}}}
        with pytest.raises(InvalidOption, match=why):
            built(path, "openvino:fp32", tmp_path / "work", options=options)


# -- running ----------------------------------------------------------------------------------


def test_hint_and_streams_are_settings_of_the_bundle(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    result, told = built(
        path, "openvino:fp32", tmp_path / "work", options={"hint": "throughput", "streams": 2, "threads": 2}
    )
    assert result.manifest.settings["PERFORMANCE_HINT"] == "THROUGHPUT"
    assert result.manifest.settings["NUM_STREAMS"] == 2
    assert json.loads((told.bundle / "runtime.json").read_text())["config"]["NUM_STREAMS"] == 2
    assert any("one at a time" in note for note in result.report.notes)


def test_a_compiled_blob_is_proven_and_refused_elsewhere(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    result, told = built(path, "openvino:fp32", tmp_path / "work", options={"compiled_blob": True})
    assert agrees(result)
    assert layer(result, "Convolution").fused
    names = tuple(file.path for file in result.manifest.files if file.role == "model")
    assert "model.blob" in names
    saved, options = Saved(told.bundle, "model.xml", names), BACKEND.check(told.recipe.target, "onnx")
    (told.bundle / "model.xml").unlink()  # it is the blob that is loaded
    assert BACKEND.load(saved, options, Setting(threads=1)).run({"x": np.zeros((1, 3, 8, 8), np.float32)})
    file = told.bundle / "runtime.json"
    kept = json.loads(file.read_text())
    for field in ("openvino", "cpu"):
        file.write_text(json.dumps({**kept, "blob": {**kept["blob"], field: "another"}}))
        with pytest.raises(CompileFailed, match="another"):
            BACKEND.load(saved, options, Setting(threads=1))


# -- the script -------------------------------------------------------------------------------

SCRIPTS: list[Any] = [
    ("fp32", {}, {}),
    ("fp16", {"compiled_blob": True}, {}),
    pytest.param("bf16", {}, {}, marks=BF16),
    ("fp32", {"reshape": "bounded"}, {"profiles": (PROFILE,)}),
    ("fp32", {"reshape": "static", "preprocess": {"x": {**CAMERA, "resize": "linear", "size": [20, 30]}}}, {}),
    ("int8", {"preset": "mixed", "calibration_samples": 6}, {}),
    ("int8", {"ignored_scopes": {"names": ["bn"], "types": ["Relu"]}}, {}),
    ("int8", {"quantization": "accuracy", "fast_bias_correction": False}, {}),
    ("int8", {"quantization": "weights", "weight_mode": "symmetric"}, {}),
    ("int4", {"ratio": 0.6, "group_size": 32}, {}),
    ("int4", {"prune": "2:4", "ignored_scopes": {"names": ["second"]}}, {}),
]  # fmt: skip


@pytest.mark.parametrize(("precision", "options", "recipe"), SCRIPTS)
def test_the_script_makes_the_same_weights(
    precision: str, options: dict[str, Any], recipe: dict[str, Any], tmp_path: Path
) -> None:
    model = {"int4": perceptron, "int8": uneven}.get(precision, GOOD["convolution"])()
    if precision == "int8" and "ignored_scopes" in options:
        model = twice()
    path = write(model, tmp_path / "in")
    samples = dataset(tmp_path / "dataset.npz", (1, 3, 16, 16)) if precision == "int8" else None
    told = order(
        path,
        f"openvino:{precision}",
        tmp_path / "work",
        options=options,
        dataset_path=samples,
        verify=False,
        benchmark=False,
        **recipe,
    )
    run(told)
    place = tmp_path / "elsewhere"
    place.mkdir()
    shutil.copy(path, place)
    if samples:
        shutil.copy(samples, place)
    script = told.bundle / "reproduce.py"
    done = python(script, cwd=place)
    assert done.returncode == 0, done.stderr + script.read_text()
    assert (place / "model.bin").read_bytes() == (told.bundle / "model.bin").read_bytes()
    assert (place / "model.blob").exists() == bool(options.get("compiled_blob"))


def test_a_float_build_imports_neither_nncf_nor_torch(tmp_path: Path) -> None:
    """They take seconds, and bring threads with them."""
    path = write(GOOD["convolution"](), tmp_path / "in")
    code = (
        "import sys; import workers.child.quiet; from pathlib import Path; from contract.backends_models import order; "
        "from workers.pipeline import run; import workers.backends.openvino.convert; "
        f"run(order(Path({str(path)!r}), 'openvino:fp16', Path({str(tmp_path / 'work')!r}))); "
        "print(sorted({'nncf', 'torch', 'tensorflow'} & set(sys.modules)))"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "[]"

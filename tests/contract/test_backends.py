"""One suite that every backend passes, in every precision, over the same models."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest
from contract.backends_models import GOOD, LIGHT, dense, nested_if, order, signature, unknown_operator, write
from jsonschema import Draft202012Validator

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.bundle import Manifest
from enginehouse.errors import (
    ConversionFailed,
    DatasetMismatch,
    DatasetRequired,
    ExternalDataMissing,
    ExternalDataOutside,
    InvalidOption,
    ModelUnreadable,
    ReferenceFailed,
    RequestError,
    UnknownPrecision,
    UnsupportedFormat,
    UnsupportedOperator,
)
from enginehouse.report import Report
from enginehouse.states import Phase
from enginehouse.targets import Precision, parse_target
from workers.backends import all_backends, get
from workers.backends.base import Saved, Setting
from workers.pipeline import run
from zoo.fetch import model_path

BACKENDS = [backend for backend in all_backends() if "cpu" in backend.tags]
"""The others run the same suite where their hardware is: tests/gpu."""
FLOAT = {Precision.FP32, Precision.TF32, Precision.FP16, Precision.BF16}
OFFERED = [(f"{backend.name}:{precision}", precision) for backend in BACKENDS for precision in backend.offered()]
TARGETS = [target for target, precision in OFFERED if precision in FLOAT]
HALF = [target for target, precision in OFFERED if precision in FLOAT - {Precision.BF16}]
"""On noise, where deep networks are at their most sensitive, the three digits of bfloat16 are too few to agree."""
INT8 = [target for target, precision in OFFERED if precision is Precision.INT8]
REAL = ["ppocr-det", "ppocr-rec", "ppocr-cls", "magika", "silero-vad-ifless"]


@pytest.mark.parametrize("name", GOOD)
@pytest.mark.parametrize("target", TARGETS)
def test_a_bundle_is_proven_measured_and_explained(target: str, name: str, tmp_path: Path) -> None:
    path = write(GOOD[name](), tmp_path / "in")
    phases: list[Phase] = []
    told = order(path, target, tmp_path / "work")
    result = run(told, phases.append)

    assert phases == [
        Phase.IMPORT, Phase.PREPARE, Phase.COMPILE, Phase.VERIFY, Phase.BENCHMARK, Phase.EXPLAIN, Phase.PACKAGE,
    ]  # fmt: skip
    report, manifest = result.report, result.manifest
    verification = report.verification
    assert verification is not None
    assert verification.agrees, verification
    assert verification.samples >= 4
    assert {output.name for output in verification.outputs} == {spec.name for spec in told.signature.outputs}
    assert all(output.nonfinite == 0 for output in verification.outputs)
    benchmark = report.benchmark
    assert benchmark is not None
    assert benchmark.artifact.count >= 5
    assert (
        benchmark.artifact.min_ms <= benchmark.artifact.p50_ms <= benchmark.artifact.p90_ms <= benchmark.artifact.p99_ms
    )
    assert benchmark.speedup == pytest.approx(benchmark.baseline.p50_ms / benchmark.artifact.p50_ms, rel=0.05)
    assert benchmark.threads == 1
    assert benchmark.affinity
    assert report.layers
    assert any(layer.time_us is not None for layer in report.layers)
    for file in manifest.files:
        data = (told.bundle / file.path).read_bytes()
        assert (len(data), hashlib.sha256(data).hexdigest()) == (file.size, file.sha256)
    assert manifest.entry in {file.path for file in manifest.files if file.role == "model"}
    assert report.size == sum(file.size for file in manifest.files if file.role == "model")
    assert Manifest.model_validate_json(manifest.canonical()).digest() == manifest.digest()
    assert Report.model_validate_json((told.bundle / "report.json").read_text()) == report


@pytest.mark.parametrize("target", TARGETS)
def test_a_conversion_alone_loads_no_runtime_and_its_artifact_runs(target: str, tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    phases: list[Phase] = []
    told = order(path, target, tmp_path / "work", verify=False, benchmark=False)
    result = run(told, phases.append)

    assert phases == [Phase.IMPORT, Phase.PREPARE, Phase.PACKAGE]
    assert (result.report.verification, result.report.benchmark, result.report.layers) == (None, None, [])
    backend = get(told.recipe.target.backend)
    names = tuple(file.path for file in result.manifest.files if file.role == "model")
    saved = Saved(told.bundle, result.manifest.entry, names)
    session = backend.load(saved, backend.check(told.recipe.target, "onnx"), Setting(threads=1))
    outputs = session.run({"x": np.zeros((2, 3, 16, 16), np.float32)})
    assert outputs["y"].shape == (2, 10)
    assert outputs["y"].sum(axis=1) == pytest.approx([1.0, 1.0], abs=1e-3)


@pytest.mark.parametrize("target", INT8)
def test_int8_is_calibrated_proven_and_marked(target: str, tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    with pytest.raises(DatasetRequired):
        run(order(path, target, tmp_path / "refused"))
    report = run(order(path, target, tmp_path / "work", options={"calibration": "generated"})).report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert report.calibration is not None
    assert report.calibration.origin == "generated"
    assert report.calibration.method
    assert any(layer.precision in ("i8", "u8", "int8", "uint8") for layer in report.layers)


@pytest.mark.parametrize("backend", [backend.name for backend in BACKENDS])
def test_half_precision_halves_the_bytes(backend: str, tmp_path: Path) -> None:
    path = model_path("ppocr-cls")
    sizes = {}
    for precision in ("fp32", "fp16"):
        told = order(path, f"{backend}:{precision}", tmp_path / precision, verify=False, benchmark=False)
        sizes[precision] = run(told).report.size
    assert sizes["fp16"] < 0.8 * sizes["fp32"]


@pytest.mark.parametrize("name", REAL)
@pytest.mark.parametrize("target", HALF)
def test_published_models_are_proven(target: str, name: str, tmp_path: Path) -> None:
    told = order(model_path(name), target, tmp_path)
    verification = run(told).report.verification
    assert verification is not None
    assert verification.agrees, verification


@pytest.mark.parametrize("target", TARGETS)
def test_a_network_of_the_onnx_package_with_weights_as_inputs(target: str, tmp_path: Path) -> None:
    path = tmp_path / "in/model.onnx"
    path.parent.mkdir()
    shutil.copy(LIGHT / "light/light_densenet121.onnx", path)
    told = order(path, target, tmp_path / "work")
    verification = run(told).report.verification
    assert verification is not None
    assert verification.agrees, verification


@pytest.mark.parametrize("backend", BACKENDS, ids=lambda backend: backend.name)
def test_what_is_announced_can_be_checked(backend: object, tmp_path: Path) -> None:
    from workers.backends.base import Backend

    assert isinstance(backend, Backend)
    capability = backend.capability()
    Draft202012Validator.check_schema(capability.options_schema)
    assert set(capability.toolchain) >= set(backend.packages)
    assert all(capability.toolchain.values())
    assert json.loads(capability.model_dump_json())["backend"] == backend.name
    lacking = next(precision for precision in Precision if precision not in backend.precisions)
    with pytest.raises(UnknownPrecision):
        backend.check(parse_target(f"{backend.name}:{lacking}"), "onnx")
    with pytest.raises(UnsupportedFormat):
        backend.check(parse_target(f"{backend.name}:fp32"), "paddle")
    wrong = parse_target(f"{backend.name}:fp32").model_copy(update={"options": {"custom_ops_library": "/tmp/x.so"}})
    with pytest.raises(InvalidOption, match="custom_ops_library"):
        backend.check(wrong, "onnx")


@pytest.mark.parametrize("backend", [backend.name for backend in BACKENDS])
def test_threads_are_what_was_asked_for(backend: str, tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    told = order(path, f"{backend}:fp32", tmp_path / "work", verify=False, options={"threads": 2})
    result = run(told)
    assert result.report.benchmark is not None
    assert result.report.benchmark.threads == 2
    assert 2 in result.manifest.settings.values()


@pytest.mark.parametrize("backend", [backend.name for backend in BACKENDS])
def test_an_unknown_operator_is_named(backend: str, tmp_path: Path) -> None:
    path = write(unknown_operator(), tmp_path / "in")
    with pytest.raises(UnsupportedOperator, match="Frobnicate") as caught:
        run(order(path, f"{backend}:fp32", tmp_path / "work"))
    assert any("Frobnicate" in operator for operator in caught.value.where["operators"])


@pytest.mark.parametrize("backend", [backend.name for backend in BACKENDS])
def test_bytes_that_are_no_model(backend: str, tmp_path: Path) -> None:
    good = write(GOOD["convolution"](), tmp_path / "in")
    told = order(good, f"{backend}:fp32", tmp_path / "work")
    for content in (b"\x00\x01garbage" * 100, good.read_bytes()[:-100]):
        good.write_bytes(content)
        with pytest.raises((ConversionFailed, ModelUnreadable)):
            run(told)


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "missing.bin"])
@pytest.mark.parametrize("backend", [backend.name for backend in BACKENDS])
def test_external_data_stays_inside(backend: str, location: str, tmp_path: Path) -> None:
    made = GOOD["convolution"]()
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=location)
    path = write(made, tmp_path / "in")
    expected = ExternalDataMissing if location == "missing.bin" else ExternalDataOutside
    with pytest.raises(expected):
        run(order(path, f"{backend}:fp32", tmp_path / "work"))


@pytest.mark.parametrize("target", TARGETS)
def test_external_data_beside_the_model_is_read(target: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    path = folder / "model.onnx"
    onnx.save(GOOD["convolution"](), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    verification = run(order(path, target, tmp_path / "work")).report.verification
    assert verification is not None
    assert verification.agrees


@pytest.mark.parametrize("target", TARGETS)
def test_a_model_that_is_half_already(target: str, tmp_path: Path) -> None:
    path = write(dense(np.float16), tmp_path / "in")
    verification = run(order(path, target, tmp_path / "work")).report.verification
    assert verification is not None
    assert verification.agrees, verification


def test_double_weights_are_not_called_half(tmp_path: Path) -> None:
    path = write(dense(np.float64), tmp_path / "in")
    with pytest.raises(ConversionFailed, match="double"):
        run(order(path, "onnxruntime:fp16", tmp_path / "work"))


def test_openvino_names_the_operators_of_silero_vads_standard_export(tmp_path: Path) -> None:
    with pytest.raises(UnsupportedOperator) as caught:
        run(order(model_path("silero-vad"), "openvino:fp32", tmp_path))
    assert caught.value.where["operators"] == ["Conv", "ReduceMean"]
    assert caught.value.where["branching"] == ["If"]
    assert "Conv" in caught.value.detail
    assert "If" in caught.value.detail


def test_onnxruntime_takes_silero_vads_standard_export(tmp_path: Path) -> None:
    verification = run(order(model_path("silero-vad"), "onnxruntime:fp32", tmp_path)).report.verification
    assert verification is not None
    assert verification.agrees
    assert verification.shapes == {"input": [1, 512], "state": [2, 1, 128], "sr": []}


def test_openvino_names_the_operator_behind_an_if(tmp_path: Path) -> None:
    path = write(nested_if(), tmp_path / "in")
    with pytest.raises(UnsupportedOperator) as caught:
        run(order(path, "openvino:fp32", tmp_path / "work"))
    assert caught.value.where["operators"] == ["Conv"]


def test_openvino_runs_in_f32_and_says_so(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    result = run(order(path, "openvino:fp16", tmp_path / "work"))
    assert result.manifest.settings["INFERENCE_PRECISION_HINT"] == "f32"
    kinds = {layer.type: layer.precision for layer in result.report.layers}
    assert kinds["Convolution"] == "f32"
    fused = next(layer for layer in result.report.layers if layer.type == "Convolution").fused
    assert {"conv", "relu"} <= set(fused)


@pytest.mark.parametrize("level", ["basic", "extended", "all"])
def test_onnxruntime_levels(level: str, tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    result = run(order(path, "onnxruntime:fp32", tmp_path / "work", options={"level": level}))
    optimised = onnx.load(tmp_path / "work/bundle/model.onnx")
    operators = {node.op_type for node in optimised.graph.node}
    assert ("FusedConv" in operators) == (level == "extended")
    assert ("ReorderOutput" in operators) == (level == "all")
    expected = "ORT_DISABLE_ALL" if level == "all" else "ORT_ENABLE_ALL"
    assert result.manifest.settings["graph_optimization_level"] == expected
    if level == "extended":
        fused = next(layer for layer in result.report.layers if "Conv" in layer.type).fused
        assert fused == ["conv", "relu"]


def test_a_dataset_is_what_is_verified_with(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.random.default_rng(1).random((3, 1, 3, 8, 12), np.float32))
    told = order(path, "openvino:fp32", tmp_path / "work", dataset_path=samples)
    verification = run(told).report.verification
    assert verification is not None
    assert verification.agrees
    assert (verification.inputs, verification.samples, verification.seed) == ("dataset samples@1", 3, None)
    assert verification.shapes == {"x": [1, 3, 8, 12]}

    np.savez(samples, x=np.zeros((3, 1, 4, 8, 12), np.float32))
    with pytest.raises(DatasetMismatch, match="shape"):
        run(told)


def test_given_shapes_win_and_must_fit(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    told = order(path, "openvino:fp32", tmp_path / "work", shapes={"x": (1, 3, 20, 30)})
    verification = run(told).report.verification
    assert verification is not None
    assert verification.shapes == {"x": [1, 3, 20, 30]}
    with pytest.raises(RequestError, match="does not fit"):
        run(order(path, "openvino:fp32", tmp_path / "other", shapes={"x": (1, 4, 20, 30)}))


def test_a_model_that_never_runs_is_the_references_failure(tmp_path: Path) -> None:
    path = write(GOOD["convolution"](), tmp_path / "in")
    loaded = onnx.load(path)
    loaded.graph.input[0].type.tensor_type.shape.dim[1].dim_param = "c"
    path.write_bytes(loaded.SerializeToString())
    told = order(path, "openvino:fp32", tmp_path / "work", shapes={"x": (1, 4, 8, 8)})
    with pytest.raises(ReferenceFailed):
        run(told)


def test_the_signature_helper_says_what_the_pipeline_needs(tmp_path: Path) -> None:
    found = signature(write(GOOD["recurrent"](), tmp_path))
    assert [spec.shape for spec in found.inputs] == [[1, 4], [1, 4], []]
    assert found.operators["If"] == 1

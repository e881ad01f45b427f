"""ONNX Runtime's own ways: precisions, forms, options, layers, and the script that repeats a build."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from contract.backends_models import HARDWARE, dense, model, order, value, weights, write
from contract.sources.caffe_files import layer, net
from contract.sources.caffe_files import write as write_caffe
from contract.sources.caffe_nets import conv, relu
from onnx import TensorProto, helper

from enginehouse.errors import (
    CalibrationFailed,
    CompileFailed,
    DatasetTooSmall,
    InvalidOption,
    PrecisionNotKept,
    UnsupportedOperator,
)
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.targets import parse_target
from workers.backends import get
from workers.backends.base import Saved, Setting
from workers.backends.onnxruntime.kept import check_kept, half_share
from workers.backends.onnxruntime.run import OnnxRuntimeSession
from workers.backends.workpiece import Source, Workpiece
from workers.pipeline import Order, run

FLOAT, FLOAT16 = TensorProto.FLOAT, TensorProto.FLOAT16
FUSED = ["conv", "bn", "relu"]


def network() -> Any:
    """Two convolutions, the first with batch norm and ReLU behind it, and a dense layer: a picture in, ten out."""
    nodes = [
        helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
        helper.make_node("BatchNormalization", ["c", "scale", "shift", "mean", "variance"], ["n"], name="bn"),
        helper.make_node("Relu", ["n"], ["r"], name="relu"),
        helper.make_node("Conv", ["r", "w2"], ["c2"], name="conv2", pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c2"], ["r2"], name="relu2"),
        helper.make_node("GlobalAveragePool", ["r2"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("MatMul", ["f", "m"], ["l"], name="matmul"),
        helper.make_node("Softmax", ["l"], ["y"], name="softmax"),
    ]
    constants = {
        "w": weights(16, 4, 3, 3), "b": weights(16, seed=1), "scale": np.abs(weights(16, seed=2)) + 0.5,
        "shift": weights(16, seed=3), "mean": weights(16, seed=4), "variance": np.abs(weights(16, seed=5)) + 0.5,
        "w2": weights(16, 16, 3, 3, seed=6), "m": weights(16, 10, seed=7),
    }  # fmt: skip
    return model(nodes, [value("x", FLOAT, ["n", 4, "h", "w"])], [value("y", FLOAT, ["n", 10])], constants)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write(network(), tmp_path / "in")


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    np.savez(tmp_path / "samples.npz", x=np.random.default_rng(0).random((6, 1, 4, 12, 16), np.float32))
    return tmp_path / "samples.npz"


def built(path: Path, target: str, work: Path, *, dataset: Path | None = None, **options: Any) -> tuple[Report, Path]:
    """The report, and the artifact's main file."""
    result = run(order(path, f"onnxruntime:{target}", work, options=options, dataset_path=dataset))
    return result.report, work / "bundle" / result.manifest.entry


def operators(artifact: Path) -> set[str]:
    return {node.op_type for node in onnx.load(artifact).graph.node}


def agrees(report: Report) -> bool:
    assert report.verification is not None
    return report.verification.agrees


# -- precisions and forms -----------------------------------------------------------------------


@pytest.mark.parametrize("form", ["onnx", "ort"])
@pytest.mark.parametrize("target", ["fp32", "fp16", "int8"])
def test_every_precision_in_every_form(path: Path, dataset: Path, target: str, form: str, tmp_path: Path) -> None:
    report, artifact = built(path, target, tmp_path / "work", dataset=dataset, form=form)
    assert agrees(report), report.verification
    assert artifact.name == f"model.{form}"
    assert report.benchmark is not None
    assert report.benchmark.settings["artifact"]["form"] == form
    assert artifact.read_bytes()[4:8] == b"ORTM" if form == "ort" else operators(artifact)
    (fused,) = [layer.fused for layer in report.layers if "conv" in layer.fused]
    assert fused == FUSED, "a convolution with batch norm and ReLU is one executed layer"
    assert report.removed == []
    precisions = {layer.precision for layer in report.layers if "Conv" in layer.type}
    assert precisions == ({"int8"} if target == "int8" else {"float"})


@pytest.mark.parametrize("level", ["basic", "extended", "all"])
def test_int8_holds_pairs_or_the_integer_operators_that_are_made_of_them(
    path: Path, dataset: Path, level: str, tmp_path: Path
) -> None:
    report, artifact = built(path, "int8", tmp_path / "work", dataset=dataset, level=level)
    assert agrees(report)
    assert ("QLinearConv" in operators(artifact)) == (level != "basic")
    assert report.calibration is not None
    assert (report.calibration.origin, report.calibration.samples, report.calibration.method) == (
        "dataset samples@1",
        6,
        "MinMax",
    )
    assert any("signal to noise" in note for note in report.notes)
    assert [layer.fused for layer in report.layers if "conv" in layer.fused] == [FUSED]


def test_half_holds_half_weights_and_float_where_it_was_asked_for(path: Path, tmp_path: Path) -> None:
    report, artifact = built(path, "fp16", tmp_path / "work", keep_float=["conv2"], keep_float_types=["MatMul"])
    assert agrees(report)
    assert report.kept_float == ["conv2", "relu2", "matmul"], "what is one node now stays as one"
    kinds = {tensor.name: tensor.data_type for tensor in onnx.load(artifact).graph.initializer}
    assert (kinds.pop("w2"), kinds.pop("m")) == (FLOAT, FLOAT)
    assert set(kinds.values()) == {FLOAT16}
    share = half_share(onnx.load(artifact))
    assert share is not None
    assert any(f"{share:.1%}" in note for note in report.notes)


def test_values_of_the_samples_decide_what_stays_float(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("MatMul", ["x", "grow"], ["a"], name="grow"),
        helper.make_node("MatMul", ["a", "shrink"], ["b"], name="shrink"),
        helper.make_node("MatMul", ["b", "w"], ["y"], name="last"),
    ]
    constants = {
        "grow": np.full((4, 4), 3e4, np.float32),
        "shrink": np.full((4, 4), 1e-4, np.float32),
        "w": weights(4, 4),
    }
    made = model(nodes, [value("x", FLOAT, [2, 4])], [value("y", FLOAT, [2, 4])], constants)
    report, _ = built(write(made, tmp_path / "in"), "fp16", tmp_path / "work")
    assert agrees(report)
    assert report.kept_float == ["grow", "shrink"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"operators": "all"}, {"QLinearConv", "QLinearGlobalAveragePool", "QLinearMatMul"}),
        ({"activation": "int8"}, {"QLinearConv"}),
        ({"method": "Percentile", "percentile": 99.9}, {"QLinearConv"}),
        ({"method": "Entropy"}, {"QLinearConv"}),
        ({"per_channel": False}, {"QLinearConv"}),
        ({"keep_float": ["conv"]}, {"QLinearConv", "Conv"}),
        ({"keep_float_types": ["Conv"]}, {"QLinearMatMul", "FusedConv"}),
        ({"quantization": "dynamic"}, {"DynamicQuantizeMatMul"}),
        ({"quantization": "weights"}, {"MatMulNBits"}),
    ],
    ids=str,
)
def test_ways_to_quantise(
    path: Path, dataset: Path, options: dict[str, Any], expected: set[str], tmp_path: Path
) -> None:
    report, artifact = built(path, "int8", tmp_path / "work", dataset=dataset, **options)
    assert agrees(report), report.verification
    assert operators(artifact) >= expected
    static = options.get("quantization") is None
    assert (report.calibration is not None) == static
    if static:
        assert report.calibration.method.startswith(options.get("method", "MinMax"))  # type: ignore[union-attr]
    else:
        assert any("quantised operators: 1" in note for note in report.notes)
    if "keep_float" in options:
        assert set(report.kept_float) >= {"conv", "bn"}
    scales = [tensor for tensor in onnx.load(artifact).graph.initializer if tensor.name == "w2_scale"]
    if options.get("per_channel") is False:
        assert list(scales[0].dims) == []


def test_made_up_samples_are_marked(path: Path, tmp_path: Path) -> None:
    report, _ = built(path, "int8", tmp_path / "work", calibration="generated", calibration_samples=5)
    assert report.calibration is not None
    assert (report.calibration.origin, report.calibration.samples) == ("generated", 5)


def test_one_sample_and_one_that_is_no_number_are_refused(path: Path, tmp_path: Path) -> None:
    one = tmp_path / "one.npz"
    np.savez(one, x=np.zeros((1, 1, 4, 8, 8), np.float32))
    with pytest.raises(DatasetTooSmall):
        built(path, "int8", tmp_path / "work", dataset=one)
    made = model(
        [
            helper.make_node("Log", ["x"], ["l"], name="log"),
            helper.make_node("MatMul", ["l", "w"], ["y"], name="matmul"),
        ],
        [value("x", FLOAT, [1, 4])],
        [value("y", FLOAT, [1, 4])],
        {"w": weights(4, 4)},
    )
    samples = tmp_path / "negative.npz"
    np.savez(samples, x=-np.ones((3, 1, 4), np.float32))
    with pytest.raises(CalibrationFailed) as caught:
        built(write(made, tmp_path / "log"), "int8", tmp_path / "other", dataset=samples)
    assert caught.value.where["tensor"] == "l"


def test_a_quantised_model_keeps_its_own_scales(path: Path, dataset: Path, tmp_path: Path) -> None:
    _, artifact = built(path, "int8", tmp_path / "first", dataset=dataset, level="basic")
    again = shutil.copy(artifact, tmp_path / "again.onnx")
    report, second = built(Path(again), "int8", tmp_path / "second", dataset=dataset)
    assert agrees(report)
    assert report.calibration is None
    assert any("already" in note for note in report.notes)
    assert "QLinearConv" in operators(second)


@pytest.mark.parametrize(("how", "word"), [("dynamic", "recurrent"), ("weights", "matrix products")])
def test_what_has_nothing_to_quantise_is_said(how: str, word: str, tmp_path: Path) -> None:
    made = model(
        [helper.make_node("Conv", ["x", "w"], ["y"], name="conv")],
        [value("x", FLOAT, [1, 3, 8, 8])],
        [value("y", FLOAT, None)],
        {"w": weights(4, 3, 3, 3)},
    )
    with pytest.raises(PrecisionNotKept, match=word):
        built(write(made, tmp_path / "in"), "int8", tmp_path / "work", quantization=how)


def test_the_file_is_looked_at(path: Path, tmp_path: Path) -> None:
    """A float file is no int8 artifact, and a .ort file of one is no fp16 artifact, whatever made them."""
    for target, form, word in (("int8", "onnx", "quantised"), ("fp16", "ort", "half-precision")):
        _, artifact = built(path, "fp32", tmp_path / target, form=form)
        told = order(path, f"onnxruntime:{target}", tmp_path / target)
        piece = Workpiece(
            source=Source(path, told.signature),
            target=told.recipe.target,
            options=None,
            work=tmp_path / target,
            samples=None,  # type: ignore[arg-type]
        )
        with pytest.raises(PrecisionNotKept, match=word):
            check_kept(piece, artifact)


def test_pruned_weights_are_in_the_artifact(path: Path, tmp_path: Path) -> None:
    report, artifact = built(path, "fp32", tmp_path / "work", prune="2:4")
    assert report.pruning is not None
    assert {layer.name for layer in report.pruning.layers} == {"w", "w2", "m"}
    (second,) = [t for t in onnx.load(artifact).graph.initializer if t.name == "w2"]
    groups = np.moveaxis(onnx.numpy_helper.to_array(second), 1, -1).reshape(-1, 4)
    assert (np.count_nonzero(groups, axis=1) <= 2).all()


# -- options ------------------------------------------------------------------------------------


def test_a_provider_that_is_not_there_is_refused(path: Path, tmp_path: Path) -> None:
    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("it is there")
    with pytest.raises(InvalidOption, match="no CUDAExecutionProvider") as caught:
        built(path, "fp32", tmp_path / "work", provider="cuda")
    assert caught.value.where["option"] == "provider"


def test_a_node_that_is_not_there_is_named(path: Path, tmp_path: Path) -> None:
    with pytest.raises(InvalidOption, match="'nowhere'"):
        built(path, "fp16", tmp_path / "work", keep_float=["nowhere"])


def test_loading_honours_the_options(path: Path, tmp_path: Path) -> None:
    backend = get("onnxruntime")
    _, artifact = built(path, "fp32", tmp_path / "work", level="all")
    saved = Saved(artifact.parent, artifact.name, (artifact.name,))
    target = parse_target("onnxruntime:fp32").model_copy(update={"options": {"level": "all", "threads": 2}})
    settings = backend.load(saved, backend.check(target, "onnx"), Setting(threads=2)).settings()
    assert settings["graph_optimization_level"] == "ORT_DISABLE_ALL", "its layouts are in the file"
    assert (settings["intra_op_num_threads"], settings["providers"]) == (2, "CPUExecutionProvider")


# -- errors -------------------------------------------------------------------------------------


def test_an_unknown_operator_is_named_with_its_node_and_operator_set(tmp_path: Path) -> None:
    made = model(
        [
            helper.make_node("Relu", ["x"], ["a"], name="fine"),
            helper.make_node("Frobnicate", ["a"], ["y"], name="odd one"),
        ],
        [value("x", FLOAT, [1, 4])],
        [value("y", FLOAT, [1, 4])],
        {},
    )
    told = order(write(made, tmp_path / "in"), "onnxruntime:fp32", tmp_path / "work")
    told.signature.opsets[""] = 17
    with pytest.raises(UnsupportedOperator, match="Frobnicate") as caught:
        run(told)
    assert caught.value.where == {"opset": 17, "operators": ["Frobnicate"], "nodes": ["odd one"]}


def test_an_artifact_that_does_not_load_names_the_node(tmp_path: Path) -> None:
    made = model(
        [helper.make_node("Reshape", ["x", "s"], ["y"], name="fold")],
        [value("x", FLOAT, ["n", 3])],
        [value("y", FLOAT, None)],
        {"s": np.array([2, 2])},
    )
    session = OnnxRuntimeSession(write(made, tmp_path), Setting(threads=1))
    with pytest.raises(Exception, match="fold") as caught:
        session.run({"x": np.zeros((1, 3), np.float32)})
    found = get("onnxruntime")._error_impl(caught.value, CompileFailed, None)
    assert found.where == {"operators": ["Reshape"], "nodes": ["fold"]}


# -- the script ---------------------------------------------------------------------------------

SCRIPTS = {
    "fp32": ("fp32", {}),
    "fp32 as .ort": ("fp32", {"form": "ort"}),
    "pruned": ("fp32", {"prune": "2:4"}),
    "fp16": ("fp16", {"keep_float": ["conv2"]}),
    "int8": ("int8", {}),
    "int8 by percentile": ("int8", {"method": "Percentile", "operators": "all", "keep_float": ["matmul"]}),
    "int8 of made-up samples": ("int8", {"calibration": "generated"}),
    "int8 while it runs": ("int8", {"quantization": "dynamic"}),
    "int8 weights": ("int8", {"quantization": "weights"}),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_the_script_makes_the_same_artifact(path: Path, dataset: Path, name: str, tmp_path: Path) -> None:
    target, options = SCRIPTS[name]
    given = None if options.get("calibration") == "generated" else dataset
    told = order(
        path,
        f"onnxruntime:{target}",
        tmp_path / "work",
        options=options,
        dataset_path=given,
        verify=False,
        benchmark=False,
    )
    entry = run(told).manifest.entry
    outside = tmp_path / "outside"
    outside.mkdir()
    shutil.copy(path, outside)
    shutil.copy(told.bundle / "reproduce.py", outside)
    if given:
        shutil.copy(given, outside / "dataset.npz")
    done = subprocess.run([sys.executable, "reproduce.py"], cwd=outside, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "['y']"
    mine, theirs = told.bundle / entry, outside / "bundle" / entry
    if entry == "model.ort":  # ONNX Runtime writes the same graph in another order every time
        feed = {"x": np.ones((1, 4, 8, 8), np.float32)}
        results = [OnnxRuntimeSession(each, Setting(threads=1)).run(feed)["y"] for each in (mine, theirs)]
        np.testing.assert_array_equal(*results)
    else:
        assert mine.read_bytes() == theirs.read_bytes()


def test_a_build_that_fails_leaves_its_script(path: Path, tmp_path: Path) -> None:
    told = order(path, "onnxruntime:fp16", tmp_path / "work", options={"keep_float": ["nowhere"]})
    with pytest.raises(InvalidOption):
        run(told)
    text = (tmp_path / "work/attachments/reproduce.py").read_text()
    compile(text, "reproduce.py", "exec")
    assert "KEPT = ['nowhere']" in text


# -- other sources ------------------------------------------------------------------------------


@pytest.mark.parametrize("target", ["fp16", "int8"])
def test_a_model_that_came_through_onnx(target: str, tmp_path: Path) -> None:
    text = net(
        conv("c1", "data", 8, 3)
        + layer("BatchNorm", "b1", "c1", "c1", "batch_norm_param { use_global_stats: true }")
        + layer("Scale", "s1", "c1", "c1", "scale_param { bias_term: true }")
        + relu("r1", "c1")
        + conv("c2", "c1", 8, 3)
    )
    source = write_caffe(tmp_path / "in", text)
    wanted = parse_target(f"onnxruntime:{target}").model_copy(update={"options": {"calibration": "generated"}})
    told = Order(
        recipe=Recipe(model="0" * 64, target=wanted),
        signature=source.signature,
        model=source.path,
        work=tmp_path / "work",
        hardware=HARDWARE,
        threads=1,
        benchmark_s=0.05,
    )
    report = run(told).report
    assert agrees(report), report.verification
    assert report.intermediate is not None
    assert report.intermediate.agrees
    assert report.route == ["caffe", "onnx"]
    nodes = [one.name for one in onnx.load(next((tmp_path / "work").rglob("intermediate.onnx"))).graph.node]
    told_of = {name for each in report.layers for name in (each.name, *each.fused)} | set(report.removed)
    assert set(nodes) <= told_of
    first = next(each.fused for each in report.layers if nodes[0] in each.fused)
    assert len(first) >= 3, "convolution, normalisation and activation are one layer"


def test_a_half_model_goes_every_way(tmp_path: Path) -> None:
    half = write(dense(np.float16), tmp_path / "half")
    report, artifact = built(half, "fp16", tmp_path / "fp16", form="ort")
    assert agrees(report)
    assert artifact.name == "model.ort"
    np.savez(tmp_path / "samples.npz", x=np.random.default_rng(0).standard_normal((8, 1, 32)).astype(np.float16))
    report, artifact = built(half, "int8", tmp_path / "int8", dataset=tmp_path / "samples.npz")
    assert agrees(report), report.verification
    assert TensorProto.INT8 in {tensor.data_type for tensor in onnx.load(artifact).graph.initializer if tensor.dims}


@pytest.mark.parametrize(("level", "domains"), [("basic", ""), ("extended", "com.microsoft")])
def test_the_manifest_says_what_a_runtime_must_be_able_to_read(
    path: Path, level: str, domains: str, tmp_path: Path
) -> None:
    """What ``enginehouse.rules.reads_onnx`` looks at."""
    result = run(order(path, "onnxruntime:fp32", tmp_path, options={"level": level}))
    settings = result.manifest.settings
    written = onnx.load(tmp_path / "bundle" / result.manifest.entry)
    assert settings["ir_version"] == written.ir_version
    assert settings["opset"] == next(one.version for one in written.opset_import if one.domain == "")
    assert settings["domains"] == domains

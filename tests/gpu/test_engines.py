"""Every precision and option through the pipeline on a real GPU: built, read back, run, verified, timed, explained."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from contract.backends_models import convolution, embedding, model, signature, unknown_operator, value, weights
from gpu.support import Built, close, reference, wide
from onnx import TensorProto, helper

from enginehouse.errors import BoundsRequired, CompileFailed, DatasetRequired, InvalidOption, UnsupportedOperator
from enginehouse.shapes import ShapeRange
from workers.probe.nvidia import cards
from zoo import model_path

Build = Callable[..., Built]

SMALL = {"x": ShapeRange(min=(1, 3, 16, 16), opt=(1, 3, 32, 32), max=(2, 3, 64, 64))}
LARGE = {"x": ShapeRange(min=(1, 3, 64, 64), opt=(4, 3, 128, 128), max=(8, 3, 128, 128))}
SHARE = {"fp32": 1e-3, "tf32": 3e-2, "fp16": 3e-2, "bf16": 1e-1, "int8": 3e-1, "fp8": 3e-1}


def folded() -> Any:
    """Convolution, batch normalisation, ReLU."""
    return model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], name="bn"),
            helper.make_node("Relu", ["n"], ["y"], name="relu"),
        ],
        [value("x", TensorProto.FLOAT, [1, 16, 32, 32])],
        [value("y", TensorProto.FLOAT, [1, 32, 32, 32])],
        {
            "w": weights(32, 16, 3, 3), "s": weights(32, seed=1) + 1, "b": weights(32, seed=2),
            "m": weights(32, seed=3), "v": np.abs(weights(32, seed=4)) + 1,
        },
    )  # fmt: skip


def counted() -> Any:
    """An output whose shape is known only once it is computed."""
    return model(
        [
            helper.make_node("Greater", ["x", "zero"], ["g"], name="greater"),
            helper.make_node("NonZero", ["g"], ["y"], name="nonzero"),
        ],
        [value("x", TensorProto.FLOAT, [4, 8])],
        [value("y", TensorProto.INT64, [2, "found"])],
        {"zero": np.zeros((), np.float32)},
    )


@pytest.mark.parametrize("precision", list(SHARE))
def test_every_precision_is_built_verified_timed_and_explained(
    precision: str, build: Build, precisions: tuple[str, ...]
) -> None:
    if precision not in precisions:
        pytest.skip(f"the GPU here has no {precision}")
    built = build(wide(), precision, options={"calibration": "generated"})
    report = built.report
    assert report.verification is not None
    assert report.verification.agrees, report.verification
    assert report.benchmark is not None
    assert report.benchmark.artifact.count >= 5
    settings = built.manifest.settings
    assert settings["transfers"] == "included"
    assert settings["compute_capability"]
    assert built.manifest.runtime
    assert {file.path for file in built.manifest.files if file.role == "model"} == {"model.engine", "engine.json"}
    assert report.layers
    assert any(layer.time_us for layer in report.layers)
    if precision not in ("fp32", "tf32"):
        assert any(layer.precision == precision for layer in report.layers)
    assert built.notes("executed layers")
    fused = {name for layer in report.layers for name in (*layer.fused, layer.name)}
    assert {"first", "second"} <= fused


def test_a_convolution_its_batch_norm_and_its_relu_are_one_executed_layer(build: Build) -> None:
    report = build(folded(), "fp16").report
    together = [layer for layer in report.layers if {"conv", "bn", "relu"} <= set(layer.fused)]
    assert len(together) == 1
    assert together[0].precision == "fp16"
    assert report.removed == []


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_several_profiles(precision: str, build: Build) -> None:
    built = build(convolution(), precision, profiles=(SMALL, LARGE))
    session = built.session()
    generator = np.random.default_rng(5)
    for shape in ((1, 3, 16, 16), (2, 3, 64, 64), (1, 3, 32, 48), (8, 3, 128, 128), (4, 3, 96, 64), (1, 3, 16, 16)):
        feeds = {"x": generator.random(shape, np.float32)}
        assert session.takes(feeds)
        close(session.run(feeds), reference(built.order.model, feeds), SHARE[precision])
    far = {"x": generator.random((1, 3, 256, 256), np.float32)}
    assert not session.takes(far)
    with pytest.raises(CompileFailed, match="no optimisation profile takes 'x'"):
        session.run(far)
    close(session.run(feeds), reference(built.order.model, feeds), SHARE[precision])  # it still runs
    assert session.settings()["optimization_profiles"] == 2


def test_given_shapes_are_the_only_ones(build: Build) -> None:
    built = build(convolution(), "fp16", shapes={"x": (1, 3, 20, 30)})
    session = built.session()
    assert session.takes({"x": np.zeros((1, 3, 20, 30), np.float32)})
    assert not session.takes({"x": np.zeros((1, 3, 20, 31), np.float32)})
    with pytest.raises(BoundsRequired, match=r"x\[2\] h"):
        build(convolution(), "fp16")


def test_integers_in_and_out(build: Build) -> None:
    ranges = {name: ShapeRange(min=(1, 1), opt=(1, 16), max=(2, 64)) for name in ("ids", "mask")}
    built = build(embedding(), "fp16", profiles=(ranges,))
    assert built.report.verification is not None
    assert built.report.verification.agrees


def test_an_output_whose_shape_depends_on_the_data(build: Build) -> None:
    built = build(counted(), "fp32", benchmark=False)
    session = built.session()
    for share in (0.0, 0.3, 1.0, 0.1):
        feeds = {"x": np.where(np.random.default_rng(1).random((4, 8)) < share, 1, -1).astype(np.float32)}
        assert np.array_equal(session.run(feeds)["y"], np.stack(np.nonzero(feeds["x"] > 0)))


@pytest.mark.parametrize("refit", ["none", "any"])
def test_a_stripped_engine_gets_its_weights_back(refit: str, build: Build) -> None:
    whole = build(wide(), "fp16")
    stripped = build(wide(), "fp16", options={"strip_plan": True, "refit": refit})
    names = {file.path: file.size for file in stripped.manifest.files}
    assert {"model.engine", "engine.json", "weights.onnx"} <= set(names)
    assert names["model.engine"] < whole.saved.path.stat().st_size
    assert stripped.report.verification is not None
    assert stripped.report.verification.agrees
    assert stripped.session().settings()["refittable"] is True
    (stripped.saved.folder / "weights.onnx").write_bytes(b"no model")
    with pytest.raises(CompileFailed, match=r"weights\.onnx"):
        stripped.session()


def test_options_reach_the_builder_and_are_read_back(build: Build) -> None:
    built = build(
        folded(), "fp16", options={"workspace_mb": 64, "aux_streams": 0, "optimization_level": 1, "refit": "any"}
    )
    settings = built.session().settings()
    assert settings["aux_streams"] == 0
    assert settings["refittable"] is True
    assert settings["build_workspace_bytes"] == 64 * 2**20
    assert settings["build_optimization_level"] == 1


@pytest.mark.parametrize("level", ["ampere_plus", "same_compute_capability"])
def test_hardware_compatibility(level: str, build: Build) -> None:
    built = build(folded(), "fp16", options={"hardware_compatibility": level})
    assert built.session().settings()["hardware_compatibility"] == level


def test_a_version_compatible_engine_loads(build: Build) -> None:
    built = build(folded(), "fp16", options={"version_compatible": True})
    assert built.session().settings()["version_compatible"] is True
    assert built.report.verification is not None
    assert built.report.verification.agrees


def test_sparsity_tells_which_layers_took_it(build: Build) -> None:
    built = build(wide(), "fp16", options={"sparsity": True, "prune": "2:4"})
    assert built.report.pruning is not None
    (note,) = built.notes("on sparse kernels")
    eligible = int(note.split(" of ")[1].split(" ")[0])
    assert eligible >= 2


def test_an_engine_of_another_gpu_is_refused_before_tensorrt_sees_it(build: Build) -> None:
    built = build(folded(), "fp32", verify=False, benchmark=False)
    (card, *_) = cards()
    settings = built.manifest.settings
    assert (settings["device"], settings["compute_capability"]) == (card.gpu.name, card.gpu.compute_capability)
    path = built.saved.folder / "engine.json"
    told = json.loads(path.read_text())
    path.write_text(json.dumps(told | {"compute_capability": "5.0"}))
    with pytest.raises(CompileFailed, match=r"needs compute capability 5\.0"):
        built.session()
    path.write_text(json.dumps(told | {"tensorrt": "1.2.3.4"}))
    with pytest.raises(CompileFailed, match=r"built by TensorRT 1\.2\.3\.4"):
        built.session()
    path.write_text(json.dumps(told))
    built.saved.path.write_bytes(b"no engine")
    with pytest.raises(CompileFailed, match="TensorRT cannot load the engine"):
        built.session()


def test_what_cannot_be_built_is_named(build: Build) -> None:
    with pytest.raises(UnsupportedOperator) as caught:
        build(unknown_operator(), "fp32", verify=False, benchmark=False)
    assert caught.value.where["operators"] == ["Frobnicate"]
    assert caught.value.where["nodes"] == ["frob"]
    with pytest.raises(DatasetRequired):
        build(wide(), "int8")
    with pytest.raises(InvalidOption, match="DLA cores"):
        build(wide(), "fp16", options={"dla_core": 15})


def test_int8_from_a_dataset(build: Build, tmp_path: Path) -> None:
    samples = tmp_path / "samples.npz"
    np.savez(samples, x=np.random.default_rng(1).random((8, 8, 64, 56, 56), np.float32))
    built = build(wide(), "int8", dataset_path=samples, options={"method": "Entropy"})
    calibration = built.report.calibration
    assert calibration is not None
    assert (calibration.origin, calibration.samples, calibration.method) == ("dataset samples@1", 8, "Entropy")
    assert any(layer.precision == "int8" for layer in built.report.layers)


@pytest.mark.parametrize("name", ["ppocr-det", "ppocr-cls", "magika"])
def test_real_models(name: str, build: Build) -> None:
    shapes: dict[str, Any] = {
        "ppocr-det": {"x": (1, 3, 320, 320)}, "ppocr-cls": {"x": (1, 3, 80, 160)}, "magika": {},
    }  # fmt: skip
    path = model_path(name)
    given = {
        spec.name: shapes[name].get(spec.name) or tuple(dim if isinstance(dim, int) else 1 for dim in spec.shape)
        for spec in signature(path).inputs
        if spec.is_dynamic()
    }
    built = build(path, "fp16", shapes=given)
    assert built.report.verification is not None
    assert built.report.verification.agrees, built.report.verification

"""The parts of the OpenVINO backend that need no runtime: names, shapes, pixels, measures, messages."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.errors import BuildError, ConversionFailed, InvalidShapes, UnsupportedOperator
from enginehouse.shapes import ShapeRange
from enginehouse.signature import ModelSignature
from enginehouse.targets import Precision
from workers.backends.openvino import runtime
from workers.backends.openvino.accuracy import Metric, agreement
from workers.backends.openvino.failures import named
from workers.backends.openvino.feeding import fed, processed, raw
from workers.backends.openvino.lineage import Lineage, Origin, _lost
from workers.backends.openvino.naming import Names
from workers.backends.openvino.options import OpenVinoOptions, Preprocess
from workers.backends.openvino.reshape import bounded
from workers.backends.openvino.resize import resized
from workers.backends.workpiece import Source

# -- pixels -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("how", "before", "after"),
    [
        ("nearest", [0.0, 1.0], [0.0, 0.0, 1.0, 1.0]),
        ("nearest", [0.0, 1.0, 2.0, 3.0], [0.0, 2.0]),  # a half is rounded down
        ("linear", [0.0, 1.0], [0.0, 0.25, 0.75, 1.0]),
        ("linear", [0.0, 1.0, 2.0, 3.0], [0.5, 2.5]),
        ("cubic", [5.0, 5.0, 5.0], [5.0, 5.0, 5.0, 5.0, 5.0]),
        ("cubic", [0.0, 1.0, 2.0, 3.0, 4.0, 5.0], [0.40625, 2.5, 4.59375]),
    ],
)
def test_one_axis(how: str, before: list[float], after: list[float]) -> None:
    assert resized(np.array(before), 0, len(after), how) == pytest.approx(after)


@pytest.mark.parametrize("how", ["linear", "cubic", "nearest"])
def test_the_same_size_is_the_same_picture(how: str) -> None:
    picture = np.random.default_rng(0).random((2, 7, 5, 3))
    assert np.allclose(resized(resized(picture, 1, 7, how), 2, 5, how), picture)


def test_what_is_fed_gives_the_models_input_again() -> None:
    one = Preprocess(color="bgr-to-rgb", mean=(100.0, 110.0, 120.0), scale=(50.0, 60.0, 70.0))
    bytes_ = np.random.default_rng(0).integers(0, 256, (1, 4, 6, 3)).astype(np.uint8)
    wanted = processed(bytes_, one, (1, 3, 4, 6))
    assert wanted.shape == (1, 3, 4, 6)
    assert wanted[0, 0, 0, 0] == pytest.approx((float(bytes_[0, 0, 0, 2]) - 100) / 50)
    assert np.array_equal(raw(wanted, one), bytes_)


def test_what_no_byte_holds_is_cut_off_for_both_sides_alike() -> None:
    mine, theirs = fed(
        {"x": np.array([[-3.0, 0.4, 900.0]], np.float16)}, {"x": Preprocess(layout="nc", model_layout="nc")}
    )
    assert mine["x"].tolist() == [[0, 0, 255]]
    assert theirs["x"].tolist() == [[0.0, 0.0, 255.0]]
    assert theirs["x"].dtype == np.float16


def test_an_input_without_preprocessing_is_left_alone() -> None:
    feeds = {"x": np.ones((1, 3, 2, 2), np.float32), "ids": np.array([1, 2])}
    mine, theirs = fed(feeds, {"x": Preprocess(element_type="f32", resize="linear")})
    assert mine["ids"] is feeds["ids"]
    assert theirs["ids"] is feeds["ids"]
    assert mine["x"].shape == (1, 2, 3, 3)  # larger than the model's, so that there is something to resize
    assert theirs["x"].shape == (1, 3, 2, 2)


def test_layouts_must_have_the_same_axes() -> None:
    with pytest.raises(ValidationError, match="same axes"):
        Preprocess(layout="nhwc", model_layout="nch")
    with pytest.raises(ValidationError, match="axis 'c'"):
        Preprocess(layout="nt", model_layout="nt", mean=(1.0, 2.0))


# -- measures ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mine", "true", "expected"),
    [
        ([1.0, 2.0], [2.0, 4.0], 1.0),
        ([1.0, 0.0], [0.0, 1.0], 0.0),
        ([-1.0], [1.0], -1.0),
        ([0.0], [0.0], 1.0),
        ([0.0], [1.0], 0.0),
        ([float("nan")], [1.0], 0.0),
        ([1.0, 7.0], [1.0, float("inf")], 1.0),  # where the true one is infinite there is nothing to compare
    ],
)
def test_agreement_of_floats(mine: list[float], true: list[float], expected: float) -> None:
    assert agreement(np.array(mine), np.array(true)) == pytest.approx(expected)


def test_agreement_of_integers_is_the_share_that_is_equal() -> None:
    assert agreement(np.array([1, 2, 3, 4]), np.array([1, 2, 0, 0])) == 0.5


def test_the_metric_counts_right_classes_where_there_are_labels() -> None:
    metric = Metric([1, 0, 1])
    scores = [[0.1, 0.9], [0.8, 0.2], [0.7, 0.3]]
    mean, each = metric(lambda feeds: [feeds["x"]], [(i, {"x": np.array([row])}) for i, row in enumerate(scores)])
    assert each == [1.0, 1.0, 0.0]
    assert mean == pytest.approx(2 / 3)


def test_the_metric_of_the_float_model_itself_is_one() -> None:
    metric = Metric()
    items = [(i, {"x": np.array([1.0, float(i)])}) for i in range(3)]
    metric.remember(lambda feeds: [feeds["x"] * 2], items)
    assert metric(lambda feeds: [feeds["x"] * 2], items)[0] == pytest.approx(1.0)
    assert metric(lambda feeds: [feeds["x"][::-1]], items)[0] < 0.9


# -- shapes -----------------------------------------------------------------------------------


def test_bounds_are_those_of_all_profiles_together() -> None:
    one = {"x": ShapeRange(min=(1, 8), opt=(2, 8), max=(4, 8))}
    other = {"x": ShapeRange(min=(2, 4), opt=(2, 16), max=(2, 64))}
    assert bounded([one, other]) == {"x": [(1, 4), (4, 64)]}
    with pytest.raises(InvalidShapes, match="profiles"):
        bounded([])


# -- names ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "read_as", "tensors", "renamed", "expected"),
    [
        (["conv"], "conv/WithoutBiases", [], {}, ["conv"]),  # ONNX
        (["relu"], "relu", [], {}, ["relu"]),
        (["pool"], "2", ["pool"], {}, ["pool"]),  # LiteRT: the operator's number, its output's name
        (["conv"], "ShapeOf_12", [], {}, []),
        (["conv2d"], "convolution/aten.convolution.default/Add", [], {"convolution": "conv2d"}, ["conv2d"]),
        ([], "aten::conv2d/Convolution", [], {}, ["aten::conv2d"]),  # TorchScript
        ([], "dense/BiasAdd", ["dense/BiasAdd:0"], {}, ["dense/BiasAdd"]),  # TensorFlow
        ([], "Transpose_647", ["gap/Mean:0"], {}, ["gap/Mean:0"]),
        ([], "Transpose_647", [], {}, []),
    ],
)
def test_what_the_source_calls_a_node(
    known: list[str], read_as: str, tensors: list[str], renamed: dict[str, str], expected: list[str]
) -> None:
    lineage = Lineage({"made_up": [read_as]}, {read_as: tensors}, renamed)
    assert Names(lineage, lambda: {name: name for name in known}).of(["made_up"]) == expected


def test_parts_that_the_runtime_makes_for_eight_bits() -> None:
    names = Names(
        Lineage({"Multiply_7": ["conv", "bn"]}), lambda: {name: name for name in ("conv", "bn", "relu", "fc")}
    )
    assert names.of(["Multiply_7", "fc/DequantizationMultiply", "relu/fq_output_0"]) == ["conv", "bn", "fc"]
    assert names.rounded(["Multiply_7", "relu/fq_output_0"]) == ["relu"]


def test_a_node_whose_name_was_lost_goes_to_the_one_that_took_up_all_its_readers() -> None:
    before = Origin(
        order={"conv": 0, "norm": 1, "relu": 2},
        readers={"conv": ["norm"], "norm": ["relu"]},
        working=["conv", "norm"],
    )
    found = {"Multiply_1": ["norm"], "relu": ["relu"]}
    _lost(found, before)
    assert found == {"Multiply_1": ["norm", "conv"], "relu": ["relu"]}
    apart = {"a": ["norm"], "b": ["relu"]}
    _lost(apart, Origin(readers={"conv": ["norm", "relu"]}, working=["conv"]))
    assert apart == {"a": ["norm"], "b": ["relu"]}


# -- messages ---------------------------------------------------------------------------------

_HEAD = "Check 'false' failed at src/frontends/x.cpp:151:\nFrontEnd API failed with OpConversionFailure:\n"


_NO_RULE = "Summary:\n-- No conversion rule found for operations: "


@pytest.mark.parametrize(
    ("text", "operators"),
    [
        (_NO_RULE + "com.acme.Foo-1", ["com.acme.Foo"]),
        ("Summary:\n-- Conversion is failed for: Conv-16, ReduceMean-16", ["Conv", "ReduceMean"]),
        (_NO_RULE + "aten._linalg_eigh.default", ["aten._linalg_eigh.default"]),
        (_NO_RULE + "aten::eigh, prim::X", ["aten::eigh", "prim::X"]),
        (_NO_RULE + "Cholesky, Digamma\nTo facilitate the conversion", ["Cholesky", "Digamma"]),
        ("No translator found for Digamma node.", ["Digamma"]),
        ("The translation is incomplete due to operation 1 of type RFFT2D", ["RFFT2D"]),
    ],
)
def test_the_operators_that_each_reader_names(text: str, operators: list[str]) -> None:
    source = Source(
        Path("model.pt2"), ModelSignature(format="torch-export", opsets={"aten": 10}, inputs=[], outputs=[])
    )
    error = named(RuntimeError(_HEAD + text), ConversionFailed, source)
    assert isinstance(error, UnsupportedOperator)
    assert error.where == {"operators": operators, "opsets": {"aten": 10}}
    assert "To facilitate" not in error.detail


def test_another_message_keeps_its_telling_line() -> None:
    error: BuildError = named(
        RuntimeError("Check 'x' failed at src/a.cpp:1:\nthe port is too small\nmore"), ConversionFailed, None
    )
    assert type(error) is ConversionFailed
    assert error.detail == "openvino: the port is too small"


# -- settings ---------------------------------------------------------------------------------


@pytest.mark.parametrize("precision", list(Precision))
def test_the_inference_precision_is_always_said(precision: Precision, tmp_path: Path) -> None:
    told = runtime.runtime(precision, OpenVinoOptions(streams=3, preprocess={"x": Preprocess(mean=(1.0,))}))
    assert told.config["INFERENCE_PRECISION_HINT"] == ("bf16" if precision is Precision.BF16 else "f32")
    assert told.config["NUM_STREAMS"] == 3
    runtime.write(told, tmp_path)
    assert runtime.read(tmp_path) == told

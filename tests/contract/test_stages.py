"""The stages on the ONNX graph: what they change, leave and say. ONNX Runtime and onnx are the judges."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx.reference
import onnxruntime
import pytest
from contract.backends_models import GOOD, dense, model, recurrent, signature, unknown_operator, value, weights, write
from onnx import TensorProto, helper, numpy_helper

from enginehouse.errors import (
    CalibrationFailed,
    ConversionFailed,
    InvalidOption,
    PrecisionNotKept,
    UnsupportedOperator,
)
from enginehouse.targets import Precision
from workers.backends.workpiece import Source
from workers.stages.cast import cast
from workers.stages.graph import all_nodes, load_model, operator_set, save_model
from workers.stages.opset import lifted
from workers.stages.prune import prune
from workers.stages.quantize import Recipe, noise, quantize
from workers.stages.ranges import extremes

FLOAT = TensorProto.FLOAT


def source(made: Any, folder: Path) -> Source:
    path = write(made, folder)
    opsets = {one.domain: one.version for one in made.opset_import}
    return Source(path, signature(path).model_copy(update={"opsets": opsets}))


def feeds_for(source: Source, count: int = 3, size: int = 8) -> list[dict[str, Any]]:
    random = np.random.default_rng(5)
    found = []
    for _ in range(count):
        feed = {}
        for spec in source.signature.inputs:
            shape = [dim if isinstance(dim, int) else size for dim in spec.shape]
            floating = spec.dtype.startswith("float")
            feed[spec.name] = (random.random(shape) if floating else np.ones(shape)).astype(spec.dtype)
            if spec.name == "sr":
                feed[spec.name] = np.array(16000, np.int64)
        found.append(feed)
    return found


def checked(path: Path) -> Any:
    made = onnx.load(path)
    onnx.checker.check_model(made, full_check=True)
    return made


def run(path: Path, feed: dict[str, Any]) -> list[Any]:
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feed)


def chain(*steps: tuple[str, str, list[str]], constants: dict[str, Any], opset: int = 17, rows: int = 4) -> Any:
    """Nodes one after the other from x [rows, 4] to y, each with further inputs."""
    nodes, last = [], "x"
    for number, (kind, name, more) in enumerate(steps):
        made = "y" if number == len(steps) - 1 else f"t_{name}"
        nodes.append(helper.make_node(kind, [last, *more], [made], name=name))
        last = made
    return model(nodes, [value("x", FLOAT, [rows, 4])], [value("y", FLOAT, ["rows", "columns"])], constants, opset)


# -- cast ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_io", [True, False])
@pytest.mark.parametrize("name", GOOD)
def test_a_cast_graph_is_valid_and_computes_nearly_the_same(name: str, keep_io: bool, tmp_path: Path) -> None:
    given = source(GOOD[name](), tmp_path / "in")
    feeds = feeds_for(given)
    made, _ = cast(given, Precision.FP16, feeds, tmp_path / "work", keep_io=keep_io)
    graph = checked(made.path).graph
    assert [one.name for one in graph.input] == [spec.name for spec in given.signature.inputs]
    assert [one.name for one in graph.output] == [spec.name for spec in given.signature.outputs]
    floating = {"float32"} if keep_io else {"float16"}
    kinds = {
        str(helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type)) for one in (*graph.input, *graph.output)
    }
    assert kinds - {"int64"} == floating
    assert {spec.dtype for spec in (*made.signature.inputs, *made.signature.outputs)} - {"int64"} == floating
    assert FLOAT not in {tensor.data_type for tensor in graph.initializer}
    mine = {one.name: helper.tensor_dtype_to_np_dtype(one.type.tensor_type.elem_type) for one in graph.input}
    fed = {key: array.astype(mine[key]) for key, array in feeds[0].items()}
    for got, true in zip(run(made.path, fed), run(given.path, feeds[0]), strict=True):
        np.testing.assert_allclose(got.astype(np.float64), true, atol=2e-2 * max(1.0, np.abs(true).max()))


@pytest.mark.parametrize("name", GOOD)
def test_bfloat16_is_valid_and_computes_nearly_the_same(name: str, tmp_path: Path) -> None:
    given = source(GOOD[name](), tmp_path / "in")
    feeds = feeds_for(given)
    made, _ = cast(given, Precision.BF16, feeds, tmp_path / "work")
    loaded = checked(made.path)
    assert made.signature.opsets == {"": 22}
    assert FLOAT not in {tensor.data_type for tensor in loaded.graph.initializer}
    outputs = onnx.reference.ReferenceEvaluator(loaded).run(None, feeds[0])
    for got, true in zip(outputs, run(given.path, feeds[0]), strict=True):
        np.testing.assert_allclose(got.astype(np.float64), true, atol=5e-2 * max(1.0, np.abs(true).max()))


LARGE = {"w": np.full((4, 4), 2e4, np.float32), "v": np.full((4, 4), 1e-4, np.float32)}
OVERFLOWING = (("MatMul", "grow", ["w"]), ("MatMul", "shrink", ["v"]), ("MatMul", "last", ["v"]))


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_values_that_overflow_on_the_samples_keep_their_nodes_in_float(tmp_path: Path) -> None:
    given = source(chain(*OVERFLOWING, constants=LARGE), tmp_path / "in")
    feed = {"x": np.ones((4, 4), np.float32)}
    blind, _ = cast(given, Precision.FP16, None, tmp_path / "blind")
    # Not by ONNX Runtime, which leaves out casts that only lose digits.
    assert np.isinf(onnx.reference.ReferenceEvaluator(checked(blind.path)).run(None, feed)[0]).all()
    seeing, kept = cast(given, Precision.FP16, [feed], tmp_path / "seeing")
    assert kept == ["grow", "shrink"]
    (mine,) = onnx.reference.ReferenceEvaluator(checked(seeing.path)).run(None, feed)
    np.testing.assert_allclose(mine, run(given.path, feed)[0], rtol=1e-2)
    _, kept = cast(given, Precision.BF16, [feed], tmp_path / "wide")
    assert kept == []


@pytest.mark.parametrize(
    ("constant", "kept"), [(7e4, True), (1e-9, True), (3.0, False), (-np.inf, False), (0.0, False)]
)
def test_a_number_that_half_precision_does_not_have_keeps_its_node(constant: float, kept: bool, tmp_path: Path) -> None:
    steps = (("MatMul", "matmul", ["w"]), ("Max", "epsilon", ["e"]), ("MatMul", "last", ["w"]))
    made = chain(*steps, constants={"w": weights(4, 4), "e": np.float32(constant)})
    _, names = cast(source(made, tmp_path / "in"), Precision.FP16, None, tmp_path / "work")
    assert ("epsilon" in names) is kept


def test_tiny_weights_among_others_do_not_keep_a_product(tmp_path: Path) -> None:
    mixed, tiny = weights(4, 4), weights(4, 4) * np.float32(1e-6)
    mixed[0, 0] = 1e-12
    steps = (("MatMul", "mixed", ["m"]), ("MatMul", "tiny", ["t"]), ("MatMul", "last", ["m"]))
    given = source(chain(*steps, constants={"m": mixed, "t": tiny}), tmp_path / "in")
    _, kept = cast(given, Precision.FP16, None, tmp_path / "work")
    assert kept == ["tiny"]


def test_a_decomposed_normalisation_stays_as_a_whole(tmp_path: Path) -> None:
    steps = (
        ("MatMul", "matmul", ["w"]), ("Pow", "square", ["two"]), ("ReduceMean", "mean", []), ("Add", "add", ["e"]),
        ("Sqrt", "root", []), ("MatMul", "last", ["w"]),
    )  # fmt: skip
    constants = {"w": weights(4, 4), "two": np.float32(2), "e": np.float32(1e-3)}
    made = chain(*steps, constants=constants)
    made.graph.node[2].attribute.append(helper.make_attribute("axes", [1]))
    _, kept = cast(source(made, tmp_path / "in"), Precision.FP16, None, tmp_path / "work")
    assert kept == ["square", "mean", "add", "root"]


def test_a_model_of_such_operators_alone_is_cast_all_the_same(tmp_path: Path) -> None:
    made, kept = cast(source(chain(("Exp", "exp", []), constants={}), tmp_path / "in"), Precision.FP16, None, tmp_path)
    assert kept == []
    assert [node.op_type for node in checked(made.path).graph.node] == ["Cast", "Exp", "Cast"]


def test_numbers_that_become_indices_stay_exact(tmp_path: Path) -> None:
    table = np.arange(4096, dtype=np.float32).reshape(4096, 1) / 4096
    nodes = [
        helper.make_node("Mul", ["x", "step"], ["position"], name="scale"),
        helper.make_node("Floor", ["position"], ["whole"], name="floor"),
        helper.make_node("Cast", ["whole"], ["index"], to=TensorProto.INT64, name="cast"),
        helper.make_node("Gather", ["table", "index"], ["row"], name="gather"),
        helper.make_node("Mul", ["row", "step"], ["y"], name="after"),
    ]
    made = model(nodes, [value("x", FLOAT, [1])], [value("y", FLOAT, None)], {"table": table, "step": np.float32(3)})
    given = source(made, tmp_path / "in")
    cast_model, kept = cast(given, Precision.FP16, None, tmp_path / "work")
    assert kept == ["scale", "floor"]
    feed = {"x": np.array([1111.0], np.float32)}  # times three is 3333, which half precision rounds to 3332
    assert run(cast_model.path, feed)[0][0, 0] == pytest.approx(3333 / 4096 * 3, abs=1e-3)


@pytest.mark.parametrize("opset", [10, 13, 19])
def test_scales_of_a_resize_stay_float(opset: int, tmp_path: Path) -> None:
    inputs = ["x", "scales"] if opset == 10 else ["x", "", "scales"]
    made = model(
        [helper.make_node("Resize", inputs, ["y"], mode="nearest", name="resize")],
        [value("x", FLOAT, [1, 1, 2, 2])],
        [value("y", FLOAT, [1, 1, 6, 6])],
        {"scales": np.array([1, 1, 3, 3], np.float32)},
        opset,
    )
    cast_model, kept = cast(source(made, tmp_path / "in"), Precision.FP16, None, tmp_path / "work")
    loaded = checked(cast_model.path)
    assert kept == []
    (scales,) = loaded.graph.initializer
    assert scales.data_type == FLOAT
    assert run(cast_model.path, {"x": np.ones((1, 1, 2, 2), np.float32)})[0].shape == (1, 1, 6, 6)


def test_branches_are_cast_inside_and_float_at_their_ends(tmp_path: Path) -> None:
    made = recurrent()
    for number, branch in enumerate(("then_branch", "else_branch")):
        (inner,) = [one.g for one in made.graph.node[2].attribute if one.name == branch]
        inner.node[0].output[0] = f"inner{number}"
        inner.node.append(helper.make_node("MatMul", [f"inner{number}", f"w{number}"], [inner.output[0].name]))
        inner.initializer.append(numpy_helper.from_array(weights(4, 4, seed=number), f"w{number}"))
    given = source(made, tmp_path / "in")
    feed = feeds_for(given)[0]
    cast_model, kept = cast(given, Precision.FP16, [feed], tmp_path / "work")
    checked(cast_model.path)
    assert kept == []
    inner_types = {
        tensor.data_type for node in cast_if(cast_model.path) for one in node.attribute for tensor in one.g.initializer
    }
    assert inner_types == {TensorProto.FLOAT16}
    for rate in (16000, 8000):
        fed = feed | {"sr": np.array(rate, np.int64)}
        np.testing.assert_allclose(run(cast_model.path, fed)[0], run(given.path, fed)[0], atol=5e-3)


def cast_if(path: Path) -> list[Any]:
    return [node for node in onnx.load(path).graph.node if node.op_type == "If"]


def test_nodes_and_types_stay_on_request(tmp_path: Path) -> None:
    given = source(GOOD["convolution"](), tmp_path / "in")
    made, kept = cast(given, Precision.FP16, None, tmp_path, keep=["conv"], keep_types=["MatMul"])
    assert kept == ["conv", "matmul"]
    kinds = {tensor.name: tensor.data_type for tensor in checked(made.path).graph.initializer}
    assert kinds == {"w": FLOAT, "b": FLOAT, "m": FLOAT}
    with pytest.raises(InvalidOption, match="no node 'nowhere'"):
        cast(given, Precision.FP16, None, tmp_path, keep=["nowhere"])


def test_a_weight_of_both_is_there_twice(tmp_path: Path) -> None:
    made = chain(("MatMul", "one", ["w"]), ("MatMul", "two", ["w"]), constants={"w": weights(4, 4)})
    result, _ = cast(source(made, tmp_path / "in"), Precision.FP16, None, tmp_path, keep=["two"])
    kinds = {tensor.name: tensor.data_type for tensor in checked(result.path).graph.initializer}
    assert kinds == {"w": FLOAT, "w.float16": TensorProto.FLOAT16}


def test_half_models_stay_and_double_ones_are_refused(tmp_path: Path) -> None:
    half = source(dense(np.float16), tmp_path / "half")
    assert cast(half, Precision.FP16, None, tmp_path) == (half, [])
    with pytest.raises(ConversionFailed, match="double"):
        cast(source(dense(np.float64), tmp_path / "double"), Precision.FP16, None, tmp_path)


def test_what_nobody_knows_is_left_alone_and_said(tmp_path: Path) -> None:
    with pytest.raises(PrecisionNotKept) as caught:
        cast(source(unknown_operator(), tmp_path / "in"), Precision.FP16, None, tmp_path)
    assert caught.value.where["nodes"] == ["frob"]


# -- quantize -----------------------------------------------------------------------------------


class Counted(Sequence[dict[str, Any]]):
    """Samples that say how often they were read."""

    def __init__(self, feeds: Sequence[dict[str, Any]]) -> None:
        self.feeds, self.read = feeds, 0

    def __len__(self) -> int:
        return len(self.feeds)

    def __getitem__(self, index: Any) -> Any:
        self.read += 1
        return self.feeds[index]


def pairs(made: Any) -> Iterator[tuple[Any, Any, Any]]:
    """Each Q/DQ node with its scale and zero point."""
    tensors = {tensor.name: tensor for tensor in made.graph.initializer}
    for node in made.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            yield node, numpy_helper.to_array(tensors[node.input[1]]), tensors[node.input[2]]


def test_ranges_are_those_of_the_samples(tmp_path: Path) -> None:
    given = source(GOOD["convolution"](), tmp_path / "in")
    feeds = Counted(feeds_for(given, 4))
    made, found = quantize(given, feeds, tmp_path / "work", Recipe())
    assert found.method == "MinMax"
    assert set(found.nodes) >= {"conv", "matmul"}
    assert found.ranges["x"] == pytest.approx(
        (min(feed["x"].min() for feed in feeds.feeds), max(feed["x"].max() for feed in feeds.feeds))
    )
    assert feeds.read == len(feeds) + 1, "each sample is read once, and the end is looked for"
    scales = {node.input[0]: scale for node, scale, _ in pairs(checked(made.path))}
    assert scales["x"] == pytest.approx(found.ranges["x"][1] / 255, rel=1e-5)
    assert scales["w_quantized"].shape == (8,), "a scale for each output channel"
    for got, true in zip(run(made.path, feeds.feeds[0]), run(given.path, feeds.feeds[0]), strict=True):
        np.testing.assert_allclose(got, true, atol=2e-2)
    ratios = noise(given, made, feeds.feeds[0])
    assert min(ratios.values()) > 20, ratios


def test_what_tensorrt_takes(tmp_path: Path) -> None:
    given = source(GOOD["convolution"](), tmp_path / "in")
    made, found = quantize(given, feeds_for(given), tmp_path / "work", Recipe.tensorrt())
    graph = checked(made.path)
    assert set(found.nodes) == {"conv", "matmul"}
    for _, scale, zero in pairs(graph):
        assert zero.data_type == TensorProto.INT8
        assert not numpy_helper.to_array(zero).any()
        assert (scale > 0).all()
    kinds = {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
    assert (kinds["w"], kinds["m"], kinds["b"]) == (FLOAT, FLOAT, FLOAT)
    made_by = {name: node.op_type for node in graph.graph.node for name in node.output}
    (conv,) = [node for node in graph.graph.node if node.op_type == "Conv"]
    assert [made_by.get(name) for name in conv.input] == ["DequantizeLinear", "DequantizeLinear", None]
    (relu,) = [node for node in graph.graph.node if node.op_type == "Relu"]
    assert relu.input[0] == conv.output[0], "outputs of weighted operators are not quantised"


def test_fp8_has_the_same_ranges_in_another_type(tmp_path: Path) -> None:
    given = source(GOOD["convolution"](), tmp_path / "in")
    made, found = quantize(given, feeds_for(given), tmp_path / "work", Recipe.tensorrt("fp8"))
    graph = checked(made.path)
    assert operator_set(graph) >= 19
    seen = list(pairs(graph))
    assert {zero.data_type for _, _, zero in seen} == {TensorProto.FLOAT8E4M3FN}
    (scale,) = [scale for node, scale, _ in seen if node.input[0] == "x"]
    assert float(scale) * 448 == pytest.approx(max(map(abs, found.ranges["x"])), rel=1e-4)
    feed = feeds_for(given)[0]
    (got,) = onnx.reference.ReferenceEvaluator(graph).run(None, feed)
    np.testing.assert_allclose(got, run(given.path, feed)[0], atol=5e-2)


def test_int8_and_half_go_together(tmp_path: Path) -> None:
    given = source(GOOD["convolution"](), tmp_path / "in")
    feeds = feeds_for(given)
    quantised, _ = quantize(lifted(given, 19, tmp_path), feeds, tmp_path / "work", Recipe.tensorrt())
    made, kept = cast(quantised, Precision.FP16, feeds, tmp_path / "half")
    graph = checked(made.path)
    assert kept == []
    assert {node.op_type for node in graph.graph.node} >= {"QuantizeLinear", "DequantizeLinear", "Conv"}
    assert FLOAT not in {tensor.data_type for tensor in graph.graph.initializer}
    np.testing.assert_allclose(run(made.path, feeds[0])[0], run(given.path, feeds[0])[0], atol=2e-2)


@pytest.mark.parametrize("method", ["Percentile", "Entropy"])
def test_outliers_are_cut(method: Any, tmp_path: Path) -> None:
    made = chain(("MatMul", "matmul", ["w"]), constants={"w": weights(4, 4)}, rows=5000)
    given = source(made, tmp_path / "in")
    feed = np.random.default_rng(0).standard_normal((5000, 4)).astype(np.float32)
    feed[7, 2] = 1000.0
    _, found = quantize(given, [{"x": feed}, {"x": feed}], tmp_path / "work", Recipe(method=method, percentile=99.9))
    assert found.ranges["x"][1] < 1000.0
    assert found.method.startswith(method)
    _, plain = quantize(given, [{"x": feed}, {"x": feed}], tmp_path / "plain", Recipe())
    assert plain.ranges["x"][1] == 1000.0


@pytest.mark.parametrize("method", ["Percentile", "Entropy"])
def test_a_first_sample_of_silence_costs_nothing(method: Any, tmp_path: Path) -> None:
    """Bins as wide as the first sample needs them would be ten to the ninth of them for the second."""
    given = source(chain(("MatMul", "matmul", ["w"]), constants={"w": weights(4, 4)}), tmp_path / "in")
    quiet, loud = np.full((4, 4), 1e-9, np.float32), np.full((4, 4), 9.0, np.float32)
    _, found = quantize(given, [{"x": quiet}, {"x": loud}], tmp_path / "work", Recipe(method=method))
    assert 0 < found.ranges["x"][1] <= 9.0


def test_values_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    steps = (("Log", "log", []), ("MatMul", "matmul", ["w"]))
    given = source(chain(*steps, constants={"w": weights(4, 4)}), tmp_path / "in")
    feed = np.ones((4, 4), np.float32)
    feed[2, 1] = -1.0
    with pytest.raises(CalibrationFailed, match="'t_log' of node 'matmul'") as caught:
        quantize(given, [{"x": feed}], tmp_path / "work", Recipe())
    assert caught.value.where == {"tensor": "t_log", "node": "matmul", "operator": "MatMul"}
    broken = weights(4, 4)
    broken[0, 0] = np.nan
    given = source(chain(("MatMul", "matmul", ["w"]), constants={"w": broken}), tmp_path / "other")
    with pytest.raises(CalibrationFailed, match="weight 'w'"):
        quantize(given, [{"x": np.zeros((4, 4), np.float32) + 1}], tmp_path / "work", Recipe())


@pytest.mark.parametrize("constant", [-np.inf, np.finfo(np.float32).min, 0.0])
def test_values_without_a_range_stay_float(constant: float, tmp_path: Path) -> None:
    """A mask of an attention, and a tensor that the samples leave zero."""
    steps = (("MatMul", "first", ["w"]), ("Where", "mask", ["c", "t_first"]), ("Relu", "second", []))
    masked = np.ones((4, 4), bool) if constant == 0.0 else np.eye(4, dtype=bool)
    constants = {"w": np.abs(weights(4, 4)), "c": np.full((4, 4), constant, np.float32), "masked": masked}
    made = chain(*steps, constants=constants)
    made.graph.node[1].input[:] = ["masked", "c", "t_first"]
    given = source(made, tmp_path / "in")
    _, found = quantize(given, feeds_for(given), tmp_path / "work", Recipe())
    assert (found.nodes, found.kept) == (["first"], ["second"])


def test_excluded_nodes_stay_float_and_must_be_there(tmp_path: Path) -> None:
    given = source(GOOD["convolution"](), tmp_path / "in")
    _, found = quantize(
        given, feeds_for(given), tmp_path / "work", Recipe(exclude=("matmul",), exclude_types=("Relu",))
    )
    assert "matmul" not in found.nodes
    assert set(found.kept) == {"matmul", "relu"}
    _, found = quantize(given, feeds_for(given), tmp_path / "work", Recipe(exclude=("conv",)))
    assert (found.kept, found.alone) == (["conv"], ["relu"]), "an activation is not quantised on its own"
    with pytest.raises(InvalidOption, match="nowhere"):
        quantize(given, feeds_for(given), tmp_path / "work", Recipe(exclude=("nowhere",)))


def test_a_quantised_model_is_left_as_it_is(tmp_path: Path) -> None:
    given = source(GOOD["convolution"](), tmp_path / "in")
    made, _ = quantize(given, feeds_for(given), tmp_path / "work", Recipe())
    again, found = quantize(made, feeds_for(given), tmp_path / "again", Recipe())
    assert again is made
    assert found.already


def test_nothing_to_quantise_is_said(tmp_path: Path) -> None:
    given = source(recurrent(), tmp_path / "in")
    with pytest.raises(PrecisionNotKept, match="nothing"):
        quantize(given, feeds_for(given), tmp_path / "work", Recipe())


@pytest.mark.parametrize("shape", [(1, 8), (8,), (4, 1), ()])
def test_every_bias_of_a_dense_layer(shape: tuple[int, ...], tmp_path: Path) -> None:
    made = chain(
        ("Gemm", "gemm", ["w", "b"]),
        ("MatMul", "matmul", ["v"]),
        constants={"w": weights(4, 8), "b": weights(*shape), "v": weights(8, 4)},
    )
    given = source(made, tmp_path / "in")
    result, found = quantize(given, feeds_for(given), tmp_path / "work", Recipe())
    assert ("gemm" in found.nodes) is (shape in ((1, 8), (8,)))
    feed = feeds_for(given)[0]
    np.testing.assert_allclose(run(result.path, feed)[0], run(given.path, feed)[0], atol=5e-2)


def test_an_old_operator_set_is_lifted_for_scales_by_channel(tmp_path: Path) -> None:
    given = source(chain(("MatMul", "matmul", ["w"]), constants={"w": weights(4, 4)}, opset=11), tmp_path / "in")
    made, _ = quantize(given, feeds_for(given), tmp_path / "work", Recipe())
    assert made.signature.opsets[""] == 13


# -- prune --------------------------------------------------------------------------------------


def products() -> Any:
    """Weights of every kind: convolutions (one of three channels, one by depth), Gemm both ways, MatMul three ways."""
    nodes = [
        helper.make_node("Conv", ["x", "first"], ["a"], name="first"),
        helper.make_node("Conv", ["a", "second", "bias"], ["b"], name="second"),
        helper.make_node("Conv", ["b", "depth"], ["c"], name="depth", group=8),
        helper.make_node("GlobalAveragePool", ["c"], ["p"], name="pool"),
        helper.make_node("Flatten", ["p"], ["f"], name="flat"),
        helper.make_node("Gemm", ["f", "there", "bias"], ["g"], name="there"),
        helper.make_node("Gemm", ["g", "back"], ["h"], name="back", transB=1),
        helper.make_node(
            "Constant", [], ["inline"], value=numpy_helper.from_array(weights(8, 8, seed=7)), name="const"
        ),
        helper.make_node("MatMul", ["h", "inline"], ["i"], name="inline"),
        helper.make_node("Transpose", ["turned"], ["straight"], perm=[1, 0], name="turn"),
        helper.make_node("MatMul", ["i", "straight"], ["j"], name="turned"),
        helper.make_node("Identity", ["j"], ["k"], name="same"),
        helper.make_node("MatMul", ["k", "odd"], ["y"], name="odd"),
    ]
    constants = {
        "first": weights(4, 3, 1, 1), "second": weights(8, 4, 3, 3, seed=1), "depth": weights(8, 1, 1, 1, seed=2),
        "bias": weights(8, seed=3), "there": weights(8, 8, seed=4), "back": weights(8, 8, seed=5),
        "turned": weights(6, 8, seed=6), "odd": weights(6, 2, seed=8),
    }  # fmt: skip
    return model(nodes, [value("x", FLOAT, [1, 3, 8, 8])], [value("y", FLOAT, None)], constants)


def tensors(path: Path) -> dict[str, Any]:
    graph = onnx.load(path).graph
    found = {tensor.name: numpy_helper.to_array(tensor) for tensor in graph.initializer}
    for node in graph.node:
        if node.op_type == "Constant":
            found[node.output[0]] = numpy_helper.to_array(node.attribute[0].t)
    return found


def test_two_of_four_input_channels_are_zero_and_the_larger_two_stay(tmp_path: Path) -> None:
    given = source(products(), tmp_path / "in")
    made, report = prune(given, "2:4", 0.5, tmp_path / "work")
    before, after = tensors(given.path), tensors(made.path)
    axes = {"second": 1, "there": 0, "back": 1, "inline": 0, "turned": 1}
    assert {layer.name for layer in report.layers} == set(axes)
    assert set(report.skipped) == {"first", "depth", "odd"}
    for name, axis in axes.items():
        old = np.moveaxis(before[name], axis, -1).reshape(-1, 4)
        new = np.moveaxis(after[name], axis, -1).reshape(-1, 4)
        assert (np.count_nonzero(new, axis=1) == 2).all(), name
        for group, pruned in zip(old, new, strict=True):
            assert set(np.abs(pruned[pruned != 0])) == set(np.sort(np.abs(group))[2:])
    for name in ("first", "depth", "bias", "odd"):
        np.testing.assert_array_equal(before[name], after[name])
    zeros = sum(before[name].size // 2 for name in axes)
    assert report.zeroed == pytest.approx(zeros / sum(array.size for array in before.values()), abs=1e-6)
    assert all(layer.zeroed == 0.5 for layer in report.layers)
    run(made.path, {"x": np.ones((1, 3, 8, 8), np.float32)})


def test_magnitude_pruning_takes_the_smallest(tmp_path: Path) -> None:
    given = source(products(), tmp_path / "in")
    made, report = prune(given, "magnitude", 0.25, tmp_path / "work")
    before, after = tensors(given.path), tensors(made.path)
    for layer in report.layers:
        old, new = before[layer.name], after[layer.name]
        assert np.count_nonzero(new == 0) == old.size // 4
        assert np.abs(old[new == 0]).max(initial=0) <= np.abs(old[new != 0]).min()
    assert report.skipped == []


def test_weights_in_half_precision_and_outside_are_pruned(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    made = dense(np.float16)
    onnx.save(made, folder / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    given = Source(folder / "model.onnx", signature(folder / "model.onnx"))
    result, report = prune(given, "2:4", 0.5, tmp_path / "work")
    loaded = tensors(result.path)
    assert loaded["w"].dtype == np.float16
    assert np.count_nonzero(loaded["w"]) == loaded["w"].size // 2
    assert [layer.name for layer in report.layers] == ["w"]


def test_a_model_without_fitting_weights_is_told(tmp_path: Path) -> None:
    given = source(chain(("MatMul", "matmul", ["w"]), constants={"w": weights(4, 3)}), tmp_path / "in")
    made = chain(("Relu", "relu", []), constants={})
    prune(given, "2:4", 0.5, tmp_path / "work")
    with pytest.raises(ConversionFailed, match="it has none"):
        prune(source(made, tmp_path / "none"), "2:4", 0.5, tmp_path / "work")


# -- what they stand on -------------------------------------------------------------------------


def test_extremes_see_what_reductions_do_not(tmp_path: Path) -> None:
    """ONNX Runtime's ReduceMax passes over NaN and reports nothing odd."""
    steps = (("Log", "log", []), ("Identity", "same", []))
    made = load_model(write(chain(*steps, constants={}), tmp_path))
    feed = np.full((4, 4), np.e, np.float32)
    feed[1, 1], feed[2, 2] = -1.0, 0.0
    seen = extremes(made, tmp_path, [{"x": feed}])["t_log"]
    assert (seen.nan, seen.infinite) == (True, True)
    assert (seen.lowest, seen.highest) == pytest.approx((1.0, 1.0))
    plain = extremes(made, tmp_path, [{"x": np.full((4, 4), np.e, np.float32)}])["t_log"]
    assert (plain.nan, plain.infinite, plain.elements) == (False, False, 16)


def test_a_tensor_without_elements_has_no_extremes(tmp_path: Path) -> None:
    nodes = [helper.make_node("Compress", ["x", "none"], ["y"], name="compress")]
    made = model(nodes, [value("x", FLOAT, [4])], [value("y", FLOAT, None)], {"none": np.zeros(4, bool)})
    seen = extremes(load_model(write(made, tmp_path)), tmp_path, [{"x": np.ones(4, np.float32)}])
    assert seen["x"].seen
    assert not seen["y"].seen


def test_large_weights_go_beside_and_come_back(tmp_path: Path) -> None:
    made = chain(
        ("MatMul", "wide", ["w"]), ("MatMul", "back", ["v"]), constants={"w": weights(4, 400), "v": weights(400, 4)}
    )
    given = source(made, tmp_path / "in")
    files = save_model(load_model(given.path), given.folder, tmp_path / "out/model.onnx", inline=0)
    assert [file.name for file in files] == ["model.onnx", "model.onnx.data"]
    assert files[0].stat().st_size < 1000
    outside = Source(files[0], given.signature)
    feed = feeds_for(given)[0]
    true = run(given.path, feed)[0]
    np.testing.assert_array_equal(run(files[0], feed)[0], true)
    half, _ = cast(outside, Precision.FP16, [feed], tmp_path / "work")
    np.testing.assert_allclose(run(half.path, feed)[0], true, atol=1e-2)
    quantised, _ = quantize(outside, [feed], tmp_path / "work", Recipe())
    np.testing.assert_allclose(run(quantised.path, feed)[0], true, atol=5e-2)
    pruned, report = prune(outside, "2:4", 0.5, tmp_path / "work")
    assert report.zeroed == 0.5
    assert run(pruned.path, feed)[0].shape == (4, 4)


def test_lifting_keeps_weights_and_names_what_cannot_be_lifted(tmp_path: Path) -> None:
    given = source(chain(("MatMul", "matmul", ["w"]), constants={"w": weights(4, 40)}, opset=11), tmp_path / "in")
    made = lifted(given, 17, tmp_path / "work")
    assert made.signature.opsets[""] == 17
    assert [node.name for node in all_nodes(checked(made.path).graph)] == ["matmul"]
    feed = feeds_for(given)[0]
    np.testing.assert_array_equal(run(made.path, feed)[0], run(given.path, feed)[0])
    assert lifted(made, 13, tmp_path) is made
    old = model(
        [helper.make_node("Nonesuch", ["x"], ["y"])], [value("x", FLOAT, [1])], [value("y", FLOAT, [1])], {}, 11
    )
    with pytest.raises(UnsupportedOperator, match="operator set 11"):
        lifted(source(old, tmp_path / "old"), 17, tmp_path / "work")

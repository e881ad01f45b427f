"""Operations counted by hand, and of networks whose count is published."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from scheduler.inspection import inspect_model
from scheduler.inspection.flops import flops
from zoo import light_model
from zoo.fetch import model_path

FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64
Shape = list[int | str | None] | None


def model(
    nodes: list[onnx.NodeProto],
    inputs: dict[str, Shape],
    constants: dict[str, Any] | None = None,
    functions: list[onnx.FunctionProto] | None = None,
) -> onnx.ModelProto:
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, FLOAT, shape) for name, shape in inputs.items()],
        [helper.make_empty_tensor_value_info(nodes[-1].output[0])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in (constants or {}).items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("own", 1)]
    return helper.make_model(graph, opset_imports=opsets, functions=functions or [])


def w(*shape: int) -> np.ndarray:
    return np.zeros(shape, np.float32)


node = helper.make_node


@pytest.mark.parametrize(
    ("nodes", "inputs", "constants", "count"),
    [
        ([node("Conv", ["x", "w", "b"], ["y"], group=2, strides=[2, 2], pads=[1, 1, 1, 1])],
         {"x": [2, 4, 9, 7]}, {"w": w(6, 2, 3, 3), "b": w(6)}, 2 * (2 * 6 * 5 * 4) * (2 * 9)),
        ([node("ConvTranspose", ["x", "w"], ["y"], strides=[2, 2])],
         {"x": [1, 4, 5, 5]}, {"w": w(4, 3, 2, 2)}, 2 * (4 * 25) * (3 * 4)),
        ([node("Gemm", ["x", "w"], ["y"], transB=1)], {"x": [3, 8]}, {"w": w(5, 8)}, 2 * 3 * 8 * 5),
        ([node("Gemm", ["x", "w"], ["y"], transA=1)], {"x": [8, 3]}, {"w": w(8, 5)}, 2 * 3 * 8 * 5),
        ([node("MatMul", ["x", "w"], ["y"])], {"x": [2, 3, 4, 8]}, {"w": w(8, 5)}, 2 * 2 * 3 * 4 * 8 * 5),
        ([node("MatMul", ["x", "z"], ["y"])], {"x": [2, 1, 4, 8], "z": [3, 8, 5]}, {}, 2 * 2 * 3 * 4 * 8 * 5),
        ([node("MatMul", ["x", "w"], ["y"])], {"x": [8]}, {"w": w(8)}, 2 * 8),
        ([node("Einsum", ["x", "w"], ["y"], equation="bij, bjk -> bik")], {"x": [2, 3, 4]}, {"w": w(2, 4, 5)}, 2 * 120),
        ([node("LSTM", ["x", "w", "r"], ["y"], hidden_size=6, direction="bidirectional")],
         {"x": [7, 2, 5]}, {"w": w(2, 24, 5), "r": w(2, 24, 6)}, 2 * 7 * 2 * 2 * 24 * (5 + 6)),
        ([node("GRU", ["x", "w", "r"], ["y"], hidden_size=6)],
         {"x": [7, 2, 5]}, {"w": w(1, 18, 5), "r": w(1, 18, 6)}, 2 * 7 * 2 * 18 * (5 + 6)),
        ([node("RNN", ["x", "w", "r"], ["y"], hidden_size=6)],
         {"x": [7, 2, 5]}, {"w": w(1, 6, 5), "r": w(1, 6, 6)}, 2 * 7 * 2 * 6 * (5 + 6)),
        ([node("MatMul", ["x", "w"], ["y"])], {"x": ["batch", None, 8]}, {"w": w(8, 5)}, 2 * 8 * 5),
        ([node("MatMul", ["x", "w"], ["y"])], {"x": [3, "features"]}, {"w": w(8, 5)}, 2 * 3 * 8 * 5),
        ([node("Relu", ["x"], ["y"])], {"x": [3, 8]}, {}, None),
        ([node("MatMul", ["x", "w"], ["y"])], {"x": None}, {"w": w(8, 5)}, None),
        ([node("Mystery", ["x"], ["h"], domain="own"), node("MatMul", ["h", "w"], ["y"])],
         {"x": [3, 8]}, {"w": w(8, 5)}, None),
    ],
)  # fmt: skip
def test_by_hand(
    nodes: list[onnx.NodeProto], inputs: dict[str, Shape], constants: dict[str, Any], count: int | None
) -> None:
    assert flops(model(nodes, inputs, constants)) == count


def test_shapes_that_the_graph_computes() -> None:
    """x of [batch, 4, 6] becomes [batch * 4, 6] through Shape, Slice, Mul, Concat, as exporters write it."""
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "zero"], ["batch"]),
        node("Cast", ["batch"], ["batch32"], to=TensorProto.INT32),
        node("Mul", ["batch32", "four"], ["rows32"]),
        node("Cast", ["rows32"], ["rows"], to=INT64),
        node("Unsqueeze", ["rows", "axis"], ["rows1"]),
        node("Slice", ["s", "two", "three"], ["depth"]),
        node("Concat", ["rows1", "depth"], ["shape"], axis=0),
        node("Reshape", ["x", "shape"], ["flat"]),
        node("MatMul", ["flat", "w"], ["y"]),
    ]
    constants = {"zero": np.int64(0), "four": np.int32(4), "axis": np.array([0]), "two": np.array([2]),
                 "three": np.array([3]), "w": w(6, 5)}  # fmt: skip
    assert flops(model(nodes, {"x": ["batch", 4, 6]}, constants)) == 2 * 4 * 6 * 5
    assert flops(model(nodes, {"x": [3, 4, 6]}, constants)) == 2 * 3 * 4 * 6 * 5


def test_sizes_that_come_from_scales() -> None:
    nodes = [node("Resize", ["x", "", "scales"], ["big"], mode="nearest"), node("Conv", ["big", "w"], ["y"])]
    constants = {"scales": np.array([1, 1, 2, 2], np.float32), "w": w(3, 2, 1, 1)}
    assert flops(model(nodes, {"x": [1, 2, 5, 5]}, constants)) == 2 * 3 * 100 * 2


def branch(name: str, size: int) -> onnx.GraphProto:
    return helper.make_graph(
        [node("MatMul", ["x", f"w{name}"], [name])],
        name,
        [],
        [helper.make_tensor_value_info(name, FLOAT, [3, size])],
        [numpy_helper.from_array(w(8, size), f"w{name}")],
    )


def test_of_two_branches_the_larger_counts() -> None:
    nodes = [
        node("If", ["c"], ["h"], then_branch=branch("small", 2), else_branch=branch("large", 9)),
        node("Relu", ["h"], ["y"]),
    ]
    assert flops(model(nodes, {"x": [3, 8]}, {"c": np.bool_(True)})) == 2 * 3 * 8 * 9


def test_a_loop_that_multiplies_cannot_be_counted() -> None:
    body = helper.make_graph(
        [node("MatMul", ["v", "w"], ["out"]), node("Identity", ["cond"], ["again"])],
        "body",
        [helper.make_tensor_value_info("i", INT64, []), helper.make_tensor_value_info("cond", TensorProto.BOOL, []),
         helper.make_tensor_value_info("v", FLOAT, [8, 8])],
        [helper.make_tensor_value_info("again", TensorProto.BOOL, []),
         helper.make_tensor_value_info("out", FLOAT, [8, 8])],
    )  # fmt: skip
    nodes = [node("Loop", ["n", "", "x"], ["y"], body=body)]
    assert flops(model(nodes, {"x": [8, 8]}, {"n": np.int64(5), "w": w(8, 8)})) is None


def test_functions_are_written_out() -> None:
    function = helper.make_function(
        "own", "Dense", ["a", "b"], ["c"], [node("MatMul", ["a", "b"], ["c"])], [helper.make_opsetid("", 17)]
    )
    nodes = [node("Dense", ["x", "w"], ["h"], domain="own"), node("Dense", ["h", "v"], ["y"], domain="own")]
    made = model(nodes, {"x": [3, 8]}, {"w": w(8, 5), "v": w(5, 4)}, [function])
    before = made.SerializeToString()
    assert flops(made) == 2 * 3 * (8 * 5 + 5 * 4)
    assert made.SerializeToString() == before


def test_external_weights_need_not_be_there() -> None:
    made = model([node("MatMul", ["x", "w"], ["y"])], {"x": [3, 8]}, {"w": w(8, 5)})
    tensor = made.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    assert flops(made) == 2 * 3 * 8 * 5


@pytest.mark.parametrize(
    ("name", "published"),
    [("resnet50", 4.09e9), ("vgg19", 19.63e9), ("bvlc_alexnet", 0.655e9), ("squeezenet", 0.349e9)],
)
def test_multiply_adds_of_known_networks(name: str, published: float) -> None:
    found = flops(onnx.load(light_model(name)))
    assert found == pytest.approx(2 * published, rel=0.01)


def test_a_real_detector() -> None:
    made = onnx.load(model_path("ppocr-det"))
    assert flops(made)


def test_inspection_tells_it(tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    made = model([node("MatMul", ["x", "w"], ["y"])], {"x": [3, 8]}, {"w": w(8, 5)})
    made.graph.output[0].CopyFrom(helper.make_tensor_value_info("y", FLOAT, [3, 5]))
    file.write_bytes(made.SerializeToString())
    assert inspect_model([("model.onnx", file)]).flops == 240


@pytest.mark.parametrize(
    "nodes",
    [
        [node("Shape", [], ["y"])],
        [node("Conv", ["x"], ["y"])],
        [node("Constant", [], ["y"])],
        [node("Gemm", ["x", "x"], [])],
        [node("Einsum", ["x", "x"], ["y"], equation="...ij,jk")],
        [node("MatMul", ["nowhere", "x"], ["y"])],
        [node("LSTM", ["x", "x", "x"], ["y"])],
    ],
)
def test_graphs_that_are_wrong_have_no_count(nodes: list[onnx.NodeProto]) -> None:
    made = onnx.ModelProto()
    made.graph.node.extend(nodes)
    made.graph.input.append(helper.make_tensor_value_info("x", FLOAT, [2, 3]))
    assert flops(made) is None
    assert flops(onnx.ModelProto()) is None

"""Small ONNX models, one per thing that LiteRT's backend must cope with, and a look into a .tflite file."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from contract.backends_models import model, value, weights
from onnx import TensorProto, helper

from workers.backends.litert.flatbuffer import kind, operator, unpacked


def block() -> Any:
    """Convolution, batch norm and ReLU, with an open batch."""
    return model(
        [
            helper.make_node("Conv", ["x", "w"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("BatchNormalization", ["c", "s", "b", "m", "v"], ["n"], name="bn"),
            helper.make_node("Relu", ["n"], ["r"], name="relu"),
            helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
            helper.make_node("Flatten", ["p"], ["y"], name="flat"),
        ],
        [value("x", TensorProto.FLOAT, ["n", 3, 12, 16])],
        [value("y", TensorProto.FLOAT, ["n", 8])],
        {
            "w": weights(8, 3, 3, 3),
            "s": weights(8, seed=1),
            "b": weights(8, seed=2),
            "m": weights(8, seed=3),
            "v": np.abs(weights(8, seed=4)) + 0.5,
        },
    )


def gelu() -> Any:
    """A dense layer and GELU as exporters write it: five nodes."""
    return model(
        [
            helper.make_node("MatMul", ["x", "w"], ["a"], name="matmul"),
            helper.make_node("Div", ["a", "root"], ["d"], name="div"),
            helper.make_node("Erf", ["d"], ["e"], name="erf"),
            helper.make_node("Add", ["e", "one"], ["p"], name="plus"),
            helper.make_node("Mul", ["a", "p"], ["q"], name="times"),
            helper.make_node("Mul", ["q", "half"], ["g"], name="half"),
            helper.make_node("MatMul", ["g", "w"], ["y"], name="last"),
        ],
        [value("x", TensorProto.FLOAT, ["n", 16])],
        [value("y", TensorProto.FLOAT, ["n", 16])],
        {
            "w": weights(16, 16),
            "root": np.float32(np.sqrt(2)),
            "one": np.float32(1),
            "half": np.float32(0.5),
        },
    )


def cubic() -> Any:
    """A resize whose weights depend on sizes that are open."""
    return model(
        [
            helper.make_node("Resize", ["x", "", "scales"], ["r"], name="resize", mode="cubic"),
            helper.make_node("Relu", ["r"], ["y"], name="relu"),
        ],
        [value("x", TensorProto.FLOAT, ["n", 2, "height", "width"])],
        [value("y", TensorProto.FLOAT, None)],
        {"scales": np.array([1, 1, 1.5, 2], np.float32)},
    )


def odd_names() -> Any:
    """Names that TensorFlow would refuse, inputs against the alphabet, one that nothing reads, and twice one result."""
    return model(
        [
            helper.make_node("Add", ["/z:0", "a@b"], ["sum;1"], name="/block.0/Add@0:1"),
            helper.make_node("Identity", ["sum;1"], ["sum;2"], name="süm ;n0_x"),
            helper.make_node("Identity", ["/z:0"], ["same"], name=""),
        ],
        [value(name, TensorProto.FLOAT, [2, 3]) for name in ("/z:0", "unread", "a@b")],
        [value(name, TensorProto.FLOAT, [2, 3]) for name in ("sum;2", "same", "sum;1")],
        {},
    )


def shifted() -> Any:
    """An operator that is known and that TensorFlow Lite has no kernel for."""
    return model(
        [
            helper.make_node("BitShift", ["x", "by"], ["s"], name="shift", direction="LEFT"),
            helper.make_node("Cast", ["s"], ["y"], name="cast", to=TensorProto.FLOAT),
        ],
        [value("x", TensorProto.UINT32, [4])],
        [value("y", TensorProto.FLOAT, [4])],
        {"by": np.array([1, 2, 3, 4], np.uint32)},
    )


def branches() -> Any:
    """All weights in the two branches of an If."""

    def branch(name: str, weight: str) -> Any:
        nodes = [helper.make_node("MatMul", ["x", weight], [f"{name}_y"], name=f"{name}_matmul")]
        return helper.make_graph(nodes, name, [], [value(f"{name}_y", TensorProto.FLOAT, [1, 64])])

    return model(
        [
            helper.make_node("If", ["first"], ["y"], name="if", then_branch=branch("then", "w"),
                             else_branch=branch("other", "v")),
        ],
        [value("x", TensorProto.FLOAT, [1, 64]), value("first", TensorProto.BOOL, [])],
        [value("y", TensorProto.FLOAT, [1, 64])],
        {"w": weights(64, 64), "v": weights(64, 64, seed=1)},
    )  # fmt: skip


def operators(path: Path) -> Counter[str]:
    """Type to count in the main subgraph."""
    found = unpacked(path.read_bytes())
    return Counter(operator(found, op) for op in found.subgraphs[0].operators)


def ports(path: Path) -> dict[str, str]:
    """Name and element type of each input and output."""
    graph = unpacked(path.read_bytes()).subgraphs[0]
    return {graph.tensors[i].name.decode(): kind(graph.tensors[i]) for i in (*graph.inputs, *graph.outputs)}

"""Small ONNX models, generated: one per thing that a backend or the input generator must cope with."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from enginehouse.capability import Hardware
from enginehouse.request import Recipe
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.targets import parse_target
from workers.pipeline import Order
from workers.pipeline.source import nodes

HARDWARE = Hardware(hardware_class="cpu-test", tags=["cpu"], cpu_model="test", cores=1, memory_mb=1024)
LIGHT = Path(onnx.__file__).parent / "backend/test/data"


def weights(*shape: int, seed: int = 0, scale: float = 0.2) -> np.ndarray[Any, Any]:
    return (np.random.default_rng(seed).standard_normal(shape) * scale).astype(np.float32)


def model(
    graph_nodes: list[Any], inputs: list[Any], outputs: list[Any], constants: dict[str, Any], opset: int = 17, **kw: Any
) -> Any:
    initial = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(graph_nodes, "test", inputs, outputs, initial)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9, **kw)


def value(name: str, kind: int, shape: list[Any] | None) -> Any:
    return helper.make_tensor_value_info(name, kind, shape)


def convolution() -> Any:
    """A picture in (batch, height and width free), ten probabilities out."""
    return model(
        [
            helper.make_node("Conv", ["x", "w", "b"], ["c"], name="conv", pads=[1, 1, 1, 1]),
            helper.make_node("Relu", ["c"], ["r"], name="relu"),
            helper.make_node("GlobalAveragePool", ["r"], ["p"], name="pool"),
            helper.make_node("Flatten", ["p"], ["f"], name="flat"),
            helper.make_node("MatMul", ["f", "m"], ["l"], name="matmul"),
            helper.make_node("Softmax", ["l"], ["y"], name="softmax"),
        ],
        [value("x", TensorProto.FLOAT, ["n", 3, "h", "w"])],
        [value("y", TensorProto.FLOAT, ["n", 10])],
        {"w": weights(8, 3, 3, 3), "b": weights(8, seed=1), "m": weights(8, 10, seed=2)},
    )


def dense(kind: type[np.floating[Any]]) -> Any:
    """One dense layer, its weights, input and output in this element type."""
    element = helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    return model(
        [helper.make_node("Gemm", ["x", "w", "b"], ["y"], name="gemm")],
        [value("x", element, ["n", 32])],
        [value("y", element, ["n", 8])],
        {"w": weights(32, 8).astype(kind), "b": weights(8, seed=1).astype(kind)},
    )


def embedding() -> Any:
    """Token ids in, an index and a vector out: integers in range, an integer output."""
    return model(
        [
            helper.make_node("Gather", ["table", "ids"], ["e"], name="lookup"),
            helper.make_node("Cast", ["mask"], ["fmask"], to=TensorProto.FLOAT, name="cast"),
            helper.make_node("Unsqueeze", ["fmask", "two"], ["wide"], name="wide"),
            helper.make_node("Mul", ["e", "wide"], ["masked"], name="mul"),
            helper.make_node("ReduceMean", ["masked"], ["v"], axes=[1], keepdims=0, name="mean"),
            helper.make_node("ArgMax", ["v"], ["best"], axis=1, keepdims=0, name="best"),
        ],
        [value("ids", TensorProto.INT64, ["batch", "tokens"]), value("mask", TensorProto.INT64, ["batch", "tokens"])],
        [value("v", TensorProto.FLOAT, ["batch", 16]), value("best", TensorProto.INT64, ["batch"])],
        {"table": weights(37, 16, scale=1.0), "two": np.array([2], np.int64)},
    )


def recurrent() -> Any:
    """A step with state, a sample rate that must be 16000 and a boolean."""
    then = helper.make_graph(
        [helper.make_node("Identity", ["sum"], ["then_out"])],
        "then",
        [],
        [value("then_out", TensorProto.FLOAT, [1, 4])],
    )
    otherwise = helper.make_graph(
        [helper.make_node("Neg", ["sum"], ["else_out"])], "else", [], [value("else_out", TensorProto.FLOAT, [1, 4])]
    )
    return model(
        [
            helper.make_node("Add", ["x", "state"], ["sum"], name="add"),
            helper.make_node("Equal", ["sr", "rate"], ["same"], name="equal"),
            helper.make_node("If", ["same"], ["y"], then_branch=then, else_branch=otherwise, name="if"),
            helper.make_node("Identity", ["sum"], ["state_out"], name="next"),
        ],
        [
            value("x", TensorProto.FLOAT, [1, 4]),
            value("state", TensorProto.FLOAT, [1, 4]),
            value("sr", TensorProto.INT64, []),
        ],
        [value("y", TensorProto.FLOAT, [1, 4]), value("state_out", TensorProto.FLOAT, [1, 4])],
        {"rate": np.array(16000, np.int64)},
    )


def unknown_operator() -> Any:
    """A node of a domain that nobody knows."""
    made = model(
        [helper.make_node("Frobnicate", ["x"], ["y"], domain="com.acme", name="frob")],
        [value("x", TensorProto.FLOAT, [1, 4])],
        [value("y", TensorProto.FLOAT, [1, 4])],
        {},
    )
    made.opset_import.append(helper.make_opsetid("com.acme", 1))
    return made


def nested_if() -> Any:
    """An If whose outputs have no static rank, behind it a convolution: what OpenVINO cannot convert."""

    def branch(name: str, operators: list[Any], output: str) -> Any:
        return helper.make_graph(operators, name, [], [value(output, TensorProto.FLOAT, None)])

    flat = branch("flat", [helper.make_node("Flatten", ["x"], ["a"])], "a")
    same = branch("same", [helper.make_node("Identity", ["x"], ["b"])], "b")
    return model(
        [
            helper.make_node("If", ["choose"], ["z"], then_branch=flat, else_branch=same, name="if"),
            helper.make_node("Conv", ["z", "w"], ["y"], name="conv"),
        ],
        [value("x", TensorProto.FLOAT, [1, 3, 8, 8]), value("choose", TensorProto.BOOL, [])],
        [value("y", TensorProto.FLOAT, None)],
        {"w": weights(4, 3, 3, 3)},
    )


GOOD = {"convolution": convolution, "embedding": embedding, "recurrent": recurrent}


def write(made: Any, folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "model.onnx"
    path.write_bytes(made.SerializeToString())
    return path


def signature(path: Path) -> ModelSignature:
    """What the farm's inspection would say, as far as the pipeline looks at it."""
    loaded = onnx.load(path, load_external_data=False)
    weight_names = {tensor.name for tensor in loaded.graph.initializer}

    def spec(one: Any) -> TensorSpec:
        kind = one.type.tensor_type
        dims = [d.dim_value if d.HasField("dim_value") else (d.dim_param or None) for d in kind.shape.dim]
        return TensorSpec(name=one.name, dtype=str(helper.tensor_dtype_to_np_dtype(kind.elem_type)), shape=dims)

    return ModelSignature(
        format="onnx",
        ir_version=loaded.ir_version,
        inputs=[spec(one) for one in loaded.graph.input if one.name not in weight_names],
        outputs=[spec(one) for one in loaded.graph.output],
        operators=dict(Counter(node.op_type for node in nodes(loaded.graph))),
    )


def order(path: Path, target: str, work: Path, **recipe: Any) -> Order:
    """An order for one build, quick: a short benchmark on one thread."""
    work.mkdir(parents=True, exist_ok=True)
    dataset = recipe.pop("dataset_path", None)
    options = recipe.pop("options", {})
    wanted = parse_target(target).model_copy(update={"options": options})
    return Order(
        recipe=Recipe(model="0" * 64, target=wanted, **recipe),
        signature=signature(path),
        model=path,
        dataset=dataset,
        dataset_name="samples@1" if dataset else None,
        work=work,
        hardware=HARDWARE,
        threads=1,
        benchmark_s=0.05,
    )

"""The precision as types in the graph that TensorRT gets, as far as that can be looked at without TensorRT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from contract.backends_models import convolution, dense, embedding, model, order, value, weights, write
from onnx import TensorProto, helper

from enginehouse.errors import BoundsRequired, DatasetRequired, InvalidOption, UnknownPrecision
from enginehouse.targets import parse_target
from workers.backends import get
from workers.backends.tensorrt.typed import Typed, look, typed
from workers.backends.workpiece import Source, Workpiece
from workers.pipeline.samples import OrderSamples


def piece(path: Path, target: str, work: Path, **recipe: Any) -> Workpiece:
    told = order(path, target, work, **recipe)
    source = Source(path, told.signature)
    options = get("tensorrt").options.model_validate(told.recipe.target.options)
    return Workpiece(
        source=source,
        target=told.recipe.target,
        options=options,
        work=work,
        samples=OrderSamples(told, source, 1),
        shapes=told.recipe.shapes,
        profiles=told.recipe.profiles,
    )


def made(target: str, tmp_path: Path, **options: Any) -> tuple[Typed, Any, Workpiece]:
    path = write(convolution(), tmp_path / "in")
    told = piece(path, target, tmp_path / "work", options={"calibration": "generated", **options})
    found = typed(told)
    loaded = onnx.load(found.path)
    onnx.checker.check_model(loaded, full_check=True)
    inferred = onnx.shape_inference.infer_shapes(loaded, strict_mode=True)
    for name in ("x", "y"):
        (tensor,) = [one for one in (*loaded.graph.input, *loaded.graph.output) if one.name == name]
        assert tensor.type.tensor_type.elem_type == TensorProto.FLOAT
    return found, inferred, told


def types(inferred: Any) -> dict[str, int]:
    graph = inferred.graph
    found = {one.name: one.type.tensor_type.elem_type for one in (*graph.value_info, *graph.input, *graph.output)}
    return found | {tensor.name: tensor.data_type for tensor in graph.initializer}


def of(inferred: Any, operator: str) -> list[Any]:
    return [node for node in inferred.graph.node if node.op_type == operator]


def maker(inferred: Any, tensor: str) -> Any:
    return next((node for node in inferred.graph.node if tensor in node.output), None)


@pytest.mark.parametrize("precision", ["fp32", "tf32"])
def test_float32_leaves_the_graph_as_it_is(precision: str, tmp_path: Path) -> None:
    found, _, told = made(f"tensorrt:{precision}", tmp_path)
    assert found == Typed(told.source.path, frozenset(), frozenset({"fp32"}), frozenset())


@pytest.mark.parametrize(("precision", "kind"), [("fp16", TensorProto.FLOAT16), ("bf16", TensorProto.BFLOAT16)])
def test_half_is_cast_behind_inputs_and_outputs_that_stay(precision: str, kind: int, tmp_path: Path) -> None:
    found, inferred, _ = made(f"tensorrt:{precision}", tmp_path)
    known = types(inferred)
    for operator in ("Conv", "MatMul"):
        (node,) = of(inferred, operator)
        assert {known[name] for name in (*node.input, *node.output)} == {kind}
    assert found.kept_float == frozenset()


def test_nodes_that_are_to_stay_in_float(tmp_path: Path) -> None:
    found, inferred, told = made("tensorrt:fp16", tmp_path, keep_float=["matmul"], keep_float_types=["Softmax"])
    known = types(inferred)
    (matmul,), (softmax,), (conv,) = (of(inferred, operator) for operator in ("MatMul", "Softmax", "Conv"))
    assert known[matmul.output[0]] == known[softmax.output[0]] == TensorProto.FLOAT
    assert known[conv.output[0]] == TensorProto.FLOAT16
    assert found.kept_float == {"matmul", "softmax"}
    assert told.notes.kept_float == ["matmul", "softmax"]
    with pytest.raises(InvalidOption, match="no node 'nowhere'"):
        made("tensorrt:fp16", tmp_path / "other", keep_float=["nowhere"])


@pytest.mark.parametrize("rest", ["fp32", "fp16", "bf16"])
@pytest.mark.parametrize(("precision", "kind"), [("int8", TensorProto.INT8), ("fp8", TensorProto.FLOAT8E4M3FN)])
def test_weighted_operators_take_what_dequantize_gives(precision: str, kind: int, rest: str, tmp_path: Path) -> None:
    found, inferred, told = made(f"tensorrt:{precision}", tmp_path, float_type=rest)
    half = {"fp32": TensorProto.FLOAT, "fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}[rest]
    known = types(inferred)
    for operator in ("Conv", "MatMul"):
        (node,) = of(inferred, operator)
        for name in node.input[:2]:
            dequantize = maker(inferred, name)
            # A cast in between would keep TensorRT from computing in eight bits.
            assert dequantize.op_type == "DequantizeLinear", (operator, name)
            assert known[dequantize.input[0]] == kind
            assert known[name] == half
        assert known[node.output[0]] == half
    for node in of(inferred, "QuantizeLinear"):
        (zero,) = [one for one in inferred.graph.initializer if one.name == node.input[2]]
        assert zero.data_type == kind
        if precision == "int8":
            assert not onnx.numpy_helper.to_array(zero).any()  # symmetric: TensorRT takes no other zero point
    calibration = told.notes.calibration
    assert calibration is not None
    assert (calibration.origin, calibration.method) == ("generated", "MinMax")
    assert found.source_types == {"fp32"}


def test_what_is_quantised_and_half_computes_what_the_model_does(tmp_path: Path) -> None:
    found, _, told = made("tensorrt:int8", tmp_path)
    feeds = {"x": np.random.default_rng(3).random((2, 3, 16, 16), np.float32)}
    (got,), (true,) = (
        onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"]).run(None, feeds)
        for path in (found.path, told.source.path)
    )
    assert got.dtype == np.float32
    assert np.abs(got - true).max() < 0.01


@pytest.mark.parametrize("precision", ["int8", "fp8"])
def test_without_a_dataset_nothing_is_made_up(precision: str, tmp_path: Path) -> None:
    told = piece(write(convolution(), tmp_path / "in"), f"tensorrt:{precision}", tmp_path / "work")
    with pytest.raises(DatasetRequired):
        typed(told)


def test_a_model_tells_its_types_and_the_inputs_that_nothing_reads(tmp_path: Path) -> None:
    assert look(write(dense(np.float16), tmp_path / "half")) == ({"fp32", "fp16"}, frozenset())
    assert look(write(embedding(), tmp_path / "integers")) == ({"fp32"}, frozenset())
    idle = model(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [value("x", TensorProto.FLOAT, [1, 4]), value("idle", TensorProto.FLOAT, [1])],
        [value("y", TensorProto.FLOAT, [1, 4])],
        {"w": weights(4, 4)},
    )
    assert look(write(idle, tmp_path / "idle")) == ({"fp32"}, {"idle"})


def test_what_nothing_bounds_is_refused_before_anything_is_loaded(tmp_path: Path) -> None:
    backend = get("tensorrt")
    told = piece(write(convolution(), tmp_path / "in"), "tensorrt:int8", tmp_path / "work")
    with pytest.raises(BoundsRequired) as caught:
        backend.read(told)
    assert caught.value.where["dimensions"] == ["x[0] n", "x[2] h", "x[3] w"]


def test_what_the_backend_says_of_itself() -> None:
    backend = get("tensorrt")
    assert (backend.bounds, backend.tags, backend.start_method) == (True, ("nvidia-gpu",), "exec")
    for precision in ("fp32", "tf32", "fp16", "bf16", "int8", "fp8"):
        assert backend.check(parse_target(f"tensorrt:{precision}"), "onnx")
    with pytest.raises(UnknownPrecision):
        backend.check(parse_target("tensorrt:int4"), "onnx")
    both = {"version_compatible": True, "strip_plan": True}
    target = parse_target("tensorrt:fp16").model_copy(update={"options": both})
    with pytest.raises(InvalidOption, match="lean runtime"):
        backend.check(target, "onnx")

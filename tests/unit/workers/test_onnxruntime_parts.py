"""What of the ONNX Runtime backend and the stages needs no runtime: names, times, texts."""

from __future__ import annotations

import ast
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from enginehouse.errors import CompileFailed, UnsupportedOperator
from workers.backends.onnxruntime.explain import named as with_names
from workers.backends.onnxruntime.explain import table
from workers.backends.onnxruntime.failures import named
from workers.backends.onnxruntime.lineage import Node, composed, follow, read, source_names, trace, write
from workers.backends.onnxruntime.lower import sums_saturate
from workers.stages import embed
from workers.stages.sparsity import smallest, two_of_four

PURE = ["graph", "versions", "operators", "ranges", "casting", "sparsity", "qdq"]


def node(name: str, kind: str, inputs: str, outputs: str) -> Node:
    return Node(name, kind, tuple(inputs.split()), tuple(outputs.split()))


SOURCE = [
    node("conv", "Conv", "x w", "c"),
    node("bn", "BatchNormalization", "c s b m v", "n"),
    node("relu", "Relu", "n", "r"),
    node("pool", "GlobalAveragePool", "r", "p"),
    node("cast", "Cast", "p", "q"),
    node("dense", "Gemm", "q k", "y"),
]


@pytest.mark.parametrize(
    ("executed", "expected"),
    [
        pytest.param(node("conv", "FusedConv", "x w2", "r"), ["conv", "bn", "relu"], id="fused"),
        pytest.param(node("r_nchwc", "Conv", "x reorder", "token_0"), ["conv", "bn", "relu"], id="laid out anew"),
        pytest.param(
            node("InsertedPrecisionFreeCast_r_nchwc", "Conv", "x w", "token_0"),
            ["conv", "bn", "relu"],
            id="without casts",
        ),
        pytest.param(node("relu_token_7", "Relu", "n", "token_1"), ["relu"], id="numbered"),
        pytest.param(node("ReorderOutput", "ReorderOutput", "token_0", "r"), [], id="a layout is nobody's work"),
        pytest.param(node("c_QuantizeLinear", "QuantizeLinear", "x", "c"), [], id="nor is a quantisation"),
        pytest.param(node("cast", "Cast", "p", "q"), ["cast"], id="a cast of the model's own is"),
        pytest.param(node("other", "Other", "a", "b"), [], id="unknown"),
    ],
)
def test_what_an_executed_node_stands_for(executed: Node, expected: list[str]) -> None:
    around = [node("pool", "GlobalAveragePool", "r", "p"), node("n", "Input", "", "x")]
    border = [node("bn", "BatchNormalization", "c s", "n")] if executed.name.startswith("relu") else []
    assert trace([executed, *around, *border], SOURCE).get(executed.name, []) == expected


def test_a_node_ends_where_another_begins() -> None:
    executed = [node("conv", "Conv", "x w", "n"), node("relu", "Relu", "n", "r"), node("rest", "Fused", "r k", "y")]
    assert trace(executed, SOURCE) == {"conv": ["conv", "bn"], "relu": ["relu"], "rest": ["pool", "cast", "dense"]}


def test_names_go_through_every_stage(tmp_path: Path) -> None:
    from onnx import helper

    def graph(*nodes: Any) -> Any:
        return helper.make_model(helper.make_graph(list(nodes), "g", [], []))

    first = graph(
        helper.make_node("Conv", ["x", "w"], ["c"], name="conv"), helper.make_node("Relu", ["c"], ["r"], name="relu")
    )
    write(tmp_path, first)
    follow(tmp_path, graph(helper.make_node("FusedConv", ["x", "w"], ["r"], name="fused")))
    follow(
        tmp_path,
        graph(
            helper.make_node("Cast", ["x"], ["x.half"], name="x/cast"),
            helper.make_node("FusedConv", ["x.half", "w"], ["r.half"], name="fused"),
            helper.make_node("Cast", ["r.half"], ["r"], name="r/cast"),
        ),
    )
    nodes, origin = read(tmp_path)
    assert [each.name for each in nodes] == ["x/cast", "fused", "r/cast"]
    assert origin["fused"] == ["conv", "relu"]
    assert source_names(["fused", "own"], origin) == ["conv", "relu", "own"]
    assert composed({"a": ["b", "c"]}, {"b": ["x"], "c": ["x", "y"]}) == {"a": ["x", "y"]}


def event(name: str, begin: int, length: int, kind: str = "Node", **args: Any) -> dict[str, Any]:
    whole = f"{name}_kernel_time" if kind == "Node" else name
    return {"cat": kind, "name": whole, "ts": begin, "dur": length, "args": {"op_name": name.title(), **args}}


def test_times_are_per_inference_and_a_branch_counts_once() -> None:
    events = []
    for number, scale in enumerate((50, 1, 3)):  # the first inference is warm-up
        at = number * 10_000
        events += [event("model_run", at, 9000, "Session")]
        events += [
            event("if", at + 10, 100 * scale),
            event("conv", at + 20, 60 * scale),
            event("add", at + 20 + 60 * scale, 10),
        ]
        events += [event("conv", at + 6000, 20)]
    layers = {layer.name: layer for layer in table(events, {"conv": ["c", "r"], "add": ["add"]})}
    assert layers["conv"].time_us == (60 + 20 + 180 + 20) / 2
    assert layers["add"].time_us == 10
    assert layers["if"].time_us == (100 - 60 - 10 + 300 - 180 - 10) / 2
    assert (layers["conv"].fused, layers["add"].fused) == (["c", "r"], [])


def test_precisions_of_layers() -> None:
    floats = {"output_type_shape": [{"float16": [1]}]}
    events = [event("a", 0, 1, **floats), event("b", 2, 1, op_name="QLinearConv"), event("c", 4, 1)]
    assert [layer.precision for layer in table(events, {})] == ["float16", "int8", ""]


def test_nodes_without_names_are_called_as_in_the_profile() -> None:
    nodes = [node("", "Exp", "a", "b"), node("", "Div", "b", "c"), node("", "Exp", "c", "d"), node("", "Sub", "d", "e")]
    events = [event(name, 0, 1) for name in ("Exp_10", "Exp_9", "Div_3", "Sub_1", "Sub_2", "conv_1")]
    assert [each.name for each in with_names(nodes, events)] == ["Exp_9", "Div_3", "Exp_10", ""]


@pytest.mark.parametrize(
    ("message", "kind", "where"),
    [
        (
            "NOT_IMPLEMENTED : Could not find an implementation for Relu(14) node with name 'act'",
            UnsupportedOperator,
            {"operators": ["Relu"], "nodes": ["act"]},
        ),
        (
            "FAIL : Fatal error: com.acme:Frobnicate(-1) is not a registered function/op",
            UnsupportedOperator,
            {"operators": ["com.acme:Frobnicate"], "nodes": []},
        ),
        (
            "FAIL : Non-zero status code returned while running Conv node. Name:'/a/conv' Status Message: C: 3",
            CompileFailed,
            {"operators": ["Conv"], "nodes": ["/a/conv"]},
        ),
        (
            'INVALID_GRAPH : In Node, ("r1", Add, "", -1) : ("x": tensor(float),) , Error Node(r1) has input size 3',
            CompileFailed,
            {"operators": ["Add"], "nodes": ["r1"]},
        ),
        (
            "FAIL : Node (/model/exp) Op (Expand) [ShapeInferenceError] Incompatible dimensions",
            CompileFailed,
            {"operators": ["Expand"], "nodes": ["/model/exp"]},
        ),
        (
            "Type Error: Type 'tensor(int8)' of input parameter (x) of operator (Conv) in node (my conv) is invalid.",
            CompileFailed,
            {"operators": ["Conv"], "nodes": ["my conv"]},
        ),
        ("something else", CompileFailed, {}),
    ],
)
def test_errors_name_the_place(message: str, kind: type[Exception], where: dict[str, Any]) -> None:
    found = named(RuntimeError(f"[ONNXRuntimeError] : 1 : {message}"), CompileFailed)
    assert type(found) is kind
    assert found.where == where


def test_saturation_is_told_by_the_processors_flags(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def flags(text: str) -> None:
        monkeypatch.setattr(Path, "read_text", lambda self: f"processor : 0\nflags : {text}\n")

    flags("sse4_1 avx2 fma")
    assert sums_saturate()
    flags("avx2 avx512f avx512_vnni")
    assert not sums_saturate()
    flags("asimd")
    assert not sums_saturate()


@pytest.mark.parametrize("kind", [np.float32, np.float16, np.float64])
@pytest.mark.parametrize("axis", [0, 1, 2])
def test_every_four_neighbours_keep_their_larger_two(axis: int, kind: Any) -> None:
    values = np.random.default_rng(axis).standard_normal((8, 4, 12)).astype(kind)
    before = values.copy()
    pruned = two_of_four(values, axis)
    np.testing.assert_array_equal(values, before)
    assert (pruned.shape, pruned.dtype) == (values.shape, values.dtype)
    for old, new in zip(
        np.moveaxis(values, axis, -1).reshape(-1, 4), np.moveaxis(pruned, axis, -1).reshape(-1, 4), strict=True
    ):
        kept = np.argsort(np.abs(old))[2:]
        assert set(np.flatnonzero(new)) == set(kept)
        np.testing.assert_array_equal(new[kept], old[kept])


def test_among_equals_as_many_go_as_are_asked_for() -> None:
    values = np.ones((4, 5), np.float32)
    assert np.count_nonzero(smallest(values, 0.35) == 0) == 7
    assert np.count_nonzero(smallest(values, 0.01) == 0) == 0
    assert np.count_nonzero(smallest(np.array([3.0, -1.0, 2.0, 0.5]), 0.5)) == 2


def test_embedded_stages_are_one_script_that_needs_the_toolchain_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    text = embed.embedded(*PURE)
    tree = ast.parse(text)
    imported = {
        (each.module if isinstance(each, ast.ImportFrom) else alias.name).split(".")[0]  # type: ignore[union-attr]
        for each in ast.walk(tree)
        if isinstance(each, ast.Import | ast.ImportFrom)
        for alias in each.names
    }
    assert imported <= {
        "numpy",
        "onnx",
        "onnxruntime",
        "ml_dtypes",
        "pathlib",
        "typing",
        "collections",
        "dataclasses",
        "functools",
        "math",
    }
    defined: dict[str, str] = {}
    for name in PURE:
        for each in ast.parse((Path(embed.__file__).with_name(f"{name}.py")).read_text()).body:
            for one, what in names_of(each, name):
                assert defined.setdefault(one, what) == what, f"{one} is {defined[one]} and {what}"
    script = types.ModuleType("embedded")
    monkeypatch.setitem(sys.modules, "embedded", script)
    exec(compile("from __future__ import annotations\n" + text, "embedded", "exec"), vars(script))
    assert callable(script.cast_model)
    assert callable(script.prune_model)


def names_of(statement: ast.stmt, module: str) -> list[tuple[str, str]]:
    """What a statement of a module defines or imports, and whose it is."""
    if isinstance(statement, ast.ImportFrom):
        own = str(statement.module).startswith(("workers.", "__future__"))
        return [] if own else [(one.asname or one.name, str(statement.module)) for one in statement.names]
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [(statement.name, module)]
    if isinstance(statement, ast.Assign):
        return [(target.id, module) for target in statement.targets if isinstance(target, ast.Name)]
    return []

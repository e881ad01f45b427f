"""The pure parts of LiteRT's backend: kernels to operators, tensors to nodes, sizes, names, halves."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from enginehouse.errors import BoundsRequired, ConversionFailed, ModelUnreadable, PrecisionNotKept
from enginehouse.shapes import ShapeRange
from enginehouse.signature import ModelSignature, TensorSpec
from enginehouse.targets import Precision
from workers.backends.litert import kept, lineage, names, shapes
from workers.backends.litert.embedded import embedded
from workers.backends.litert.flatbuffer import packed, unpacked
from workers.backends.litert.half import halve
from workers.backends.litert.kernels import Event, assigned, precision
from workers.backends.litert.lineage import Lineage
from workers.backends.litert.options import LiteRtOptions
from workers.backends.litert.profiler import DELEGATED, OPERATOR


def kernel(tag: str, us: float, number: int = 0) -> Event:
    return Event(tag, DELEGATED, number, us)


def own(tag: str, number: int, us: float) -> Event:
    return Event(tag, OPERATOR, number, us)


# -- kernels --------------------------------------------------------------------------------------


def test_kernels_go_to_the_operators_that_they_can_be_in_their_order() -> None:
    kinds = {0: "TRANSPOSE", 1: "CONV_2D", 2: "ADD", 3: "MIRROR_PAD", 4: "CONV_2D", 5: "RESHAPE"}
    run = [
        kernel("Transpose (ND, X32) Transpose", 1),
        kernel("Convolution (NHWC, F32) IGEMM", 10),
        kernel("Add (ND)", 2),
        kernel("Clamp (NC)", 3),  # the activation that the addition has taken in
        own("MIRROR_PAD", 3, 4),
        kernel("Fully Connected (NC, F32) GEMM", 20),
    ]
    found = assigned(kinds, [run, run])
    assert found.times == {0: 1, 1: 10, 2: 5, 3: 4, 4: 20}
    assert found.others == []


def test_times_are_means_over_runs_that_are_alike() -> None:
    runs = [[kernel("Add (ND)", 2)], [kernel("Add (ND)", 4)], [kernel("Multiply (ND)", 100)]]
    assert assigned({7: "ADD"}, runs).times == {7: 3}


def test_a_kernel_that_nothing_can_be_is_kept_by_itself() -> None:
    found = assigned({0: "ADD"}, [[kernel("Fourier Transform", 5), kernel("Add (ND)", 1)]])
    assert found.times == {0: 1}
    assert found.others == [("Fourier Transform", 5)]


def test_no_runs_no_times() -> None:
    assert assigned({0: "ADD"}, []).times == {}


@pytest.mark.parametrize(
    ("tag", "expected"),
    [
        ("Fully Connected (NC, QD8, F32, QC8W) GEMM", "int8 (dynamic)"),
        ("Fully Connected (NC, QS8, QC8W) GEMM", "int8"),
        ("Convolution (NHWC, QC8) DWConv", "int8"),
        ("Convolution (NHWC, F32) IGEMM", "float32"),
        ("Add (ND)", ""),
    ],
)
def test_a_kernels_name_tells_its_precision(tag: str, expected: str) -> None:
    assert precision(tag) == expected


# -- lineage --------------------------------------------------------------------------------------


def piece(work: Path, form: str = "onnx", inputs: list[TensorSpec] | None = None, **more: Any) -> Any:
    signature = ModelSignature(format=form, inputs=inputs or [], outputs=[])
    return SimpleNamespace(work=work, source=SimpleNamespace(signature=signature, format=form), **more)


def test_tensors_tell_the_nodes_behind_their_numbers(tmp_path: Path) -> None:
    lineage.write(
        tmp_path, [["conv"], ["bn"], ["div", "erf", "mul"]], {"y": "mul", "r": "bn"}, {"mul": ["r"], "bn": []}
    )
    found = Lineage(piece(tmp_path))
    assert found.of("n1_bn/add;n0_conv/Conv2D;n1_bn/Const_11") == ["conv", "bn"]
    assert found.of("n2_mul/Gelu;n9_gone/x;other/n1_no") == ["bn", "div", "erf", "mul"]
    assert found.of("serving_default_x:0") == []
    assert found.behind("y", done=[]) == ["bn", "mul"]
    assert found.behind("y", done=["bn"]) == ["mul"]
    assert found.names(["n0_conv/Conv2D", "y", "unknown"]) == ["conv", "mul", "unknown"]


def test_tensorflows_own_names_are_its_nodes(tmp_path: Path) -> None:
    found = Lineage(piece(tmp_path, "tf-savedmodel"))
    assert found.of("net/relu/Relu;net/conv/Conv2D;;net/conv/Conv2D;bias") == ["net/conv/Conv2D", "net/relu/Relu"]


# -- shapes ---------------------------------------------------------------------------------------

PICTURE = [TensorSpec(name="x", dtype="float32", shape=["n", 3, "height", None])]


def test_fixed_sizes_come_from_shapes_then_profiles_and_a_batch_is_one(tmp_path: Path) -> None:
    profile = {"x": ShapeRange(min=(1, 3, 8, 8), opt=(2, 3, 16, 16), max=(4, 3, 32, 32))}
    told = piece(tmp_path, inputs=PICTURE, shapes={}, profiles=(profile,))
    assert shapes.fixed(told, guess=False) == {"x": [2, 3, 16, 16]}
    told = piece(tmp_path, inputs=PICTURE, shapes={"x": (5, 3, 7, 9)}, profiles=(profile,))
    assert shapes.fixed(told, guess=False) == {"x": [5, 3, 7, 9]}
    batch = [TensorSpec(name="x", dtype="float32", shape=["batch", 4])]
    assert shapes.fixed(piece(tmp_path, inputs=batch, shapes={}, profiles=()), guess=False) == {"x": [1, 4]}


def test_what_nobody_says_is_named_or_taken_from_a_sample(tmp_path: Path) -> None:
    samples = SimpleNamespace(typical=lambda: [{"x": np.zeros((1, 3, 20, 30))}])
    told = piece(tmp_path, inputs=PICTURE, shapes={}, profiles=(), samples=samples)
    with pytest.raises(BoundsRequired) as caught:
        shapes.fixed(told, guess=False)
    assert caught.value.where["dimensions"] == ["x[2] height", "x[3]"]
    assert shapes.fixed(told, guess=True) == {"x": [1, 3, 20, 30]}


def test_an_input_of_unknown_rank_takes_a_given_shape(tmp_path: Path) -> None:
    unknown = [TensorSpec(name="x", dtype="float32", shape=[None])]
    assert shapes.fixed(piece(tmp_path, inputs=unknown, shapes={"x": (2, 3)}, profiles=()), guess=False) == {
        "x": [2, 3]
    }
    with pytest.raises(BoundsRequired) as caught:
        shapes.fixed(piece(tmp_path, inputs=unknown, shapes={}, profiles=()), guess=False)
    assert caught.value.where["dimensions"] == ["x"]


# -- flatbuffers ----------------------------------------------------------------------------------


def flatbuffer(*constants: np.ndarray[Any, Any], inputs: int = 1, outputs: int = 1) -> Any:
    """A model that adds up its inputs and constants, as far as its tensors say."""
    made, graph = schema.ModelT(), schema.SubGraphT()
    made.version, made.buffers, made.operatorCodes = 3, [schema.BufferT()], [schema.OperatorCodeT()]
    made.subgraphs, made.signatureDefs, made.metadata = [graph], [], []
    graph.tensors = []
    for index in range(inputs + outputs):
        graph.tensors.append(tensor(f"t{index}", schema.TensorType.FLOAT32, 0))
    for index, array in enumerate(constants):
        buffer = schema.BufferT()
        buffer.data = array.reshape(-1).view(np.uint8)
        made.buffers.append(buffer)
        element = {"float32": schema.TensorType.FLOAT32, "int8": schema.TensorType.INT8}[array.dtype.name]
        graph.tensors.append(tensor(f"c{index}", element, len(made.buffers) - 1))
    graph.inputs, graph.outputs = list(range(inputs)), list(range(inputs, inputs + outputs))
    add = schema.OperatorT()
    add.inputs, add.outputs = [*range(inputs), *range(inputs + outputs, len(graph.tensors))], graph.outputs
    graph.operators = [add]
    return made


def tensor(name: str, element: int, buffer: int) -> Any:
    made = schema.TensorT()
    made.name, made.type, made.buffer, made.shape = name.encode(), element, buffer, [2]
    made.quantization = schema.QuantizationParametersT()
    return made


def test_bytes_that_are_no_flatbuffer_are_refused() -> None:
    for data in (b"", b"\x00" * 64, b"\x1c\x00\x00\x00TFL3" + b"\xff" * 64):
        with pytest.raises(ModelUnreadable):
            unpacked(data)


def test_names_and_types_survive_the_file() -> None:
    model = flatbuffer(inputs=2, outputs=1)
    signature = ModelSignature(
        format="onnx",
        inputs=[TensorSpec(name=name, dtype="float16", shape=[2]) for name in ("b:0", "a")],
        outputs=[TensorSpec(name="y", dtype="float16", shape=[2])],
    )
    names.rename(model, signature, *names.wired(model, ["t1", "t0"], ["t2"]))
    again = unpacked(packed(model))
    graph = again.subgraphs[0]
    assert [graph.tensors[index].name for index in graph.inputs] == [b"b:0", b"a"]
    assert [(one.name, one.tensorIndex) for one in again.signatureDefs[0].inputs] == [(b"b:0", 1), (b"a", 0)]
    assert names.noted(again) == {"b:0": "float16", "a": "float16", "y": "float16"}


def test_an_input_that_the_model_does_not_read_is_left_out() -> None:
    model = flatbuffer()
    port = schema.SignatureDefT()
    port.signatureKey, port.subgraphIndex = b"other", 0
    port.inputs, port.outputs = [names._port(TensorSpec(name="b", dtype="float32", shape=[2]), 0)], []
    port.outputs = [names._port(TensorSpec(name="y", dtype="float32", shape=[2]), 1)]
    model.signatureDefs = [port]
    assert names.wired(model, ["a", "b"], ["y"]) == ([-1, 0], [1])
    model.signatureDefs = []
    with pytest.raises(ConversionFailed, match="1 inputs and 1 outputs"):
        names.wired(model, ["a", "b"], ["y"])


def test_halves_are_stored_once_and_what_does_not_fit_stays() -> None:
    model = flatbuffer(np.arange(8, dtype=np.float32), np.float32([1e6, 1]), np.float32([2]))
    model.subgraphs[0].tensors.append(tensor("shared", schema.TensorType.FLOAT32, 1))
    assert halve(model) == ["c1"]
    again = unpacked(packed(model))
    graph = again.subgraphs[0]
    halves = [one for one in graph.tensors if one.type == schema.TensorType.FLOAT16]
    assert sorted(one.name for one in halves) == [b"c0_half", b"shared_half"]
    assert len({one.buffer for one in halves}) == 1
    stored = np.asarray(again.buffers[halves[0].buffer].data, np.uint8).view(np.float16)
    assert stored.tolist() == list(range(8))
    assert len(graph.operators) == 3  # two unpack


@pytest.mark.parametrize(
    ("precision", "options", "message"),
    [
        (Precision.FP16, {}, "half precision"),
        (Precision.INT8, {}, "no layer was quantised"),
        (Precision.INT8, {"quantization": "weights"}, "no weights were quantised"),
        (Precision.INT8, {"quantization": "dynamic"}, "no weights were quantised"),
    ],
)
def test_a_float_file_is_no_other_precision(precision: Precision, options: dict[str, Any], message: str) -> None:
    model = flatbuffer(np.arange(64, dtype=np.float32))
    kept.check(model, Precision.FP32, LiteRtOptions())
    with pytest.raises(PrecisionNotKept, match=message):
        kept.check(model, precision, LiteRtOptions(**options))


def test_integer_ports_are_looked_at() -> None:
    model = flatbuffer(np.arange(64, dtype=np.int8))
    for one in model.subgraphs[0].tensors:
        one.quantization.scale = [0.5]
    model.subgraphs[0].tensors[1].type = schema.TensorType.INT8
    kept.check(model, Precision.INT8, LiteRtOptions())
    with pytest.raises(PrecisionNotKept, match=r"t0 \(FLOAT32\) stayed in float"):
        kept.check(model, Precision.INT8, LiteRtOptions(io="int8"))
    with pytest.raises(PrecisionNotKept, match="quantised already"):
        kept.check(model, Precision.FP32, LiteRtOptions())


# -- scripts --------------------------------------------------------------------------------------


def test_embedded_modules_import_each_other_and_nothing_of_the_farm(tmp_path: Path) -> None:
    text = embedded("A part", ["workers.backends.litert.flatbuffer", "workers.backends.litert.half"])
    script = tmp_path / "script.py"
    script.write_text(text + "\nfrom workers.backends.litert.half import halve\nprint(halve.__module__)\n")
    import subprocess
    import sys

    done = subprocess.run([sys.executable, "-P", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "workers.backends.litert.half\n"

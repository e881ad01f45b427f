"""The precision as types in the ONNX graph, which is the only place where TensorRT takes it from.

FP16 and BF16 are casts, INT8 and FP8 are Q/DQ pairs with ranges from calibration; what is not quantised is cast to
``float_type``. FP32 and TF32 leave the graph as it is: which of them is computed is a builder flag.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from enginehouse.errors import UnsupportedOperator
from enginehouse.quantization import GENERATED
from enginehouse.targets import Precision
from workers.backends.tensorrt.options import TensorRtOptions
from workers.backends.workpiece import Source, Workpiece

_HALF_QDQ_OPSET = 19


@dataclass(frozen=True)
class Typed:
    """A typed ONNX file, and what reading the engine back needs to know of the way to it."""

    path: Path
    kept_float: frozenset[str]
    """names of nodes that stayed in float32"""
    source_types: frozenset[str]
    """types that the model computed in before: 'fp32', 'fp16', …"""
    unused: frozenset[str]
    """inputs that no node reads"""


def typed(piece: Workpiece) -> Typed:
    """The model in the target's precision. Raises CalibrationFailed, ConversionFailed, DatasetRequired."""
    source = piece.onnx
    types, unused = look(source.path)
    kept: list[str] = []
    if piece.precision in (Precision.INT8, Precision.FP8):
        source, rest = _rest(source, piece)
        source, kept = _quantized(source, piece)
        if rest is not None:
            source, more = _cast(source, rest, piece)
            kept += more
    elif piece.precision in (Precision.FP16, Precision.BF16):
        source, kept = _cast(source, piece.precision, piece)
    piece.notes.kept_float = sorted({*piece.notes.kept_float, *kept})
    return Typed(source.path, frozenset(kept), types, unused)


def look(path: Path) -> tuple[frozenset[str], frozenset[str]]:
    """The types that a model computes in, and its inputs that nothing reads. Weights are not loaded."""
    from onnx import TensorProto

    from workers.stages.graph import all_graphs, all_nodes, attribute, load_model

    words = {
        TensorProto.FLOAT16: "fp16",
        TensorProto.BFLOAT16: "bf16",
        TensorProto.INT8: "int8",
        TensorProto.FLOAT8E4M3FN: "fp8",
    }
    graph = load_model(path).graph
    nodes = list(all_nodes(graph))
    kinds = {tensor.data_type for one in all_graphs(graph) for tensor in one.initializer}
    kinds |= {one.type.tensor_type.elem_type for one in (*graph.input, *graph.output, *graph.value_info)}
    kinds |= {attribute(node, "to") for node in nodes if node.op_type == "Cast"}
    read = {name for node in nodes for name in node.input} | {one.name for one in graph.output}
    unused = {one.name for one in graph.input} - read
    return frozenset({"fp32"} | {word for kind, word in words.items() if kind in kinds}), frozenset(unused)


def _rest(source: Source, piece: Workpiece) -> tuple[Source, Precision | None]:
    """What is not quantised becomes half precision, in an operator set whose Q/DQ nodes are half too.

    A cast between DequantizeLinear and its operator would keep TensorRT from computing in eight bits. None: it stays
    in float32, on request or because the operator set cannot be lifted.
    """
    from workers.stages.opset import lifted

    options: TensorRtOptions = piece.options
    if options.float_type == "fp32":
        return source, None
    try:
        return lifted(source, _HALF_QDQ_OPSET, piece.work), Precision(options.float_type)
    except UnsupportedOperator as error:
        piece.notes.say(f"what is not quantised stays in float32, not {options.float_type}: {error.detail}")
        return source, None


def _quantized(source: Source, piece: Workpiece) -> tuple[Source, list[str]]:
    from workers.stages.quantize import Recipe, quantize

    options: TensorRtOptions = piece.options
    generated = options.calibration == GENERATED
    calibration, feeds = piece.samples.calibration(options.calibration_samples, generated)
    kind: Literal["int8", "fp8"] = "fp8" if piece.precision is Precision.FP8 else "int8"
    recipe = Recipe.tensorrt(
        kind,
        method=options.method,
        percentile=options.percentile,
        exclude=options.keep_float,
        exclude_types=options.keep_float_types,
        threads=piece.threads,
    )
    made, quantized = quantize(source, feeds, piece.work, recipe)
    calibration.method = quantized.method
    piece.notes.calibration = calibration
    return made, list(quantized.kept)


def _cast(source: Source, precision: Precision, piece: Workpiece) -> tuple[Source, list[str]]:
    from workers.stages.cast import cast

    options: TensorRtOptions = piece.options
    return cast(
        source,
        precision,
        piece.samples.typical(),
        piece.work,
        keep=options.keep_float,
        keep_types=options.keep_float_types,
    )

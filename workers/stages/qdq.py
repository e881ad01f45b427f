"""Q/DQ nodes: what is quantised, over which ranges, by ONNX Runtime's quantiser; FP8 from INT8 over the same ranges.

Imports numpy, onnx, onnxruntime and the stages' own parts: ``embed`` puts this into scripts that run outside the farm.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from onnx import TensorProto, numpy_helper

from workers.stages.graph import (
    QDQ,
    all_nodes,
    forget_shapes,
    lift_constants,
    operator_set,
    save_model,
)
from workers.stages.ranges import Extremes, histograms

Method = Literal["MinMax", "Entropy", "Percentile"]

_QDQ_OPSET = 11
_PER_CHANNEL_OPSET = 13
_HALF_QDQ_OPSET = 19
_FP8_LARGEST = 448.0
_INT8_LARGEST = 127.0
_INTEGER = frozenset({"ConvInteger", "MatMulInteger", "MatMulIntegerToFloat", "QGemm", "QAttention", "MatMulNBits"})
_BINS = {"Entropy": 512, "Percentile": 2048}
_QUANTISED_LEVELS = 128
_UNBOUNDED = 1e30
"""Beyond this, a value stands for infinity: the mask of an attention."""

WEIGHTED = ("Conv", "ConvTranspose", "Gemm", "MatMul")
"""What INT8 is for: the operators with weights."""
_ACTIVATIONS = ("Relu", "Clip")
ACTIVATED = (*WEIGHTED, *_ACTIVATIONS)
"""With the activations that go into them: one range behind both, none between."""
EVERY = (
    *ACTIVATED, "Add", "Mul", "LeakyRelu", "Sigmoid", "MaxPool", "AveragePool", "GlobalAveragePool", "Concat", "Split",
    "Pad", "Reshape", "Squeeze", "Unsqueeze", "Flatten", "Transpose", "Resize", "Gather", "Slice",
)  # fmt: skip
"""All of ONNX Runtime's that have INT8 kernels or only move values. Softmax and normalisations stay float: they are
cheap, and 255 levels for a whole distribution are too few."""


@dataclass(frozen=True)
class Recipe:
    """How to quantise. ``types``: operators whose inputs and outputs get Q/DQ nodes.

    ``symmetric``: activations with the zero point in the middle; ``pairs``: weights stay float behind Q/DQ pairs;
    ``outputs``: outputs of weighted operators are quantised too; ``bias``: biases become INT32;
    ``reduce_range``: weights in seven bits, for processors whose sixteen-bit sums saturate.
    """

    kind: Literal["int8", "fp8"] = "int8"
    method: Method = "MinMax"
    percentile: float = 99.99
    per_channel: bool = True
    activation: Literal["uint8", "int8"] = "uint8"
    symmetric: bool = False
    reduce_range: bool = False
    types: tuple[str, ...] = ACTIVATED
    exclude: tuple[str, ...] = ()
    exclude_types: tuple[str, ...] = ()
    pairs: bool = False
    outputs: bool = True
    bias: bool = True
    threads: int = 1

    @classmethod
    def tensorrt(cls, kind: Literal["int8", "fp8"] = "int8", **how: Any) -> Recipe:
        """What TensorRT takes (its documentation, "Explicit Quantization"): zero points 0, Q/DQ at the inputs of
        operators with weights, weights per channel behind pairs, biases in float."""
        given = cls(kind=kind, activation="int8", symmetric=True, pairs=True, outputs=False, bias=False, types=WEIGHTED)
        return replace(given, **how)


def least_operator_set(model: Any, recipe: Recipe) -> int:
    """The oldest operator set in which Q/DQ nodes take what they shall: channels, half precision, FP8."""
    if recipe.kind == "fp8" or any(tensor.data_type == TensorProto.FLOAT16 for tensor in model.graph.initializer):
        least = _HALF_QDQ_OPSET
    else:
        least = _PER_CHANNEL_OPSET if recipe.per_channel else _QDQ_OPSET
    return max(operator_set(model), least)


def prepare(model: Any) -> set[str]:
    """Constants as initialisers and biases as rows, in place. Names of the Gemm nodes whose bias is no row."""
    lift_constants(model.graph)
    forget_shapes(model)
    return _row_biases(model)


def candidates(model: Any, seen: Mapping[str, Extremes], recipe: Recipe) -> list[Any]:
    """Nodes that the recipe names and whose tensors have been seen."""
    return [node for node in model.graph.node if node.op_type in recipe.types and floats_of(node, seen)]


def lone_activations(model: Any, nodes: Sequence[Any], kept: Collection[str]) -> list[str]:
    """Names of activations that follow no node that is quantised: on their own they are cheaper in float."""
    taken = {node.name for node in nodes if node.name not in kept and node.op_type not in _ACTIVATIONS}
    made_by = {name: node.name for node in model.graph.node for name in node.output}
    return [
        node.name
        for node in nodes
        if node.op_type in _ACTIVATIONS and node.name not in kept and made_by.get(node.input[0]) not in taken
    ]


def left_in_float(nodes: Sequence[Any], seen: Mapping[str, Extremes], recipe: Recipe) -> dict[str, str]:
    """Names of nodes that are excluded or have values without a range, each with the tensor, '' for the excluded."""
    kept = {}
    for node in nodes:
        odd = [name for name in floats_of(node, seen) if not _has_range(seen[name])]
        if node.name in recipe.exclude or node.op_type in recipe.exclude_types:
            kept[node.name] = ""
        elif odd:
            kept[node.name] = odd[0]
    return kept


def ranges_of(
    model: Any, folder: Path, feeds: Sequence[Mapping[str, Any]], seen: Mapping[str, Extremes], recipe: Recipe
) -> dict[str, tuple[float, float]]:
    """Tensor name to its range by the recipe's method."""
    if recipe.method == "MinMax":
        return {name: (one.lowest, one.highest) for name, one in seen.items()}
    from onnxruntime.quantization.calibrate import HistogramCollector

    bins = _BINS[recipe.method]
    collector = HistogramCollector(recipe.method.lower(), False, bins, _QUANTISED_LEVELS, recipe.percentile, "same")
    for name, counts in histograms(model, folder, feeds, seen, bins, recipe.threads).items():
        one = seen[name]
        edges = np.linspace(-one.magnitude, one.magnitude, bins + 1, dtype=np.float32)
        collector.histogram_dict[name] = (counts, edges, np.float32(one.lowest), np.float32(one.highest), one.magnitude)
    found = collector.compute_collection_result()
    return {name: (float(low), float(high)) for name, (low, high, *_) in found.items()}


def insert(
    model: Any,
    folder: Path,
    ranges: Mapping[str, tuple[float, float]],
    recipe: Recipe,
    kept: Collection[str],
    made: Path,
) -> None:
    """Let ONNX Runtime's quantiser put Q/DQ nodes into the prepared model, and write it to ``made``.

    ``folder``: where external data lies; ``kept``: names of the nodes that stay as they are.
    """
    from onnxruntime.quantization import QuantType, quantize_static
    from onnxruntime.quantization.quant_utils import add_pre_process_metadata

    add_pre_process_metadata(model)  # it has been: the quantiser would only say that it should be
    plain, table = made.with_name("float.onnx"), made.with_name("ranges.json")
    large = len(save_model(model, folder, plain)) > 1
    write_ranges(ranges, table)
    quantize_static(
        plain,
        made,
        None,
        calibration_cache_path=table,
        op_types_to_quantize=list(recipe.types),
        nodes_to_exclude=sorted(kept),
        per_channel=recipe.per_channel,
        reduce_range=recipe.reduce_range,
        activation_type=QuantType.QInt8 if recipe.activation == "int8" else QuantType.QUInt8,
        weight_type=QuantType.QInt8,
        use_external_data_format=large,
        extra_options={
            "ActivationSymmetric": recipe.symmetric,
            "AddQDQPairToWeight": recipe.pairs,
            "QuantizeBias": recipe.bias,
            "MatMulConstBOnly": True,
            "OpTypesToExcludeOutputQuantization": [] if recipe.outputs else list(recipe.types),
        },
    )


def is_quantized(model: Any) -> bool:
    """Whether the model has Q/DQ nodes or quantised operators already."""
    return any(quantizes(node.op_type) for node in all_nodes(model.graph))


def quantizes(kind: str) -> bool:
    """Whether an operator quantises, or computes with quantised numbers."""
    return kind in QDQ or kind in _INTEGER or kind.startswith(("QLinear", "DynamicQuantize"))


def quantized_nodes(model: Any) -> list[str]:
    """Names of the nodes that take what a DequantizeLinear gives, or compute with quantised numbers themselves."""
    given = {node.output[0] for node in all_nodes(model.graph) if node.op_type == "DequantizeLinear"}
    return [
        node.name
        for node in all_nodes(model.graph)
        if node.op_type not in QDQ and (quantizes(node.op_type) or given.intersection(node.input))
    ]


def write_ranges(ranges: Mapping[str, tuple[float, float]], path: Path) -> None:
    """Ranges as the quantiser reads them."""
    from onnxruntime.quantization.calibrate import CalibrationMethod, TensorData, TensorsData, save_tensors_data

    data = {
        name: TensorData(lowest=np.float32(low).reshape(()), highest=np.float32(high).reshape(()))
        for name, (low, high) in ranges.items()
    }
    save_tensors_data(TensorsData(CalibrationMethod.MinMax, data), path)


def as_fp8(model: Any) -> None:
    """INT8 Q/DQ nodes with zero points 0 as FP8 (E4M3) ones over the same ranges, in place."""
    from ml_dtypes import float8_e4m3fn

    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    pairs = {(node.input[1], node.input[2]) for node in model.graph.node if node.op_type in QDQ}
    for name in {scale for scale, _ in pairs}:
        scale = numpy_helper.to_array(tensors[name]) * (_INT8_LARGEST / _FP8_LARGEST)
        tensors[name].CopyFrom(numpy_helper.from_array(scale.astype(np.float32), name))
    for name in {zero for _, zero in pairs}:
        zero = np.zeros(tuple(tensors[name].dims), float8_e4m3fn)
        tensors[name].CopyFrom(numpy_helper.from_array(zero, name))
    made = {node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for one in model.graph.value_info:
        if one.name in made:
            one.type.tensor_type.elem_type = TensorProto.FLOAT8E4M3FN


def _row_biases(model: Any) -> set[str]:
    """Give Gemm's constant biases the shape [N], the only one that the quantiser takes; nodes with other ones."""
    readers: dict[str, int] = {}
    for node in all_nodes(model.graph):
        for name in node.input:
            readers[name] = readers.get(name, 0) + 1
    tensors = {tensor.name: tensor for tensor in model.graph.initializer}
    odd = set()
    for node in model.graph.node:
        bias = tensors.get(node.input[2]) if node.op_type == "Gemm" and len(node.input) > 2 else None
        if bias is None or len(bias.dims) == 1:
            continue
        if len(bias.dims) == 2 and bias.dims[0] == 1 and readers[bias.name] == 1:
            del bias.dims[0]
        else:
            odd.add(node.name)
    return odd


def floats_of(node: Any, seen: Mapping[str, Extremes]) -> list[str]:
    """The node's tensors that have been seen."""
    return [name for name in (*node.input, *node.output) if name in seen]


def _has_range(one: Extremes) -> bool:
    return not one.nan and not one.infinite and 0.0 < one.magnitude <= _UNBOUNDED

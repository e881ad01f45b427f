"""Q/DQ nodes from calibration samples: INT8 by ONNX Runtime's quantiser, FP8 from the same ranges.

The ranges are taken here and given to the quantiser: not a number among the values fails by name, values without a
bound stay float, and samples are read one at a time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from enginehouse.errors import CalibrationFailed, PrecisionNotKept
from workers.backends.base import Arrays
from workers.backends.workpiece import Source
from workers.stages.cast import check_names
from workers.stages.graph import FLOATING, array, load_model, operator_set, save_model
from workers.stages.opset import described, lifted
from workers.stages.qdq import (
    ACTIVATED,
    EVERY,
    WEIGHTED,
    Recipe,
    as_fp8,
    candidates,
    floats_of,
    insert,
    is_quantized,
    least_operator_set,
    left_in_float,
    lone_activations,
    prepare,
    quantized_nodes,
    quantizes,
    ranges_of,
)
from workers.stages.ranges import Extremes, extremes, values_of

_LOOKED_AT = 16
"""Tensors of which both models' values are held at a time."""


@dataclass
class Quantized:
    """What came of it: names of quantised nodes, of those left in float, and each tensor's range.

    ``kept`` were excluded or have values without a range, ``alone`` are activations behind nodes in float.
    """

    method: str = ""
    nodes: list[str] = field(default_factory=list)
    kept: list[str] = field(default_factory=list)
    alone: list[str] = field(default_factory=list)
    ranges: dict[str, tuple[float, float]] = field(default_factory=dict)
    already: bool = False


def quantize(source: Source, feeds: Sequence[Arrays], work: Path, recipe: Recipe) -> tuple[Source, Quantized]:
    """The model with Q/DQ nodes, and what was quantised. See the package's description.

    Raises CalibrationFailed naming the tensor, InvalidOption for a node that is not there, PrecisionNotKept where
    nothing was quantised, UnsupportedOperator where the model's operator set is too old and cannot be lifted.
    """
    model = load_model(source.path)
    if is_quantized(model):
        return source, Quantized(already=True, method="the model's own")
    least = least_operator_set(model, recipe)
    if operator_set(model) < least:
        source = lifted(source, least, work)
        model = load_model(source.path)
    check_names(model, recipe.exclude, "keep_float")
    odd = prepare(model)
    seen = extremes(model, source.folder, feeds, recipe.threads)
    nodes = candidates(model, seen, recipe)
    _check_weights(model, source.folder, nodes)
    kept = left_in_float(nodes, seen, recipe) | {node.name: "" for node in nodes if node.name in odd}
    _tell(nodes, kept, seen)
    alone = lone_activations(model, nodes, kept)
    left = {*kept, *alone}
    taken = [node for node in nodes if node.name not in left]
    tensors = {name: seen[name] for node in taken for name in floats_of(node, seen)}
    ranges = ranges_of(model, source.folder, feeds, tensors, recipe)
    path = work / recipe.kind / "model.onnx"
    insert(model, source.folder, ranges, recipe, left, path)
    quantized = load_model(path)
    if recipe.kind == "fp8":
        as_fp8(quantized)
        save_model(quantized, path.parent, path.with_name("fp8.onnx"))
        path = path.with_name("fp8.onnx")
    wanted = {node.name for node in taken}  # others may share a tensor with one of them
    names = [name for name in quantized_nodes(quantized) if name in wanted]
    if not names:
        raise PrecisionNotKept(
            "nothing of the model could be quantised",
            advice="Operators with constant weights are quantised, and what is among them, outside of If and Loop.",
            kept=sorted(kept)[:20],
        )
    found = Quantized(method=_method(recipe), nodes=names, kept=list(kept), alone=alone, ranges=ranges)
    return Source(path, described(source.signature, quantized)), found


def _tell(nodes: Sequence[Any], kept: Mapping[str, str], seen: Mapping[str, Extremes]) -> None:
    """Say which nodes stay float for want of a range. Raises CalibrationFailed for values that are no numbers."""
    for node in nodes:
        for name in floats_of(node, seen):
            if seen[name].nan:
                raise CalibrationFailed(
                    f"tensor '{name}' of node '{node.name}' ({node.op_type}) is not a number on the samples",
                    tensor=name,
                    node=node.name,
                    operator=node.op_type,
                )
        if odd := kept.get(node.name):
            why = "without bounds" if seen[odd].infinite or seen[odd].magnitude else "zero"
            print(f"'{node.name}' stays float: '{odd}' is {why} on the samples", flush=True)  # noqa: T201


def _check_weights(model: Any, folder: Path, nodes: Sequence[Any]) -> None:
    weights = {tensor.name: tensor for tensor in model.graph.initializer if tensor.data_type in FLOATING}
    for node in nodes:
        for name in node.input:
            if name in weights and not np.isfinite(array(weights[name], folder)).all():
                raise CalibrationFailed(
                    f"weight '{name}' of node '{node.name}' ({node.op_type}) holds NaN or Inf",
                    tensor=name,
                    node=node.name,
                    operator=node.op_type,
                )


def noise(source: Source, quantized: Source, feed: Arrays, threads: int = 1) -> dict[str, float]:
    """Tensor name to its signal-to-noise ratio in dB on one sample: the quantised model's against the float one's.

    Tensors behind a DequantizeLinear, outside of branches, by 20 log10(|x| / |x - q|) as ONNX Runtime's
    qdq_loss_debug has it. Lower is worse.
    """
    model, other = load_model(source.path), load_model(quantized.path)
    made = {name for node in model.graph.node for name in node.output}
    pairs = {}
    for node in other.graph.node:
        name = node.output[0].removesuffix("_DequantizeLinear_Output")
        if node.op_type == "DequantizeLinear" and name in made:
            pairs[name] = node.output[0]
    found: dict[str, float] = {}
    names = sorted(pairs)
    for begin in range(0, len(names), _LOOKED_AT):
        part = names[begin : begin + _LOOKED_AT]
        true = values_of(model, source.folder, part, feed, threads)
        mine = values_of(other, quantized.folder, [pairs[name] for name in part], feed, threads)
        for name, left, right in zip(part, true, mine, strict=True):
            signal, error = np.asarray(left, np.float64), np.asarray(left, np.float64) - np.asarray(right, np.float64)
            lengths = [max(float(np.linalg.norm(each)), np.finfo(np.float64).eps) for each in (signal, error)]
            found[name] = 20 * math.log10(lengths[0] / lengths[1])
    return found


def _method(recipe: Recipe) -> str:
    return f"Percentile {recipe.percentile:g}" if recipe.method == "Percentile" else recipe.method


__all__ = [
    "ACTIVATED", "EVERY", "WEIGHTED", "Quantized", "Recipe", "is_quantized", "noise", "quantize", "quantizes",
]  # fmt: skip

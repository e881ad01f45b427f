"""What a finished .tflite file really holds, against what was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from enginehouse.errors import PrecisionNotKept
from enginehouse.quantization import Quantization
from enginehouse.targets import Precision
from workers.backends.litert.flatbuffer import Model, constants, content, kind, text

_INTEGERS = ("INT8", "UINT8", "INT4", "INT2", "INT16")
_FEW_BYTES = 64
"""Constants below are shapes, axes and factors."""


@dataclass(frozen=True)
class Held:
    """A file's element types."""

    half: bool
    """constants in float16"""
    weights: bool
    """constants in eight bits or fewer, with a scale"""
    activations: bool
    """results in eight bits, with a scale"""
    floats: bool
    """constants in float32 that are larger than a factor"""
    ports: tuple[tuple[str, str], ...]
    """name and element type of each input and output"""


def held(model: Model) -> Held:
    """Look at every tensor."""
    fixed = [tensor for _, tensor in constants(model)]
    known = {id(tensor) for tensor in fixed}
    moving = [tensor for graph in model.subgraphs for tensor in graph.tensors if id(tensor) not in known]
    graph = model.subgraphs[0]
    large = [tensor for tensor in fixed if _size(model, tensor) > _FEW_BYTES]
    return Held(
        half=any(kind(tensor) == "FLOAT16" for tensor in fixed),
        weights=any(kind(tensor) in _INTEGERS and _scaled(tensor) for tensor in fixed),
        activations=any(kind(tensor) in _INTEGERS and _scaled(tensor) for tensor in moving),
        floats=any(kind(tensor) == "FLOAT32" for tensor in large),
        ports=tuple((text(graph.tensors[i].name), kind(graph.tensors[i])) for i in (*graph.inputs, *graph.outputs)),
    )


def _size(model: Model, tensor: Any) -> int:
    found = content(model, tensor)
    return 0 if found is None else found.size


def _scaled(tensor: Any) -> bool:
    found = tensor.quantization
    return found is not None and found.scale is not None and len(found.scale) > 0


def check(model: Model, precision: Precision, options: Any) -> None:
    """Raise PrecisionNotKept where the file is something else than was asked for."""
    found = held(model)
    if precision is Precision.FP32 and (found.weights or found.activations):
        raise PrecisionNotKept(
            "the model is quantised already, and its float32 numbers are gone", advice="Ask for litert:int8."
        )
    if precision is Precision.FP16:
        if found.weights or found.activations:
            raise PrecisionNotKept("the model is quantised already", advice="Ask for litert:int8.")
        if found.floats and not found.half:
            raise PrecisionNotKept("no constant could be stored in half precision")
    if precision is Precision.INT8:
        _check_integers(found, options)


def _check_integers(found: Held, options: Any) -> None:
    how = options.quantization or Quantization.STATIC
    if how == Quantization.STATIC and not found.activations:
        raise PrecisionNotKept(
            "no layer was quantised: the quantizer has no rule for any of the model's operators",
            advice="Choose quantization=dynamic or weights, or another precision.",
        )
    if how != Quantization.STATIC and not found.weights:
        raise PrecisionNotKept("no weights were quantised: the model has none that the quantizer takes")
    floats = [f"{name} ({element})" for name, element in found.ports if element.startswith("FLOAT")]
    if options.io == "int8" and floats:
        raise PrecisionNotKept(f"io=int8: {', '.join(floats)} stayed in float", ports=floats)

"""The ladder: which targets are tried, one after the other, when a build is not good enough. Pure.

``int4 → int8 → int8 mixed → 16 bits → tf32 → fp32``, beginning with the target that was asked for, within its backend
and hardware requirement. Of the 16-bit types OpenVINO's bf16 comes first: it is what a CPU with the instructions
computes fast, while its fp16 only stores half and computes in fp32. Elsewhere fp16 comes first: the same speed, with
three more bits; bf16 then has the range that fp16 may lack.
"""

from __future__ import annotations

from typing import Any

from enginehouse.errors import (
    CalibrationFailed,
    Failure,
    GateMissed,
    InvalidOption,
    OutputsDisagree,
    PrecisionNotKept,
    UnknownPrecision,
    UnsupportedOperator,
)
from enginehouse.targets import Precision, Target

MIXED = "mixed"
"""The option that keeps in a higher precision what loses most; a backend that has it announces it."""

_LOW = (Precision.INT8, Precision.FP8, Precision.INT4)
_HALVES = {"openvino": (Precision.BF16, Precision.FP16)}
_USUAL_HALVES = (Precision.FP16, Precision.BF16)

_GOES_ON = frozenset(
    error.code
    for error in (
        GateMissed,
        OutputsDisagree,
        PrecisionNotKept,
        UnsupportedOperator,
        CalibrationFailed,
        UnknownPrecision,
        InvalidOption,  # what one precision takes another may refuse
    )
)

QUANTIZING = frozenset(
    {
        MIXED,
        "quantization",
        "calibration",
        "calibration_samples",
        *("preset", "model_type", "fast_bias_correction", "overflow_fix", "ignored_scopes", "max_drop", "drop_type"),
        *("weight_mode", "group_size", "ratio", "all_layers", "data_aware"),  # OpenVINO
        *("operators", "method", "percentile", "per_channel", "activation"),  # ONNX Runtime
        *("io", "ranges"),  # LiteRT
        "float_type",  # TensorRT
    }
)
"""Options that say how to quantise. Without quantisation they say nothing, or contradict the precision."""

KEEPING = frozenset({"keep_float", "keep_float_types"})
"""Options that exempt nodes from a lower precision. They stay at 16 bits where the backend can exempt nodes there."""

_EXEMPTS_FROM_HALVES = ("onnxruntime", "tensorrt")


def goes_on(failure: Failure) -> bool:
    """Whether a build that failed of this is worth another rung: for the precision's sake, not for the model's."""
    return failure.code in _GOES_ON


def below(target: Target) -> list[Target]:
    """Every rung under a target, in the order in which they are tried; whether one is offered is not looked at."""
    precision, mixed = target.precision, bool(target.options.get(MIXED))
    steps: list[tuple[Precision, bool]] = []
    if precision is Precision.INT4:
        steps += [(Precision.INT8, False), (Precision.INT8, True)]
    elif precision in _LOW and not mixed:
        steps.append((precision, True))
    floats = (*_HALVES.get(target.backend, _USUAL_HALVES), Precision.TF32, Precision.FP32)
    rest = floats[floats.index(precision) + 1 :] if precision in floats else floats
    steps += [(lower, False) for lower in rest]
    return [
        target.model_copy(update={"precision": lower, "options": _options(target, lower, mix)}) for lower, mix in steps
    ]


def described(target: Target) -> str:
    """The short form, and whether it is a mixed rung."""
    return f"{target} {MIXED}" if target.options.get(MIXED) else str(target)


def _options(target: Target, precision: Precision, mixed: bool) -> dict[str, Any]:
    """The target's options that say something at another precision."""
    left_out = frozenset({MIXED}) if precision in _LOW else QUANTIZING
    halves = precision in _USUAL_HALVES and target.backend in _EXEMPTS_FROM_HALVES
    if precision not in _LOW and not halves:
        left_out |= KEEPING
    kept = {name: value for name, value in target.options.items() if name not in left_out}
    return {**kept, MIXED: True} if mixed else kept

"""Layers that work on each number alone, or on numbers at the same place of several blobs."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from workers.sources.caffe_onnx.graph import Step


def _alone(op: str) -> Callable[[Step], None]:
    def rule(step: Step) -> None:
        step.last(op, [step.x])

    return rule


def _relu(step: Step) -> None:
    slope = step.param.relu_param.negative_slope
    if slope:
        step.last("LeakyRelu", [step.x], alpha=slope)
    else:
        step.last("Relu", [step.x])


def _prelu(step: Step) -> None:
    step.last("PRelu", [step.x, step.constant(step.channels(step.blobs[0]), "slope")])


def _elu(step: Step) -> None:
    step.last("Elu", [step.x], alpha=step.param.elu_param.alpha)


def _clip(step: Step) -> None:
    low, high = (0.0, 6.0) if step.layer.type == "ReLU6" else (step.param.clip_param.min, step.param.clip_param.max)
    step.last("Clip", [step.x, step.constant(low, "min"), step.constant(high, "max")])


def _swish(step: Step) -> None:
    beta = step.param.swish_param.beta
    inside = step.x if beta == 1 else step.inner("Mul", [step.x, step.constant(beta, "beta")])
    step.last("Mul", [step.x, step.inner("Sigmoid", [inside])])


def _power(step: Step) -> None:
    """(shift + scale * x) ^ power"""
    param = step.param.power_param
    parts = []
    if param.scale != 1:
        parts.append(("Mul", param.scale, "scale"))
    if param.shift != 0:
        parts.append(("Add", param.shift, "shift"))
    if param.power != 1:
        parts.append(("Pow", param.power, "power"))
    _chain(step, step.x, parts)


def _exp(step: Step) -> None:
    """base ^ (shift + scale * x); the base -1 stands for e"""
    param = step.param.exp_param
    log = _log_of_base(step, param.base)
    inner, outer = log * param.scale, math.exp(log * param.shift)
    value = step.x if inner == 1 else step.inner("Mul", [step.x, step.constant(inner, "scale")])
    if outer == 1:
        step.last("Exp", [value])
    else:
        step.last("Mul", [step.inner("Exp", [value]), step.constant(outer, "factor")])


def _log(step: Step) -> None:
    """log to the base of (shift + scale * x); the base -1 stands for e"""
    param = step.param.log_param
    log = _log_of_base(step, param.base)
    value = step.x
    if param.scale != 1:
        value = step.inner("Mul", [value, step.constant(param.scale, "scale")])
    if param.shift != 0:
        value = step.inner("Add", [value, step.constant(param.shift, "shift")])
    if log == 1:
        step.last("Log", [value])
    else:
        step.last("Mul", [step.inner("Log", [value]), step.constant(1 / log, "factor")])


def _log_of_base(step: Step, base: float) -> float:
    if base == -1:
        return 1.0
    if base <= 0 or base == 1:
        raise step.refused(f"the base {base:g} is not possible", "Give a positive base other than 1, or leave it out.")
    return math.log(base)


def _dropout(step: Step) -> None:
    if not step.param.dropout_param.scale_train:
        raise step.refused(
            "scales at inference (scale_train: false)",
            "Multiply the weights of the layer that follows by 1 - dropout_ratio, and take the layer out.",
        )
    step.last("Identity", [step.x])


def _split(step: Step) -> None:
    for top in range(len(step.tops)):
        step.last("Identity", [step.x], top)


def _threshold(step: Step) -> None:
    over = step.inner("Greater", [step.x, step.constant(step.param.threshold_param.threshold, "threshold")])
    step.last("Cast", [over], to=1)


def _eltwise(step: Step) -> None:
    param = step.param.eltwise_param
    operation = {0: "Mul", 1: "Add", 2: "Max"}[param.operation]
    values = list(step.layer.bottoms)
    if param.coeff:
        if operation != "Add" or len(param.coeff) != len(values):
            raise step.refused(
                f"{len(param.coeff)} coefficients for {len(values)} bottoms of {operation}",
                "Caffe takes one coefficient a bottom, and only for SUM.",
            )
        values = [
            value if factor == 1 else step.inner("Mul", [value, step.constant(factor, "coeff")])
            for value, factor in zip(values, param.coeff, strict=True)
        ]
    for value in values[1:-1]:
        values[0] = step.inner(operation, [values[0], value])
    step.last(operation, [values[0], values[-1]])


def _axpy(step: Step) -> None:
    """a * x + y, with one a for each channel"""
    factors = step.layer.bottoms[0]
    if len(step.bottoms[0]) != len(step.bottoms[1]):
        wanted = [*step.bottoms[1][:2], *(1,) * (len(step.bottoms[1]) - 2)]
        factors = step.inner("Reshape", [factors, step.sizes(wanted)])
    step.last("Add", [step.inner("Mul", [factors, step.layer.bottoms[1]]), step.layer.bottoms[2]])


def _chain(step: Step, value: str, parts: list[tuple[str, float, str]]) -> None:
    """Operators with one constant each, the last of them making the top."""
    if not parts:
        step.last("Identity", [value])
        return
    for op, number, what in parts[:-1]:
        value = step.inner(op, [value, step.constant(np.float32(number), what)])
    op, number, what = parts[-1]
    step.last(op, [value, step.constant(np.float32(number), what)])


RULES = {
    "AbsVal": _alone("Abs"),
    "Axpy": _axpy,
    "BNLL": _alone("Softplus"),
    "Clip": _clip,
    "Dropout": _dropout,
    "ELU": _elu,
    "Eltwise": _eltwise,
    "Exp": _exp,
    "Log": _log,
    "PReLU": _prelu,
    "Power": _power,
    "ReLU": _relu,
    "ReLU6": _clip,
    "Sigmoid": _alone("Sigmoid"),
    "Split": _split,
    "Swish": _swish,
    "TanH": _alone("Tanh"),
    "Threshold": _threshold,
}

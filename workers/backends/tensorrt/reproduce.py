"""The script that does TensorRT's part of a build outside the farm, with the stages' own text."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from enginehouse.errors import BoundsRequired
from enginehouse.formats import Format
from enginehouse.targets import Precision
from workers.backends.tensorrt.options import TensorRtOptions
from workers.backends.tensorrt.plan import Flag, Plan, plan_of
from workers.backends.tensorrt.profiles import profiles_of
from workers.backends.tensorrt.templates import BUILD, CAST, FP8, HEAD, LIFT, LOAD, PRUNE, QUANTISE, SAMPLES, TYPED
from workers.backends.workpiece import Workpiece

_HALVES = {Precision.FP16: "float16", Precision.BF16: "bfloat16"}
_HALF_QDQ_OPSET = 19
_BF16_OPSET = 22


def script(piece: Workpiece) -> str:
    """Type the graph (prune, Q/DQ from samples, cast), build the engine, look into it."""
    return "".join(_parts(piece))


def _parts(piece: Workpiece) -> Iterator[str]:
    options: TensorRtOptions = piece.options
    eight = piece.precision in (Precision.INT8, Precision.FP8)
    half = _half(piece.precision, options)
    onnx = piece.source.format is Format.ONNX
    yield HEAD.format(
        source=piece.source.path.name if onnx else "intermediate.onnx",
        comment="" if onnx else f"  # the ONNX that the farm made of the {piece.source.format} model",
    )
    if piece.altered or eight or half:
        yield _stages(eight=eight, half=half is not None, pruned=piece.altered)
        yield SAMPLES.format(count=options.calibration_samples) if eight or half else ""
        yield LOAD
        if piece.altered:
            yield PRUNE.format(pattern=options.prune, share=options.prune_share)
        if eight:
            yield _quantised(piece.precision, half is not None, options)
        if half is not None:
            yield LIFT.format(least=_BF16_OPSET) if half is Precision.BF16 else ""
            keep = {"keep": list(options.keep_float), "types": list(options.keep_float_types)}
            yield CAST.format(half=_HALVES[half], **keep)
        yield TYPED
    yield _build(plan_of(piece.precision, options), _profiles(piece))


def _half(precision: Precision, options: TensorRtOptions) -> Precision | None:
    """What everything that is not quantised is cast to."""
    if precision in _HALVES:
        return precision
    if precision in (Precision.INT8, Precision.FP8) and options.float_type != "fp32":
        return Precision(options.float_type)
    return None


def _stages(*, eight: bool, half: bool, pruned: bool) -> str:
    from workers.stages.embed import embedded

    names = ["graph", "operators"]
    names += ["sparsity"] if pruned else []
    names += ["versions", "ranges"] if eight or half else []
    names += ["qdq"] if eight else []
    names += ["casting"] if half else []
    return embedded(*names)


def _quantised(precision: Precision, half: bool, options: TensorRtOptions) -> str:
    recipe = QUANTISE.format(
        kind=str(precision),
        method=options.method,
        percentile=options.percentile,
        keep=tuple(options.keep_float),
        types=tuple(options.keep_float_types),
    )
    lift = LIFT.format(least=_HALF_QDQ_OPSET) if half else ""
    return lift + recipe + (FP8 if precision is Precision.FP8 else "")


def _profiles(piece: Workpiece) -> list[dict[str, Any]]:
    try:
        found = profiles_of(piece.source.signature.inputs, piece.shapes, piece.profiles)
    except BoundsRequired:  # the build says so
        return []
    return [{name: (one.min, one.opt, one.max) for name, one in profile.items()} for profile in found]


def _build(plan: Plan, profiles: list[dict[str, Any]]) -> str:
    lines = [f"config.{'set' if flag in plan.flags else 'clear'}_flag(trt.BuilderFlag.{flag})" for flag in Flag]
    if plan.workspace_bytes is not None:
        lines.append(f"config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, {plan.workspace_bytes})")
    if plan.aux_streams is not None:
        lines.append(f"config.max_aux_streams = {plan.aux_streams}")
    if plan.dla_core is not None:
        lines += ["config.default_device_type = trt.DeviceType.DLA", f"config.DLA_core = {plan.dla_core}"]
    return BUILD.format(
        level=plan.optimization_level,
        hardware=plan.hardware_compatibility.upper(),
        settings="\n".join(lines),
        profiles=profiles,
    )

"""The script that repeats a build outside the farm: ONNX Runtime called directly, the farm's own stages in full."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from pprint import pformat
from typing import Any

from enginehouse.formats import Format
from enginehouse.quantization import GENERATED, Quantization
from enginehouse.targets import Precision
from workers.backends.onnxruntime import record
from workers.backends.onnxruntime.templates import (
    BEFORE,
    DYNAMIC,
    FROM_DATASET,
    FROM_RANGES,
    HALF,
    HEAD,
    LOAD,
    NO_RANGES,
    PRUNE,
    SAVE,
    STATIC,
    WEIGHTS,
    WRITE,
)
from workers.backends.workpiece import Workpiece
from workers.stages.embed import embedded

_LEVELS = {
    "none": "ORT_DISABLE_ALL",
    "basic": "ORT_ENABLE_BASIC",
    "extended": "ORT_ENABLE_EXTENDED",
    "all": "ORT_ENABLE_ALL",
}


def script(piece: Workpiece) -> str:
    """The build's steps. Before the build it tells what will be done; after it, with what the samples decided."""
    return "".join(_parts(piece))


def _parts(piece: Workpiece) -> Iterator[str]:
    options, precision = piece.options, piece.precision
    decided = record.kept(piece.work)
    how = options.quantization or Quantization.STATIC
    level = _LEVELS[options.level]
    write = {"entry": f"model.{options.form}", "form": options.form}
    static = precision is Precision.INT8 and how == Quantization.STATIC
    onnx = piece.source.format is Format.ONNX
    yield HEAD.format(
        stages=embedded(*_stages(piece, static)),
        providers=_providers(options.provider),
        source=piece.source.path.name if onnx else "intermediate.onnx",
        comment="" if onnx else f"  # the ONNX that the farm made of the {piece.source.format} model",
    )
    if piece.altered:
        yield PRUNE.format(pattern=options.prune, share=options.prune_share)
    if precision is Precision.FP32 or (precision is Precision.INT8 and decided.get("already")):
        yield WRITE.format(level=level, **write)
    elif precision is Precision.FP16:
        if not decided.get("already"):
            yield BEFORE.format(level=_LEVELS[decided.get("level", "extended")])
            yield HALF.format(kept=_kept(piece, decided), types=list(options.keep_float_types))
        yield SAVE if options.form == "onnx" else WRITE.format(level=_LEVELS["none"], **write)
    else:
        yield BEFORE.format(level=_LEVELS["basic"]) * (2 if decided.get("twice") else 1)
        yield from _int8(piece, how, decided)
        yield WRITE.format(level=level, **write)
    runs = _LEVELS["none" if options.level == "all" else "all"]
    yield LOAD.format(level=runs, entry=write["entry"])


def _stages(piece: Workpiece, static: bool) -> list[str]:
    wanted = ["graph"]
    if piece.altered or static or piece.precision is Precision.FP16:
        wanted.append("operators")
    if static:
        wanted += ["versions", "ranges", "qdq"]
    if piece.precision is Precision.FP16:
        wanted.append("casting")
    if piece.altered:
        wanted.append("sparsity")
    return wanted


def _int8(piece: Workpiece, how: str, decided: dict[str, Any]) -> Iterator[str]:
    from workers.backends.onnxruntime.lower import recipe_of, sums_saturate

    options = piece.options
    kept = _kept(piece, decided)
    if how == Quantization.DYNAMIC:
        yield DYNAMIC.format(kept=kept, per_channel=options.per_channel, reduce_range=sums_saturate())
    elif how == Quantization.WEIGHTS:
        yield WEIGHTS.format(kept=kept)
    else:
        recipe = recipe_of(options, piece.threads)
        told = ", ".join(f"{each.name}={getattr(recipe, each.name)!r}" for each in fields(recipe))
        yield STATIC.format(kept=kept, recipe=told, ranges=_ranges(piece, decided))


def _ranges(piece: Workpiece, decided: dict[str, Any]) -> str:
    options = piece.options
    generated = options.calibration == GENERATED
    if generated and "ranges" in decided:
        return FROM_RANGES.format(ranges=pformat(decided["ranges"], width=118, compact=True))
    if generated:
        return NO_RANGES
    types = {spec.name: spec.dtype for spec in piece.source.signature.inputs}
    return FROM_DATASET.format(types=types, most=options.calibration_samples)


def _kept(piece: Workpiece, decided: dict[str, Any]) -> str:
    if "kept" in decided:
        return "# Nodes that stay float: on request, and by what was seen on the samples.\nKEPT = " + pformat(
            decided["kept"], width=112, compact=True
        )
    wanted = list(piece.options.keep_float)
    return f"# Nodes that stay float. The build ended before it had looked at the samples.\nKEPT = {wanted}"


def _providers(provider: str) -> list[str]:
    return [*(["CUDAExecutionProvider"] if provider == "cuda" else []), "CPUExecutionProvider"]

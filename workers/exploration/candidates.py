"""What is worth a trial, in the order of promise, and what is not, with the reason."""

from __future__ import annotations

from collections.abc import Sequence

from enginehouse.exploration import Candidate, Stage, speed
from enginehouse.formats import Format
from enginehouse.quantization import needs_dataset
from enginehouse.targets import Precision, Target
from workers import backends
from workers.backends.base import Backend
from workers.exploration.options import AutoOptions

ANCHOR = Target(backend="onnxruntime", precision=Precision.FP32)
"""Plain ONNX Runtime stays in every round, so that nothing slower than it is ever recommended."""

_PROMISE = (Precision.FP32, Precision.TF32, Precision.BF16, Precision.INT8, Precision.FP16, Precision.FP8)
"""What converts quickly first: it tells which backends are worth the rest. Int4 is left out: it is for the size of
language models, and seldom for speed."""

_HOPELESS = 4.0
"""A backend that is slower in fp32 than the fastest fp32 by this factor does not make up for it in lower precisions."""

_CALIBRATED_WITH = 32
"""Samples that a trial calibrates with at most; the full build takes those that were asked for."""


def candidates(
    options: AutoOptions, model_format: Format, offered: Sequence[str], has_dataset: bool
) -> tuple[list[Target], list[Candidate]]:
    """Targets to try, and those that are passed over. ``offered``: names of the worker's backends."""
    found: list[Target] = []
    skipped: list[Candidate] = []
    for precision in _PROMISE:
        for backend in map(backends.get, offered):
            if precision not in backend.offered() or model_format not in backend.formats():
                continue
            target = Target(
                backend=backend.name, precision=precision, options=_options(options, backend, precision, has_dataset)
            )
            reason = _unwanted(options, target) or _needs(target, has_dataset)
            if reason:
                skipped.append(Candidate(target=target, stage=Stage.SKIPPED, reason=reason))
            else:
                found.append(target)
    found.sort(key=lambda one: one != ANCHOR)  # the first: the others are measured by it
    for target in found[options.candidates :]:
        reason = f"more than {options.candidates} candidates"
        skipped.append(Candidate(target=target, stage=Stage.SKIPPED, reason=reason))
    return found[: options.candidates], skipped


def _options(options: AutoOptions, backend: Backend, precision: Precision, has_dataset: bool) -> dict[str, object]:
    """Where there is no dataset, made-up calibration if allowed; no word that a backend does not know."""
    if not needs_dataset(precision, {}):
        return {}
    told: dict[str, object] = {"calibration_samples": options.calibration_samples}
    if options.calibration == "generated" and not has_dataset:
        told["calibration"] = "generated"
    defaults = backend.options.model_fields
    return {name: value for name, value in told.items() if name in defaults and defaults[name].default != value}


def _unwanted(options: AutoOptions, target: Target) -> str:
    if options.backends and target.backend not in options.backends:
        return "the request leaves this backend out"
    if options.precisions and target.precision not in options.precisions:
        return "the request leaves this precision out"
    return ""


def _needs(target: Target, has_dataset: bool) -> str:
    if needs_dataset(target.precision, target.options) and not has_dataset:
        return "it takes its ranges from samples, and the job names no dataset"
    return ""


def hopeless(target: Target, tried: Sequence[Candidate]) -> str:
    """Why a candidate is not worth its trial after those before it; empty where it is."""
    own = next((one for one in tried if one.target.backend == target.backend), None)
    if own is None or own.stage is not Stage.TIMED or target.precision is own.target.precision:
        return ""
    # With its like: a lower precision that the hardware is made for leaves every fp32 behind.
    alike = [one for one in tried if one.stage is Stage.TIMED and one.target.precision is own.target.precision]
    behind = speed(own) / min(map(speed, alike))
    return f"{own.target} is {behind:.1f} times slower than the fastest" if behind > _HOPELESS else ""


def for_trial(target: Target) -> Target:
    """The target with fewer calibration samples."""
    asked = target.options.get("calibration_samples", _CALIBRATED_WITH)
    if not needs_dataset(target.precision, {}):
        return target
    fewer = {**target.options, "calibration_samples": min(int(asked), _CALIBRATED_WITH)}
    return target.model_copy(update={"options": fewer})

"""Eight-bit weights and activations by NNCF's post-training quantisation, with ranges from samples.

NNCF is imported here and only when it is asked for: it takes two seconds and brings PyTorch with it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import openvino

from enginehouse.errors import CalibrationFailed, EnginehouseError, PrecisionNotKept
from workers.backends.base import Arrays, as_fed, first_line
from workers.backends.openvino import graph, scopes
from workers.backends.openvino.accuracy import Metric, classes, runner
from workers.backends.openvino.naming import Names, names
from workers.backends.openvino.options import FIXES, MOST_COMPARED, OpenVinoOptions, overflow_fix
from workers.backends.workpiece import Source, Workpiece

_INTERMEDIATE = "quantised"
_ADVICE = (
    "Leave the nodes that the message names in float (ignored_scopes), give samples that take every branch of the "
    "model, or choose quantization=weights or a higher precision."
)


class Items(Sequence[Any]):
    """Samples as NNCF takes them: read one by one, contiguous, only the model's inputs, numbered or not."""

    def __init__(self, feeds: Sequence[Arrays], model: Any, *, numbered: bool = False) -> None:
        self._feeds = feeds
        self._inputs = {str(port.get_any_name()) for port in model.inputs}
        self._numbered = numbered

    def __len__(self) -> int:
        return len(self._feeds)

    def __getitem__(self, index: Any) -> Any:
        if index >= len(self._feeds):
            raise IndexError(index)
        fed = {name: as_fed(array) for name, array in self._feeds[index].items() if name in self._inputs}
        return (index, fed) if self._numbered else fed


def quantize(piece: Workpiece, source: Source, model: Any) -> Any:
    """``model`` with FakeQuantize nodes. Raises CalibrationFailed, DatasetRequired, InvalidOption."""
    options: OpenVinoOptions = piece.options
    calibration, feeds = piece.samples.calibration(options.calibration_samples, options.calibration == "generated")
    calibration.method = f"NNCF MinMax, {_preset(options)}"
    calibration.method += ", fast bias correction" if options.fast_bias_correction else ", bias correction"
    known = names(source, piece)
    ignored = scopes.ignored(options, model, known)
    if graph.has_bodies(model):
        model = model.clone()  # without the nodes in branches that nothing reads, which NNCF stumbles over
    with calibrating():
        if options.quantization == "accuracy":
            calibration.method += f", accuracy control to {options.drop_type} {options.max_drop:g}"
            made = _controlled(piece, known, model, feeds, ignored)
        else:
            import nncf

            made = nncf.quantize(
                model, nncf.Dataset(Items(feeds, model)), subset_size=len(feeds), **settings(options, ignored)
            )
    piece.notes.calibration = calibration
    piece.notes.kept_float += known.of(ignored)
    return made


def settings(options: OpenVinoOptions, ignored: Sequence[str]) -> dict[str, Any]:
    """What static quantisation and accuracy control are told alike."""
    import nncf

    fix = nncf.OverflowFix(FIXES[overflow_fix(options)])
    return {
        "preset": None if options.preset is None else nncf.QuantizationPreset(options.preset),
        "model_type": None if options.model_type is None else nncf.ModelType(options.model_type),
        "fast_bias_correction": options.fast_bias_correction,
        "ignored_scope": nncf.IgnoredScope(names=list(ignored)) if ignored else None,
        _ADVANCED[options.quantization == "accuracy"]: nncf.AdvancedQuantizationParameters(overflow_fix=fix),
    }


_ADVANCED = {False: "advanced_parameters", True: "advanced_quantization_parameters"}


@contextmanager
def calibrating() -> Iterator[None]:
    """What NNCF raises, as CalibrationFailed with its own words."""
    try:
        yield
    except (EnginehouseError, MemoryError):
        raise
    except Exception as error:
        raise CalibrationFailed(f"NNCF: {type(error).__name__}: {first_line(error)}", advice=_ADVICE) from error


def _preset(options: OpenVinoOptions) -> str:
    return options.preset or ("mixed" if options.model_type == "transformer" else "performance")


def _controlled(piece: Workpiece, known: Names, model: Any, feeds: Sequence[Arrays], ignored: Sequence[str]) -> Any:
    """Quantise, then put back to float what costs most, until the metric is within max_drop of the float model's."""
    import nncf

    options: OpenVinoOptions = piece.options
    metric = Metric(classes(model, piece.samples.labels()))
    checked = feeds if metric.labels is not None else feeds[:MOST_COMPARED]
    numbered = Items(checked, model, numbered=True)
    config = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": piece.threads}
    core = openvino.Core()
    float_run = runner(core.compile_model(model, "CPU", config))
    metric.remember(float_run, numbered)
    before, _ = metric(float_run, numbered)
    del float_run
    folder = piece.work / _INTERMEDIATE
    folder.mkdir(exist_ok=True)
    made = nncf.quantize_with_accuracy_control(
        model,
        nncf.Dataset(Items(feeds, model)),
        nncf.Dataset(numbered, lambda item: item[1]),
        lambda compiled, items: metric(runner(compiled), items),
        max_drop=options.max_drop,
        drop_type=nncf.DropType(options.drop_type),
        subset_size=len(feeds),
        advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(
            num_ranking_workers=1, intermediate_model_dir=str(folder)
        ),
        **settings(options, ignored),
    )
    after, _ = metric(runner(core.compile_model(made, "CPU", config)), numbered)
    lost = before - after if options.drop_type == "absolute" or not before else 1 - after / before
    told = f"{metric.name} on {len(checked)} samples: {after:.4f} in int8, {before:.4f} in float"
    first = core.read_model(folder / "intermediate_model.xml")
    kept = graph.quantised(made)
    restored = graph.quantised(first) - kept
    if not kept:
        raise PrecisionNotKept(
            f"accuracy control put all {len(restored)} layers back to float to keep max_drop {options.max_drop:g}",
            advice="Accept a larger max_drop, or choose fp16 or bf16.",
        )
    piece.notes.kept_float += known.of(sorted(restored))
    piece.notes.say(f"{told}; layers put back to float: {len(restored)}")
    if lost > options.max_drop:
        raise CalibrationFailed(
            f"accuracy control did not come within max_drop {options.max_drop:g} ({options.drop_type}): {told}",
            advice="Accept a larger max_drop, calibrate with more samples, or choose fp16 or bf16.",
        )
    return made

"""The part of the script that quantises or compresses weights."""

from __future__ import annotations

from enginehouse.targets import Precision
from workers.backends.openvino.options import (
    FIXES,
    LEAST_GROUP,
    MOST_COMPARED,
    TOP_1,
    OpenVinoOptions,
    ignored,
    overflow_fix,
)
from workers.backends.workpiece import Workpiece

_SAMPLES = """
import numpy

# dataset.npz: one array per input, first axis = samples.{origin}
arrays = numpy.load("dataset.npz")
types = {types}
count = min({most}, *(len(arrays[name]) for name in types))
samples = [{{name: arrays[name][i].astype(kind) for name, kind in types.items()}} for i in range(count)]
"""

_ADVANCED = """
advanced = nncf.AdvancedQuantizationParameters(overflow_fix=nncf.OverflowFix("{fix}"))
"""

_STATIC = """
model = nncf.quantize(
    model,
    nncf.Dataset(samples),
    subset_size=count,
{settings}    advanced_parameters=advanced,
)
"""

_ACCURACY = """
labels = {labels}


def outputs(compiled, sample):
    return [numpy.array(one) for one in compiled(sample).to_tuple()]


def agreement(mine, true):
    if not numpy.issubdtype(true.dtype, numpy.floating):
        return float(numpy.mean(mine == true))
    known = numpy.isfinite(true)
    a, b = mine[known].astype(numpy.float64), true[known].astype(numpy.float64)
    length = float(numpy.linalg.norm(a) * numpy.linalg.norm(b))
    return float(a @ b) / length if length and numpy.isfinite(a).all() else float(not a.any() and not b.any())


compiled = openvino.Core().compile_model(model, "CPU", {{"INFERENCE_PRECISION_HINT": "f32"}})
checked = samples if labels is not None else samples[:{most}]
true = [outputs(compiled, sample) for sample in checked]


def metric(compiled, items):
    each = []
    for number, sample in items:
        mine = outputs(compiled, sample)
        if labels is not None:
            each.append(float(mine[0].argmax() == labels[number]))
        else:
            each.append(float(numpy.mean([agreement(a, b) for a, b in zip(mine, true[number])])))
    return float(numpy.mean(each)), each


model = nncf.quantize_with_accuracy_control(
    model,
    nncf.Dataset(samples),
    nncf.Dataset(list(enumerate(checked)), lambda item: item[1]),
    metric,
    max_drop={max_drop},
    drop_type=nncf.DropType("{drop_type}"),
    subset_size=count,
{settings}    advanced_quantization_parameters=advanced,
    advanced_accuracy_restorer_parameters=nncf.AdvancedAccuracyRestorerParameters(num_ranking_workers=1),
)
"""

_BODIES = """
if any(node.get_type_name() in ("If", "Loop", "TensorIterator") for node in model.get_ops()):
    model = model.clone()
"""

_WEIGHTS = """
model = nncf.compress_weights(
    model,
{settings})
"""

_IGNORED = """
names, types, patterns = {names}, {types}, {patterns}
ignored = []
for node in model.get_ops():
    mine = own.get(node.get_friendly_name(), {{node.get_friendly_name(), node.get_friendly_name().split("/")[0]}})
    meant = node.get_type_name() in types or mine & names or any(re.match(p, one) for p in patterns for one in mine)
    if meant and node.get_type_name() not in ("Constant", "Parameter", "Result"):
        ignored.append(node.get_friendly_name())
"""


def quantization(piece: Workpiece, ignoring: bool) -> str:
    """Empty for a float precision. ``ignoring``: ``own`` has the source's names of each node, or is empty."""
    options: OpenVinoOptions = piece.options
    if piece.precision not in (Precision.INT8, Precision.INT4):
        return ""
    parts = ["\nimport nncf\n"]
    if ignoring:
        scopes = ignored(options)
        parts.append(_IGNORED.format(names=set(scopes.names) or "set()", types=scopes.types, patterns=scopes.patterns))
    only_weights = piece.precision is Precision.INT4 or options.quantization == "weights"
    if not only_weights or (options.data_aware and piece.precision is Precision.INT4):
        parts.append(_samples(piece))
    return "".join(parts) + (_weights(piece, ignoring) if only_weights else _calibrated(piece, ignoring))


def _samples(piece: Workpiece) -> str:
    types = {spec.name: spec.dtype for spec in piece.source.signature.inputs}
    generated = "\n# The farm made inputs up, which prove nothing: put samples of your own there."
    calibration = piece.notes.calibration
    if calibration is not None and calibration.origin != "generated":
        generated = f"\n# The farm used {calibration.origin}."
    elif calibration is None:
        generated = ""
    return _SAMPLES.format(types=types, most=piece.options.calibration_samples, origin=generated)


def _calibrated(piece: Workpiece, ignoring: bool) -> str:
    options: OpenVinoOptions = piece.options
    given = [f"fast_bias_correction={options.fast_bias_correction}"]
    if options.preset is not None:
        given.append(f'preset=nncf.QuantizationPreset("{options.preset}")')
    if options.model_type is not None:
        given.append(f'model_type=nncf.ModelType("{options.model_type}")')
    if ignoring:
        given.append("ignored_scope=nncf.IgnoredScope(names=ignored)")
    labelled = any(one.startswith(TOP_1) for one in piece.notes.sentences)
    told = {
        "settings": _lines(given),
        "fix": FIXES[overflow_fix(options)],
        "max_drop": options.max_drop,
        "drop_type": options.drop_type,
        "most": MOST_COMPARED,
        "labels": 'arrays["labels"].ravel()' if labelled else None,
    }
    how = _ACCURACY if options.quantization == "accuracy" else _STATIC
    return _BODIES + _ADVANCED.format(**told) + how.format(**told)


def _weights(piece: Workpiece, ignoring: bool) -> str:
    options: OpenVinoOptions = piece.options
    bits, kind = piece.precision.removeprefix("int"), options.weight_mode.removesuffix("metric")
    given = [f"mode=nncf.CompressWeightsMode.INT{bits}_{'SYM' if kind == 'sym' else 'ASYM'}"]
    if piece.precision is Precision.INT4:
        given += [
            f"ratio={options.ratio}",
            f"group_size={options.group_size}",
            f"all_layers={options.all_layers}",
            "advanced_parameters=nncf.AdvancedCompressionParameters(",
            "    group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST,",
            f"    min_adjusted_group_size={LEAST_GROUP},",
            ")",
        ]
        if options.data_aware:
            given += ["dataset=nncf.Dataset(samples)", "subset_size=count", "scale_estimation=True"]
    if ignoring:
        given.append("ignored_scope=nncf.IgnoredScope(names=ignored)")
    return _WEIGHTS.format(settings=_lines(given))


def _lines(given: list[str]) -> str:
    return "".join(f"    {one}{'' if one.endswith(('(', ',')) else ','}\n" for one in given)

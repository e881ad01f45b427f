"""Weights stored in eight or four bits by NNCF and computed with in float: smaller files, less memory to read."""

from __future__ import annotations

from typing import Any

from enginehouse.targets import Precision
from workers.backends.openvino import graph, scopes
from workers.backends.openvino.naming import names
from workers.backends.openvino.options import LEAST_GROUP, OpenVinoOptions
from workers.backends.openvino.quantize import Items, calibrating
from workers.backends.workpiece import Source, Workpiece


def compress(piece: Workpiece, source: Source, model: Any) -> Any:
    """``model`` with compressed weights. Raises CalibrationFailed, InvalidOption, DatasetRequired (data_aware)."""
    import nncf

    options: OpenVinoOptions = piece.options
    known = names(source, piece)
    ignored = scopes.ignored(options, model, known)
    told = settings(piece.precision, options)
    if ignored:
        told["ignored_scope"] = nncf.IgnoredScope(names=ignored)
    if options.data_aware and piece.precision is Precision.INT4:
        generated = options.calibration == "generated"
        calibration, feeds = piece.samples.calibration(options.calibration_samples, generated)
        told.update(dataset=nncf.Dataset(Items(feeds, model)), subset_size=len(feeds), scale_estimation=True)
        calibration.method = "NNCF scale estimation"
        piece.notes.calibration = calibration
    with calibrating():
        made = nncf.compress_weights(model, **told)
    piece.notes.kept_float += known.of(ignored)
    stored = graph.stored(made)
    bits = {4: stored["i4"] + stored["u4"], 8: stored["i8"] + stored["u8"], 32: stored["f32"] + stored["f64"]}
    shares = ", ".join(f"{count / sum(bits.values()):.0%} in {size} bits" for size, count in bits.items() if count)
    piece.notes.say(f"of the numbers that are stored {shares}")
    return made


def settings(precision: Precision, options: OpenVinoOptions) -> dict[str, Any]:
    """What NNCF is told without looking at the model."""
    import nncf

    symmetric = options.weight_mode == "symmetric"
    if precision is Precision.INT8:
        mode = nncf.CompressWeightsMode.INT8_SYM if symmetric else nncf.CompressWeightsMode.INT8_ASYM
        return {"mode": mode}
    return {
        "mode": nncf.CompressWeightsMode.INT4_SYM if symmetric else nncf.CompressWeightsMode.INT4_ASYM,
        "ratio": options.ratio,
        "group_size": options.group_size,
        "all_layers": options.all_layers,
        "advanced_parameters": nncf.AdvancedCompressionParameters(
            group_size_fallback_mode=nncf.GroupSizeFallbackMode.ADJUST, min_adjusted_group_size=LEAST_GROUP
        ),
    }

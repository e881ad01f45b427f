"""How far the source model's own outputs move when its weights are rounded once more.

Some models amplify rounding without bound (a softmax over logits of 1e10 picks another class for the last bit of
a weight). There, two correct runtimes disagree, and whoever reads the report should know that it is the model's doing.
Looked at only where an artifact is outside the tolerance, since it costs another load of the model.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from enginehouse.targets import Precision
from workers.backends.base import Array, Setting, first_line
from workers.backends.workpiece import Source
from workers.pipeline.compare import Comparison

_SEEDS = (1, 2)
_MOST_BYTES = 512 * 2**20

# Two units in the last place of a float32, of a half and of a bfloat16, relative.
_ROUNDING = {Precision.FP32: 2.0**-22, Precision.FP16: 2.0**-10, Precision.BF16: 2.0**-7}


def movement(
    source: Source, precision: Precision, feeds: list[dict[str, Array]], outputs: list[dict[str, Array]], work: Path
) -> dict[str, Comparison]:
    """Output name to the furthest that rounding moves it; empty for a model that is too large to look at."""
    import onnx

    from workers.backends.onnxruntime.convert import optimised
    from workers.backends.onnxruntime.run import OnnxRuntimeSession

    if sum(path.stat().st_size for path in source.path.parent.rglob("*") if path.is_file()) > _MOST_BYTES:
        return {}
    # Constants are folded first: weights that are made by nodes are weights too.
    folded = optimised(source, "basic", work / "conditioning")
    rounding = _ROUNDING.get(precision, _ROUNDING[Precision.FP16])
    found: dict[str, Comparison] = {}
    for seed in _SEEDS:
        model = onnx.load(folded)
        round_weights(model, rounding, np.random.default_rng(seed))
        rounded = folded.with_name(f"rounded{seed}.onnx")
        onnx.save(model, rounded)
        session = OnnxRuntimeSession(rounded, Setting(threads=1))
        for fed, true in zip(feeds, outputs, strict=True):
            try:
                mine = session.run(fed)
            except Exception as error:  # noqa: BLE001 - a rounded number may be a size: then there is nothing to learn
                print(f"with rounded weights the source model does not run: {first_line(error)}", flush=True)  # noqa: T201
                return {}
            for name, expected in true.items():
                found.setdefault(name, Comparison(name)).add(mine.get(name), expected)
    return found


def round_weights(model: Any, rounding: float, random: np.random.Generator) -> None:
    """Multiply every element of every floating initialiser by 1 ± ``rounding`` at most, in place."""
    from onnx import TensorProto, numpy_helper

    floating = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16}
    for tensor in model.graph.initializer:
        if tensor.data_type not in floating or not tensor.dims:
            continue
        values = numpy_helper.to_array(tensor)
        moved = values.astype(np.float64) * (1 + rounding * random.uniform(-1, 1, values.shape))
        tensor.CopyFrom(numpy_helper.from_array(moved.astype(values.dtype), tensor.name))

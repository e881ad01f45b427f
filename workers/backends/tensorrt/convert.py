"""From the source's ONNX to files: typed graph, engine, record, and the proof that it is what was asked for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import tensorrt as trt

from enginehouse.errors import BoundsRequired, PrecisionNotKept
from enginehouse.shapes import Profile
from workers.backends.base import Saved
from workers.backends.kept import Kept
from workers.backends.tensorrt import record, timing_cache
from workers.backends.tensorrt.device import device
from workers.backends.tensorrt.engine import Definition, ShapeValues, deserialize, facts
from workers.backends.tensorrt.messages import messages
from workers.backends.tensorrt.plan import Plan, plan_of
from workers.backends.tensorrt.profiles import profiles_of
from workers.backends.tensorrt.readback import Asked, differences, summary
from workers.backends.tensorrt.sparsity import sparse_layers
from workers.backends.tensorrt.typed import Typed
from workers.backends.workpiece import Workpiece

ENTRY = "model.engine"
WEIGHTS = "weights.onnx"
_INLINE_BYTES = 1_500_000_000


def save(piece: Workpiece, graph: Typed, folder: Path) -> Saved:
    """Build the engine and write it with its record. Raises CompileFailed, UnsupportedOperator, PrecisionNotKept."""
    options, plan = piece.options, plan_of(piece.precision, piece.options)
    asked_profiles = profiles_of(piece.onnx.signature.inputs, piece.shapes, piece.profiles)
    gpu = device()
    _build(piece, graph, plan, asked_profiles, folder / ENTRY)
    files = [ENTRY, record.FILE]
    if plan.stripped:
        files += _weights(graph.path, folder)
    made = record.Record(
        tensorrt=str(trt.__version__),
        gpu=gpu.name,
        compute_capability=gpu.compute_capability,
        cuda_runtime=gpu.cuda_runtime,
        cuda_driver=gpu.cuda_driver,
        precision=str(piece.precision),
        hardware_compatibility=plan.hardware_compatibility,
        version_compatible=plan.version_compatible,
        weights=WEIGHTS if plan.stripped else None,
        profiles=asked_profiles,
        plan=plan.as_dict(),
    )
    made.write(folder)
    built = facts(deserialize(folder / ENTRY, host_code=plan.version_compatible))
    asked = Asked(
        precision=piece.precision,
        plan=plan,
        inputs=tuple(piece.onnx.signature.inputs),
        outputs=tuple(piece.onnx.signature.outputs),
        profiles=asked_profiles,
        kept_float=graph.kept_float,
        source_types=graph.source_types,
        float_type=options.float_type,
        unused=graph.unused,
    )
    if found := differences(asked, built):
        raise PrecisionNotKept(f"the engine is not what was asked for: {'; '.join(found)}", differences=found)
    piece.notes.say(summary(built.layers))
    return Saved(folder=folder, entry=ENTRY, files=tuple(files), settings=made.settings())


def _build(piece: Workpiece, graph: Typed, plan: Plan, ranges: tuple[Profile, ...], path: Path) -> None:
    """Write the serialised engine. Everything that held the network and its weights is gone afterwards."""
    kept, notes, with_timings = Kept(piece.work), piece.notes, piece.options.timing_cache

    def attach(config: Any) -> Any:
        return timing_cache.attach(config, kept, notes) if with_timings else None

    definition = Definition(graph.path)
    values = _values(piece, definition.shape_inputs())
    messages().sparsity = []
    serialized, config = definition.build(plan, ranges, values, attach)
    path.write_bytes(serialized)
    if with_timings:
        timing_cache.keep(config, kept, notes)
    if piece.options.sparsity:
        notes.say(str(sparse_layers(messages().sparsity)))


def _values(piece: Workpiece, names: list[str]) -> ShapeValues:
    """Bounds for inputs whose values decide shapes: those of the inputs that the source model is known to run on."""
    if not names:
        return {}
    typical = piece.samples.typical()
    found: ShapeValues = {}
    for name in names:
        seen = [np.atleast_1d(feeds[name]).reshape(-1) for feeds in typical if name in feeds]
        if not seen or len({one.size for one in seen}) > 1:
            detail = f"the values of input '{name}' decide shapes, and no sample shows them"
            raise BoundsRequired(detail, dimensions=[name])
        smallest, largest = np.min(seen, axis=0), np.max(seen, axis=0)
        low, high = smallest.tolist(), largest.tolist()
        found[name] = (low, seen[0].tolist(), high)
        piece.notes.say(f"the values of '{name}' decide shapes: the engine takes {low} to {high}")
    return found


def _weights(path: Path, folder: Path) -> list[str]:
    """The typed ONNX beside the stripped engine, in as few files as its size allows."""
    model = onnx.load(path)
    large = model.ByteSize() > _INLINE_BYTES
    onnx.save(model, folder / WEIGHTS, save_as_external_data=large, location=f"{WEIGHTS}.data" if large else None)
    return [WEIGHTS, f"{WEIGHTS}.data"] if large else [WEIGHTS]

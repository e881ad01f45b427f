"""From the source to the artifact: optimised offline, in the precision that was asked for, as .onnx or .ort.

FP32 is optimised and written. FP16 is optimised and then cast, since the CPU provider's optimiser would fold half
weights back to float. INT8 is optimised a little (folded batch norms and constants give other ranges), quantised, and
optimised again, which fuses the Q/DQ nodes into integer operators.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from enginehouse.errors import ConversionFailed
from enginehouse.targets import Precision
from workers.backends.base import Saved
from workers.backends.onnxruntime import lineage, record
from workers.backends.onnxruntime.modern import modern
from workers.backends.onnxruntime.run import providers
from workers.backends.workpiece import Source, Workpiece
from workers.stages.graph import all_nodes, bytes_of, load_model, operator_set, save_model, tidied

ENTRIES = {"onnx": "model.onnx", "ort": "model.ort"}
WEIGHTS = "model.onnx.data"

# A protobuf cannot exceed 2 GiB: weights of larger models go beside it. A .ort file cannot either.
_INLINE_BYTES = 1_500_000_000
_MOST_ORT_BYTES = 2_000_000_000

_INSIDE = "1024"
"""Bytes of an initialiser below which it stays in the graph's file."""

_LEVELS = {
    "none": onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL,
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}


@dataclass(frozen=True)
class Staged:
    """An ONNX file on its way. ``done``: it is the artifact; ``source`` is what ONNX Runtime was first given."""

    path: Path
    source: Source
    done: bool = False

    @property
    def as_source(self) -> Source:
        """The file as stages take it."""
        return Source(self.path, self.source.signature)


def read(piece: Workpiece) -> Staged:
    """Let ONNX Runtime optimise the graph and write what it made. No custom-operator library is ever loaded."""
    options, precision = piece.options, piece.precision
    names = providers(options.provider)
    source = Source(modern(piece.onnx), piece.onnx.signature)
    model, changed = tidied(onnx.load(source.path, load_external_data=False))
    lineage.write(piece.work, model)
    if precision is Precision.FP16 and is_half(model):
        return Staged(source.path, source)  # the CPU provider's optimiser would turn its weights to float
    if precision is Precision.FP32:
        level, form, target = options.level, options.form, piece.work / "optimised" / ENTRIES[options.form]
    else:
        level, form, target = _before_stages(piece), "onnx", piece.work / "optimised" / ENTRIES["onnx"]
        record.keep(piece.work, level=level)
    optimise(model, source.folder, target, level, form, names, None if changed else source.path)
    if precision is Precision.FP32:
        return Staged(target, source, done=True)
    if is_half(model):  # float copies of half weights are folded in a second go
        again = target.parent / "again" / target.name
        optimise(load_model(target), target.parent, again, level, form, names, target)
        target = again
        record.keep(piece.work, twice=True)
    lineage.follow(piece.work, load_model(target))
    return Staged(target, source)


def prepare(piece: Workpiece, staged: Staged) -> Staged:
    """The graph in the precision that was asked for."""
    if piece.precision is Precision.FP32:
        return staged
    from workers.backends.onnxruntime.lower import half, int8

    made = half(piece, staged.as_source) if piece.precision is Precision.FP16 else int8(piece, staged.as_source)
    lineage.follow(piece.work, load_model(made.path))
    record.keep(piece.work, staged=str(made.path))
    return Staged(made.path, staged.source)


def save(piece: Workpiece, staged: Staged, folder: Path) -> Saved:
    """Write model.onnx (and model.onnx.data where it is too large for one file) or model.ort."""
    options = piece.options
    entry = ENTRIES[options.form]
    model = None if staged.done else load_model(staged.path)
    if staged.done:
        for file in sorted(staged.path.parent.iterdir()):
            file.rename(folder / file.name)
    elif piece.precision is Precision.FP16 and options.form == "onnx":
        save_model(model, staged.path.parent, folder / entry)
    else:
        level = "none" if piece.precision is Precision.FP16 else options.level
        optimise(model, staged.path.parent, folder / entry, level, options.form, providers(options.provider))
    if model is not None:
        from workers.backends.onnxruntime.kept import check_kept

        check_kept(piece, folder / entry)
    files = tuple(name for name in (entry, WEIGHTS) if (folder / name).exists())
    return Saved(folder=folder, entry=entry, files=files, settings=_needs(folder / entry))


def _needs(path: Path) -> dict[str, str | int]:
    """What an ONNX Runtime must know to read the file, for the manifest; a .ort file does not tell."""
    if path.suffix == ".ort":
        return {}
    model = onnx.load(path, load_external_data=False)
    more = {node.domain for node in all_nodes(model.graph)} - {"", "ai.onnx"}
    return {"opset": operator_set(model), "ir_version": model.ir_version, "domains": ",".join(sorted(more))}


def optimised(source: Source, level: str, folder: Path) -> Path:
    """The model as ONNX Runtime optimises it for the CPU, in a folder of its own."""
    path = modern(source)
    optimise(load_model(path), path.parent, folder / ENTRIES["onnx"], level, "onnx", providers("cpu"), path)
    return folder / ENTRIES["onnx"]


def optimise(
    model: Any, beside: Path, target: Path, level: str, form: str, names: list[str], path: Path | None = None
) -> None:
    """Have ONNX Runtime optimise a graph whose external data lies in ``beside``, and write it to ``target``.

    ``path``: where the graph lies, if it is as it is there. ``names``: of the execution providers.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    tensors = model.graph.initializer
    size = sum(bytes_of(tensor) for tensor in tensors)
    outside = any(tensor.data_location == tensor.EXTERNAL for tensor in tensors)
    if form == "ort" and size > _MOST_ORT_BYTES:
        raise ConversionFailed(
            f"the model has {size / 1e9:.1f} GB of weights, and a .ort file holds at most {_MOST_ORT_BYTES / 1e9:.0f}",
            advice="Build it with the option form=onnx, whose weights may lie beside it.",
        )
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = _LEVELS[level]
    options.optimized_model_filepath = str(target)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.model_external_initializers_file_folder_path", str(beside))
    if form == "ort":
        options.add_session_config_entry("session.save_model_format", "ORT")
    elif outside or size > _INLINE_BYTES:
        # Weights of other files would still be looked for there; shapes stay inside, where inference needs them.
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", _INSIDE)
    onnxruntime.InferenceSession(path or model.SerializeToString(), options, providers=names)


def is_half(model: Any) -> bool:
    """Whether a model's weights are half precision already."""
    kinds = {tensor.data_type for tensor in model.graph.initializer if tensor.dims}
    return onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds


def _before_stages(piece: Workpiece) -> str:
    """How far the graph is optimised before it is cast or quantised."""
    level: str = piece.options.level
    if piece.precision is Precision.INT8 or piece.options.provider != "cpu":
        return "basic"  # the quantiser, and other providers, know the standard's operators
    if level == "all":
        piece.notes.say("fp16: level 'all' lays tensors out for float kernels, so 'extended' is taken")
        return "extended"
    return level

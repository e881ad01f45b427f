"""Offline optimisation of an ONNX graph, and its half-precision form."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime

from enginehouse.errors import BuildError, ConversionFailed, UnsupportedOperator
from enginehouse.targets import Precision
from workers.backends.base import Saved, first_line
from workers.backends.onnxruntime.modern import modern
from workers.backends.workpiece import Source

ENTRY = "model.onnx"
WEIGHTS = "model.onnx.data"

# A protobuf cannot exceed 2 GiB: weights of larger models go beside it.
_INLINE_BYTES = 1_500_000_000

_INSIDE = "1024"
"""Bytes of an initialiser below which it stays in the graph's file."""

_LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}

_UNIMPLEMENTED = re.compile(r"Could not find an implementation for (\S+?)\((\d+)\) node")
_UNKNOWN = (
    re.compile(r"Fatal error: (\S+?)\(-?\d+\) is not a registered function/op"),
    re.compile(r"No Op registered for (\S+)"),
    re.compile(r"No opset import for domain '?([\w.]+)'?"),
)


@dataclass(frozen=True)
class Optimised:
    """An optimised graph on disk (its weights may lie beside it), or in memory after the precision changed."""

    path: Path
    source: Path
    model: Any = None


def read(source: Source, level: str, work: Path) -> Optimised:
    """Let ONNX Runtime optimise the graph and write what it made. No custom-operator library is ever loaded."""
    folder = work / "optimised"
    folder.mkdir(parents=True, exist_ok=True)
    path = modern(source)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.graph_optimization_level = _LEVELS[level]
    options.optimized_model_filepath = str(folder / ENTRY)
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    beside = [file for file in source.path.parent.rglob("*") if file.is_file() and file not in {source.path, path}]
    if beside or path.stat().st_size > _INLINE_BYTES:
        # Weights of other files would still be looked for there; shapes stay inside, where inference needs them.
        options.add_session_config_entry("session.optimized_model_external_initializers_file_name", WEIGHTS)
        options.add_session_config_entry("session.optimized_model_external_initializers_min_size_in_bytes", _INSIDE)
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return Optimised(folder / ENTRY, path)


def prepare(optimised: Optimised, precision: Precision) -> Optimised:
    """fp32 as it is; fp16 after the optimisation, since the CPU provider would fold half weights back to float."""
    if precision is Precision.FP32:
        return optimised
    from onnxruntime.transformers.float16 import convert_float_to_float16

    if _is_half(optimised.source):  # the CPU provider's optimiser has turned its weights to float
        return Optimised(optimised.path, optimised.source, onnx.load(optimised.source))
    model = convert_float_to_float16(onnx.load(optimised.path), keep_io_types=True)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    if onnx.TensorProto.FLOAT16 not in kinds and onnx.TensorProto.DOUBLE in kinds:
        raise ConversionFailed(
            "the model's weights are double precision, which the conversion to half leaves as they are",
            advice="Export the model in float32.",
        )
    return Optimised(optimised.path, optimised.source, model)


def _is_half(path: Path) -> bool:
    """Whether a model's weights are half precision already."""
    weights = onnx.load(path, load_external_data=False).graph.initializer
    kinds = {tensor.data_type for tensor in weights if tensor.dims}
    return onnx.TensorProto.FLOAT16 in kinds and onnx.TensorProto.FLOAT not in kinds


def save(optimised: Optimised, folder: Path) -> Saved:
    """Write model.onnx, and model.onnx.data where it is too large for one file."""
    if optimised.model is None:
        for file in sorted(optimised.path.parent.iterdir()):
            file.rename(folder / file.name)
    elif optimised.model.ByteSize() > _INLINE_BYTES:
        onnx.save(optimised.model, folder / ENTRY, save_as_external_data=True, location=WEIGHTS)
    else:
        onnx.save(optimised.model, folder / ENTRY)
    files = tuple(name for name in (ENTRY, WEIGHTS) if (folder / name).exists())
    return Saved(folder=folder, entry=ENTRY, files=files)


def named(error: Exception, otherwise: type[BuildError]) -> BuildError:
    """The error with the operator that ONNX Runtime does not know, where it names one."""
    text = str(error)
    old = sorted(set(_UNIMPLEMENTED.findall(text)))
    if old:
        names = ", ".join(f"{operator} of operator set {version}" for operator, version in old)
        return UnsupportedOperator(
            f"ONNX Runtime has no CPU kernel for {names}",
            advice="Convert the model to a newer operator set: onnx.version_converter.convert_version(model, 17).",
            operators=[operator for operator, _ in old],
        )
    operators = sorted({match for pattern in _UNKNOWN for match in pattern.findall(text)})
    if operators:
        return UnsupportedOperator(
            f"ONNX Runtime does not know {', '.join(operators)}, and the farm loads no custom-operator libraries",
            operators=operators,
        )
    return otherwise(f"onnxruntime: {first_line(error)}")

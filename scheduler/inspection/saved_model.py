"""The signature of a TensorFlow SavedModel: a folder's files, or an archive of it. Nothing is run."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from enginehouse.archives import is_archive, members
from enginehouse.errors import ExternalDataMissing, ModelUnreadable, TooLarge
from enginehouse.formats import Format
from enginehouse.signature import ModelSignature, TensorSpec
from protos.saved_model import DTYPES, FILE, SavedModel, served
from scheduler.inspection.saved_model_code import refuse_code
from scheduler.inspection.saved_model_graph import needed
from scheduler.inspection.text import clean

INDEX = "variables/variables.index"

_MAX_GRAPH = 2 * 1024**3 - 1
_MAX_LISTED = 10_000
_MAX_RANK = 64
_EXPORT = "Export it again: tf.saved_model.save(module, path, signatures=...), or model.export(path) in Keras 3."
_VARIABLES = frozenset({"VarHandleOp", "VariableV2", "Variable"})
_WEIGHTS = frozenset({"float32", "float64", "float16", "bfloat16", "int8", "uint8"})
_SHARD = re.compile(r"variables/variables\.data-\d{5}-of-(\d{5})")


def read(files: Sequence[tuple[str, Path]]) -> ModelSignature:
    """The signature that is served. ``files``: path in the upload and where it lies now; the first is the model itself.

    Inputs and outputs bear the signature's keys and are sorted by them, as TensorFlow does.
    Raises ModelUnreadable or one of its kinds, and TooLarge.
    """
    data, names = _archived(files[0][1]) if is_archive(files[0][1]) else _listed(files)
    model = SavedModel()
    try:
        model.ParseFromString(data)
    except DecodeError:
        raise ModelUnreadable(f"{FILE} is not a SavedModel, or is cut off", advice=_EXPORT) from None
    if not model.meta_graphs:
        raise ModelUnreadable(f"{FILE} is not a SavedModel: it holds no graph", advice=_EXPORT)
    try:
        meta, key = served(model)
    except LookupError as error:
        raise ModelUnreadable(f"the SavedModel cannot be served: {clean(str(error))}", advice=_EXPORT) from None
    signature = meta.signatures[key]
    functions = {function.signature.name: function for function in meta.graph.library.function}
    refuse_code(meta, key, functions)
    _check_variables(meta, names)
    nodes = list(needed(meta.graph.node, functions, [info.name for info in signature.outputs.values()]))
    operators = Counter(clean(node.op) for node in nodes if node.op not in functions)
    return ModelSignature(
        format=str(Format.SAVED_MODEL),
        producer=clean(f"tensorflow {meta.meta_info.tensorflow_version}"),
        inputs=_specs(signature.inputs, "input"),
        outputs=_specs(signature.outputs, "output"),
        operators=dict(sorted(_few(operators.items(), "operator types"), key=lambda item: (-item[1], item[0]))),
        parameters=sum(_weights(node) for node in nodes),
    )


def _listed(files: Sequence[tuple[str, Path]]) -> tuple[bytes, set[str]]:
    """The graph's bytes, and the paths of all files relative to its folder."""
    name, path = files[0]
    size = path.stat().st_size
    if size > _MAX_GRAPH:
        raise TooLarge(f"{FILE} has {size} bytes; a protobuf ends at {_MAX_GRAPH}")
    folder = PurePosixPath(name).parent
    inside = [PurePosixPath(other) for other, _ in files]
    return path.read_bytes(), {str(other.relative_to(folder)) for other in inside if other.is_relative_to(folder)}


def _archived(path: Path) -> tuple[bytes, set[str]]:
    """The same of an archive, which may hold the folder's files or the folder itself."""
    found: dict[PurePosixPath, bytes] = {}
    every = []
    for member in members(path):
        every.append(PurePosixPath(member.path))
        if every[-1].name == FILE:
            if member.size > _MAX_GRAPH or found:
                raise ModelUnreadable(
                    f"the archive has more than one {FILE}" if found else f"{FILE} has {member.size} bytes",
                    advice="Pack one SavedModel's folder.",
                )
            found[every[-1].parent] = member.content()
    if not found:
        raise ModelUnreadable(f"the archive holds no {FILE}", advice="Pack the SavedModel's folder.")
    ((folder, data),) = found.items()
    return data, {str(name.relative_to(folder)) for name in every if name.is_relative_to(folder)}


def _check_variables(meta: Any, names: set[str]) -> None:
    """Raise ExternalDataMissing unless the files of the variables are there. What names a saver is restored by it."""
    has = meta.HasField("saver") or any(node.op in _VARIABLES for node in meta.graph.node)
    shards = [match for match in map(_SHARD.fullmatch, names) if match]
    missing = []
    if INDEX not in names:
        missing = [INDEX] if has or shards else []
    else:
        total = max((int(match[1]) for match in shards), default=1)
        wanted = [f"variables/variables.data-{i:05d}-of-{total:05d}" for i in range(min(total, _MAX_LISTED))]
        missing = [name for name in wanted if name not in names]
    if missing:
        raise ExternalDataMissing(
            f"the model's variables need '{missing[0]}', which was not uploaded",
            advice="Push the SavedModel's folder, not the .pb file alone, or an archive of the whole folder.",
            location=missing[0],
        )


def _weights(node: Any) -> int:
    """Elements of a variable, or of a constant that is no mere number."""
    if node.op in _VARIABLES:
        kind, shape = node.attr["dtype"].type, node.attr["shape"].shape
    elif node.op == "Const":
        kind, shape = node.attr["dtype"].type, node.attr["value"].tensor.shape
    else:
        return 0
    sizes = [dim.size for dim in shape.dim]
    if DTYPES.get(kind) not in _WEIGHTS or len(sizes) > _MAX_RANK or any(size < 0 for size in sizes):
        return 0
    count = math.prod(sizes)
    return count if count > 1 or node.op != "Const" else 0


def _specs(infos: Any, what: str) -> list[TensorSpec]:
    if what == "output" and not infos:
        raise ModelUnreadable("the served signature has no outputs", advice=_EXPORT)
    return [_spec(name, infos[name], what) for name in sorted(_few(infos, f"{what}s"))]


def _spec(name: str, info: Any, what: str) -> TensorSpec:
    if not name or clean(name, 500) != name:  # what is shown must be what is fed
        raise ModelUnreadable(
            f"the {what} '{clean(name)}' has a name that is empty, too long or has control characters", advice=_EXPORT
        )
    if not info.name:
        raise ModelUnreadable(
            f"the {what} '{name}' is sparse or ragged; the farm takes dense tensors",
            advice="Export a signature whose inputs and outputs are dense: tf.sparse.to_dense, RaggedTensor.to_tensor.",
        )
    if len(info.shape.dim) > _MAX_RANK:
        raise ModelUnreadable(f"the {what} '{name}' has {len(info.shape.dim)} dimensions")
    shape = [dim.size if dim.size >= 0 else None for dim in info.shape.dim]
    dtype = DTYPES.get(info.dtype, "undefined")
    return TensorSpec(name=name, dtype=dtype, shape=[None] if info.shape.unknown_rank else shape)


def _few(items: Any, what: str) -> Any:
    if len(items) > _MAX_LISTED:
        raise ModelUnreadable(f"the model has {len(items)} {what}; the farm reads {_MAX_LISTED}")
    return items

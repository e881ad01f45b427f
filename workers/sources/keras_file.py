"""Keras 3 (.keras): exported to a SavedModel whose signature bears the farm's names, and run by TensorFlow as such."""

from __future__ import annotations

import json
import re
import shutil
import zipfile
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from enginehouse.errors import ConversionFailed, EnginehouseError, ReferenceFailed
from enginehouse.formats import Format
from protos.keras_names import leaves, named
from protos.saved_model import DEFAULT, FILE, SavedModel, served
from workers.backends.base import Session, Setting
from workers.backends.workpiece import Source, Workpiece
from workers.sources import tf_onnx, tf_runtime
from workers.sources.base import SourceFormat

_CONFIG = "config.json"
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_MIXED = ("mixed_float16", "mixed_bfloat16")


def load(source: Source, work: Path) -> Any:
    """The keras model, without its optimiser, in safe mode. Layers of mixed precision compute in float32.

    Raises what Keras raises.
    """
    tf_runtime.tensorflow()
    import keras

    return keras.saving.load_model(_file(source, work), compile=False, safe_mode=True)


def saved_model(source: Source, work: Path) -> Path:
    """The folder of the exported SavedModel: 'serving_default' takes and gives the source's names.

    Raises ConversionFailed.
    """
    place = work / "keras_saved_model"
    if not place.exists():
        fresh = work / "keras_saved_model.new"
        shutil.rmtree(fresh, ignore_errors=True)
        try:
            _export(load(source, work), source, fresh)
        except (EnginehouseError, MemoryError):
            raise
        except Exception as error:
            raise ConversionFailed(f"Keras cannot load and export the model: {_reason(error)}") from error
        fresh.rename(place)
    return place


def _reason(error: Exception) -> str:
    """The line that says why. Keras puts where it happened before it, and colours it."""
    lines = [line.strip() for line in _COLOUR.sub("", str(error)).splitlines()]
    telling = [line for line in lines if line and not line.startswith("Exception encountered")]
    return (telling or [type(error).__name__])[0][:400]


def _file(source: Source, work: Path) -> Path:
    """The file under the suffix that Keras goes by, its mixed policies written as float32.

    A mixed policy keeps its weights in float32, and only what it computes with is shorter: the reference is FP32.
    """
    path = work / "source.keras"
    if path.exists():
        return path
    with zipfile.ZipFile(source.path) as packed:
        config = json.loads(packed.read(_CONFIG))
        if not _plain(config):
            path.symlink_to(source.path.resolve())
            return path
        fresh = work / "source.keras.new"
        with zipfile.ZipFile(fresh, "w") as out:
            for info in packed.infolist():
                with packed.open(info) as have, out.open(info.filename, "w", force_zip64=True) as want:
                    if info.filename == _CONFIG:
                        want.write(json.dumps(config).encode())
                    else:
                        shutil.copyfileobj(have, want)
        fresh.rename(path)
    return path


def _plain(config: Any) -> bool:
    """Replace mixed policies in place; whether there was one."""
    found, queue = False, [config]
    while queue:
        part = queue.pop()
        if isinstance(part, list):
            queue += part
        elif isinstance(part, dict):
            policy = part["config"] if part.get("class_name") == "DTypePolicy" else {}
            if policy.get("name") in _MIXED:
                policy["name"], found = "float32", True
            if part.get("dtype") in _MIXED:
                part["dtype"], found = "float32", True
            queue += part.values()
    return found


def _export(model: Any, source: Source, folder: Path) -> None:
    import keras

    tf = tf_runtime.tensorflow()
    structure, names_in, names_out = _names(model)
    tensors = [tensor for _, tensor in leaves(structure, keras.utils.is_keras_tensor)]
    specs = {
        name: tf.TensorSpec(tensor.shape, tensor.dtype, name=name)
        for name, tensor in zip(names_in, tensors, strict=True)
    }

    def serve(feeds: dict[str, Any]) -> dict[str, Any]:
        found = model(_filled(structure, iter(names_in), feeds), training=False)
        return dict(zip(names_out, (tensor for _, tensor in leaves(found, tf.is_tensor)), strict=True))

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(DEFAULT, serve, input_signature=[specs])
    archive.write_out(str(folder), verbose=False)
    meta, key = served(SavedModel.FromString((folder / FILE).read_bytes()))
    made = (set(meta.signatures[key].inputs), set(meta.signatures[key].outputs))
    wanted = ({spec.name for spec in source.signature.inputs}, {spec.name for spec in source.signature.outputs})
    if made != wanted:
        raise ConversionFailed(
            f"the exported SavedModel takes {sorted(made[0])} and gives {sorted(made[1])}, "
            f"the model {sorted(wanted[0])} and {sorted(wanted[1])}"
        )


def _names(model: Any) -> tuple[Any, list[str], list[str]]:
    """The structure of the model's inputs, and the names of inputs and outputs in the structures' own order."""
    import keras

    if isinstance(model, keras.Sequential):
        first = model.inputs[0]
        return first, *named([first._keras_history.operation.name], [("", model.layers[-1].name)])
    ends = [list(leaves(part, keras.utils.is_keras_tensor)) for part in (model._inputs_struct, model._outputs_struct)]
    inputs, outputs = ([(key, tensor._keras_history.operation.name) for key, tensor in end] for end in ends)
    return model._inputs_struct, *named([layer for _, layer in inputs], outputs)


def _filled(part: Any, names: Iterator[str], feeds: dict[str, Any]) -> Any:
    """The structure with the feed of the next name in place of each leaf."""
    if isinstance(part, dict):
        found = {name: _filled(part[name], names, feeds) for name in sorted(part)}
        return {name: found[name] for name in part}
    if isinstance(part, (list, tuple)):
        return type(part)(_filled(one, names, feeds) for one in part)
    return feeds[next(names)]


class KerasSource(SourceFormat):
    """A Functional or Sequential model."""

    name = Format.KERAS
    modules = ("tensorflow", "keras", "h5py")
    onnx_modules = (*tf_onnx.MODULES, "keras", "h5py")
    packages = ("keras", "tensorflow-cpu", "tensorflow", *tf_onnx.PACKAGES)

    def _reference_impl(self, source: Source, setting: Setting, work: Path) -> Session:
        try:
            exported = saved_model(source, work)
        except ConversionFailed as error:
            raise ReferenceFailed(error.detail, **error.where) from error
        return tf_runtime.GraphSession(exported, source.signature, setting)

    def _to_onnx_impl(self, piece: Workpiece) -> Source:
        return tf_onnx.from_saved_model(piece.source, saved_model(piece.source, piece.work), piece.work)

    def _runtime_impl(self) -> str:
        return f"keras {metadata.version('keras')} on {tf_runtime.runtime()}"


FORMAT = KerasSource()

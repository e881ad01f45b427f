"""The signature of a Keras 3 model (.keras), read from its config and the headers of its weights. Nothing is run."""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from enginehouse.archives import Member, members
from enginehouse.errors import ModelFormatUnsupported, ModelUnreadable
from enginehouse.formats import Format
from enginehouse.signature import ModelSignature, TensorSpec
from protos.keras_names import leaves, named
from scheduler.inspection import hdf5
from scheduler.inspection.keras_code import EXPORT, refuse_code
from scheduler.inspection.keras_flops import Called, flops
from scheduler.inspection.keras_shapes import Layer, Shape, dtype_of, shape_of
from scheduler.inspection.text import clean

CONFIG, METADATA, WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_MAX_TEXT = 64 * 1024**2
_MAX_RANK = 64
_MAX_NAME = 500
_MAX_LISTED = 10_000
_LOCAL_HEADER = 30
_AGAIN = "Save it with Keras 3: model.save('model.keras'); or export it as a SavedModel: model.export('folder')."

Leaf = tuple[str, int, int]
"""A tensor: layer, which of its calls, which of that call's outputs."""


def read(files: Sequence[tuple[str, Path]]) -> ModelSignature:
    """Inspect a model. ``files``: path in the upload and where it lies now; the first is the model itself.

    Inputs and outputs are called as ``protos.keras_names`` says, and sorted by name.
    Raises ModelUnreadable or one of its kinds.
    """
    path = files[0][1]
    texts = {member.path: member.content() for member in members(path) if _is_text(member)}
    config, metadata = _json(texts, CONFIG), _json(texts, METADATA)
    version = clean(str(metadata.get("keras_version", "")))
    if version.startswith(("1.", "2.")):
        raise ModelFormatUnsupported(
            f"the model was saved by Keras {version}; the farm reads files of Keras 3",
            advice="Load it with Keras 2, export it as a SavedModel (model.export('folder')), and push that folder.",
        )
    refuse_code(config)
    try:
        inputs, outputs = _ends(config)
        operators = Counter(clean(str(layer["class_name"])) for layer in _layers(config))
        work = flops(_calls(config))
    except (KeyError, TypeError, ValueError, IndexError, AttributeError):
        raise ModelUnreadable("the model's config is not what Keras writes", advice=_AGAIN) from None
    return ModelSignature(
        format=str(Format.KERAS),
        producer=f"keras {version}",
        inputs=sorted(inputs, key=lambda spec: spec.name),
        outputs=sorted(outputs, key=lambda spec: spec.name),
        operators=dict(sorted(operators.items(), key=lambda item: (-item[1], item[0]))[:_MAX_LISTED]),
        parameters=_parameters(path),
        flops=work,
    )


def _is_text(member: Member) -> bool:
    wanted = member.path in (CONFIG, METADATA)
    if wanted and member.size > _MAX_TEXT:
        raise ModelUnreadable(f"{member.path} has {member.size} bytes; the farm reads {_MAX_TEXT}")
    return wanted


def _json(texts: dict[str, bytes], name: str) -> dict[str, Any]:
    try:
        found = json.loads(texts[name])
    except (KeyError, ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ModelUnreadable(f"the file has no readable {name}", advice=_AGAIN)
    return found


def _ends(config: Layer) -> tuple[list[TensorSpec], list[TensorSpec]]:
    """Inputs and outputs of a Functional or Sequential model."""
    kind, inner = config["class_name"], config["config"]
    if kind == "Sequential":
        layers = inner["layers"]
        if layers[0]["class_name"] != "InputLayer":
            raise ModelUnreadable(
                "the model was saved before its input shape was known",
                advice="Begin it with keras.Input(shape), or call it once, and save it again.",
            )
        first, last = (str(layers[at]["config"]["name"]) for at in (0, -1))
        ((fed,), (given,)) = named([first], [("", last)])
        shape, dtype = _through(layers, *_fed(layers[0]))
        return [_spec(fed, *_fed(layers[0]))], [_spec(given, shape, dtype)]
    if kind not in ("Functional", "Model"):
        raise ModelFormatUnsupported(f"the model is a {clean(str(kind))}, not Functional or Sequential", advice=EXPORT)
    by_name = {str(layer["name"]): layer for layer in inner["layers"]}
    read = [leaf for _, leaf in leaves(inner["input_layers"], _is_leaf)]
    made = [(key, (leaf[0], int(leaf[1]), int(leaf[2]))) for key, leaf in leaves(inner["output_layers"], _is_leaf)]
    names_in, names_out = named([leaf[0] for leaf in read], [(key, leaf[0]) for key, leaf in made])
    known = dict(_known(inner["layers"]))
    return (
        [_spec(name, *_fed(by_name[leaf[0]])) for name, leaf in zip(names_in, read, strict=True)],
        [_spec(name, *_given(by_name[leaf[0]], leaf, known)) for name, (_, leaf) in zip(names_out, made, strict=True)],
    )


def _is_leaf(part: Any) -> bool:
    return isinstance(part, list) and len(part) == 3 and isinstance(part[0], str)


def _fed(layer: Layer) -> tuple[Shape, str]:
    """Shape and type of an InputLayer."""
    config = layer["config"]
    if config.get("sparse") or config.get("ragged"):
        raise ModelUnreadable(f"the input '{clean(config['name'])}' is sparse or ragged; the farm takes dense tensors")
    return [None if size is None else int(size) for size in config["batch_shape"]], str(config["dtype"])


def _spec(name: str, shape: Shape | None, dtype: str) -> TensorSpec:
    if len(name) > _MAX_NAME or (shape is not None and len(shape) > _MAX_RANK):
        raise ModelUnreadable(
            f"'{clean(name)}': its name has {len(name)} characters, its shape {len(shape or ())} sizes"
        )
    return TensorSpec(name=name, dtype=clean(dtype, 50), shape=[None] if shape is None else list(shape))


def _through(layers: Sequence[Layer], shape: Shape | None, dtype: str) -> tuple[Shape | None, str]:
    """What comes out of layers that follow each other. A layer's saved input shape helps on where none is derived."""
    for layer in layers[1:]:
        if shape is None:
            built = (layer.get("build_config") or {}).get("input_shape")
            shape = list(built) if isinstance(built, list) else None
        shape, dtype = _after(layer, [] if shape is None else [shape], dtype)
    return shape, dtype


def _after(layer: Layer, inputs: Sequence[Shape], dtype: str) -> tuple[Shape | None, str]:
    if layer["class_name"] in ("Functional", "Model", "Sequential"):
        _, outputs = _ends(layer)
        shape = outputs[0].shape if len(outputs) == 1 and outputs[0].shape != [None] else None
        found = None if shape is None else [size if isinstance(size, int) else None for size in shape]
        return found, outputs[0].dtype
    return shape_of(layer, inputs), dtype_of(layer, dtype)


def _tensors(part: Any) -> Iterator[tuple[Leaf, Shape, str]]:
    """The Keras tensors in the arguments of a call, in their order."""
    if isinstance(part, dict):
        if part.get("class_name") == "__keras_tensor__":
            inner = part["config"]
            layer, call, output = inner["keras_history"]
            yield (str(layer), int(call), int(output)), list(inner["shape"]), str(inner["dtype"])
            return
        part = list(part.values())
    if isinstance(part, list):
        for one in part:
            yield from _tensors(one)


def _known(layers: Sequence[Layer]) -> Iterator[tuple[Leaf, tuple[Shape, str]]]:
    for layer in layers:
        for leaf, shape, dtype in _tensors(layer["inbound_nodes"]):
            yield leaf, (shape, dtype)


def _given(layer: Layer, leaf: Leaf, known: dict[Leaf, tuple[Shape, str]]) -> tuple[Shape | None, str]:
    """Shape and type of one of a model's outputs."""
    if layer["class_name"] == "InputLayer":
        return _fed(layer)
    calls = layer["inbound_nodes"]
    read = list(_tensors(calls[min(leaf[1], len(calls) - 1)]["args"])) if calls else []
    shape, dtype = _after(layer, [one[1] for one in read], read[0][2] if read else "float32")
    if leaf in known:
        shape = known[leaf][0]
        dtype = dtype if known[leaf][1].startswith(("float", "bfloat")) else known[leaf][1]
    return shape if leaf[2] == 0 or leaf in known else None, dtype


def _layers(config: Layer) -> Iterator[Layer]:
    """The layers and operations, those of nested models instead of these."""
    for layer in config["config"]["layers"]:
        if layer["class_name"] in ("Functional", "Model", "Sequential"):
            yield from _layers(layer)
        elif layer["class_name"] != "InputLayer":
            yield layer


def _calls(config: Layer) -> Iterator[Called]:
    """Every call of every layer, those of nested models instead of these."""
    sequential, shape = config["class_name"] == "Sequential", None
    for layer in config["config"]["layers"]:
        given = [[one[1] for one in _tensors(call["args"])] for call in layer.get("inbound_nodes", ())]
        if layer["class_name"] == "InputLayer":
            shape = _fed(layer)[0]
            continue
        if sequential:
            built = (layer.get("build_config") or {}).get("input_shape")
            shape = list(built) if shape is None and isinstance(built, list) else shape
            given = [[] if shape is None else [shape]]
            shape, _ = _after(layer, given[0], "")
        for inputs in given:
            if layer["class_name"] in ("Functional", "Model", "Sequential"):
                yield from _calls(layer)
            else:
                yield layer, inputs or None


def _parameters(path: Path) -> int:
    """Elements of all weights, states of random generators and optimisers left out.

    0 where the weights are packed or written in another version of HDF5 than h5py's default.
    """
    with path.open("rb") as file, zipfile.ZipFile(file) as archive:
        info = archive.getinfo(WEIGHTS)
        header = os.pread(file.fileno(), _LOCAL_HEADER, info.header_offset)
        if info.compress_type != zipfile.ZIP_STORED or len(header) < _LOCAL_HEADER:
            return 0
        start = info.header_offset + _LOCAL_HEADER + sum(struct.unpack("<26x2H", header))

        def read_at(offset: int, length: int) -> bytes:
            return os.pread(file.fileno(), max(0, min(length, info.file_size - offset)), start + offset)

        try:
            found = list(hdf5.datasets(read_at))
        except (ValueError, struct.error, IndexError, OverflowError):
            return 0
    weights = [one for one in found if one.kind == hdf5.FLOATING or one.itemsize <= 2]
    return sum(math.prod(one.shape) for one in weights if not one.path.startswith("optimizer"))

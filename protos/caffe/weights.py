"""A .caffemodel: the blobs of each layer by its name. Numbers become arrays only when they are asked for."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import numpy.typing as npt
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]

from protos.caffe.errors import CaffeError
from protos.caffe.messages import MESSAGES

MAX_BYTES = 2**31 - 1
_MAX_RANK = 32
_DOUBLE: npt.DTypeLike = "<f8"
_RAW: dict[int, npt.DTypeLike] = {1: "<f4", 2: "<f2"}
"""Blob.Type to what NVIDIA's fork writes; anything else is double."""


@dataclass(frozen=True)
class Blob:
    """One blob of weights. ``shape`` is as the file has it; legacy blobs are (num, channels, height, width)."""

    shape: tuple[int, ...]
    message: Any

    @property
    def size(self) -> int:
        """Number of weights, by the shape."""
        return math.prod(self.shape)

    def stored(self) -> float:
        """Number of weights that are there; not a whole one where the last is cut off."""
        blob = self.message
        if blob.data:
            return sum(map(len, blob.data)) / 4
        if blob.double_data:
            return sum(map(len, blob.double_data)) / 8
        if blob.HasField("raw_data"):
            return len(blob.raw_data) / np.dtype(_RAW.get(blob.raw_data_type, _DOUBLE)).itemsize
        loose = _loose(blob)
        return len(loose.data) or len(loose.double_data)

    def array(self) -> npt.NDArray[np.float32]:
        """The weights, float32, flat."""
        blob = self.message
        if blob.data:
            return np.frombuffer(b"".join(blob.data), "<f4").astype(np.float32, copy=False)
        if blob.double_data:
            return np.frombuffer(b"".join(blob.double_data), "<f8").astype(np.float32)
        if blob.HasField("raw_data"):
            kind = np.dtype(_RAW.get(blob.raw_data_type, _DOUBLE))
            return np.frombuffer(blob.raw_data, kind).astype(np.float32)
        loose = _loose(blob)
        return np.asarray(loose.data or loose.double_data, np.float32)


Weights = dict[str, list[Blob]]
"""Layer name to its blobs, in their order. Layers without blobs are left out."""


def read_weights(path: Path) -> Weights:
    """The blobs of every layer that has some. Raises CaffeError where the file is no .caffemodel or is cut off."""
    size = path.stat().st_size
    if size > MAX_BYTES:
        raise CaffeError(f"the .caffemodel has {size} bytes; a protobuf ends at {MAX_BYTES}")
    data = path.read_bytes()
    if data[:8] == b"\x89HDF\r\n\x1a\n":
        raise CaffeError("the weights are HDF5; save them as a protobuf (snapshot_format: BINARYPROTO, or net.save())")
    try:
        model = MESSAGES["Weights"].FromString(data)
    except DecodeError as error:
        if "alloc" in str(error):
            raise MemoryError from None
        raise CaffeError("the .caffemodel is cut off, or is none: its bytes are no NetParameter") from None
    del data
    found: Weights = {}
    for name, blobs in _layers(model):
        if not blobs:
            continue
        if name in found:
            raise CaffeError(f"the .caffemodel has weights for two layers '{_shown(name)}'", layer=_shown(name))
        found[name] = [_blob(name, blob) for blob in blobs]
    if not len(model.layer) and not len(model.layers) and not model.name:
        raise CaffeError("the .caffemodel holds no layers; is it another kind of file?")
    return found


def weights_beside(prototxt: str, others: Sequence[str]) -> str | None:
    """Of the paths beside a .prototxt, the one with its weights: that of the same stem, else the only one."""
    found = [path for path in others if path.lower().endswith(".caffemodel")]
    stem = PurePosixPath(prototxt).stem
    same = [path for path in found if PurePosixPath(path).stem == stem]
    chosen = same or found
    return chosen[0] if len(chosen) == 1 else None


def _layers(model: Any) -> Iterator[tuple[str, Any]]:
    for layer in model.layer:
        yield _text(layer.name), layer.blobs
    for layer in model.layers:
        told = layer.layer if layer.HasField("layer") else layer
        yield _text(told.name), told.blobs


def _text(name: str | bytes) -> str:
    """protobuf gives bytes where a string is not UTF-8."""
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name


def _blob(layer: str, blob: Any) -> Blob:
    # As Caffe decides: any of the four old fields makes it a legacy blob. A blob without any shape is a scalar.
    if any(blob.HasField(old) for old in ("num", "channels", "height", "width")):
        shape = (blob.num, blob.channels, blob.height, blob.width)
    else:
        shape = tuple(blob.shape.dim)
    made = Blob(shape, blob)
    name = _shown(layer)
    if len(shape) > _MAX_RANK or any(size < 0 for size in shape):
        raise CaffeError(f"layer '{name}': a blob of its weights has an impossible shape", layer=name)
    if made.stored() != made.size:
        raise CaffeError(
            f"layer '{name}': a blob of its weights has the shape {list(shape)}, which takes {made.size} numbers, "
            f"and {made.stored():g} of them",
            layer=name,
        )
    return made


def _loose(blob: Any) -> Any:
    return MESSAGES["LooseBlob"].FromString(blob.SerializeToString())


def _shown(name: str) -> str:
    return "".join(char if char.isprintable() else " " for char in name[:200])

"""Which format a file has, by its first bytes; and the way out for those that the farm does not take."""

from __future__ import annotations

import zipfile
from dataclasses import dataclass
from pathlib import Path

from enginehouse.errors import ModelFormatUnsupported

_TORCH = "Export the model to ONNX with torch.onnx.export(model, example_inputs, 'model.onnx', dynamo=True)."
_CODE = "Loading it runs code from the file, so the farm never does. " + _TORCH
_TENSORFLOW = "Convert the model to ONNX with 'python -m tf2onnx.convert'."
_UNPACK = "Unpack it, and push the .onnx file (its external data is taken along from the same folder)."
_ENGINE = "It is a finished engine; push the model that it was built from, as ONNX."


@dataclass(frozen=True)
class Format:
    """A format that is not taken."""

    name: str
    advice: str = ModelFormatUnsupported.advice


_PICKLE = Format("Python pickle (PyTorch .pt/.pth)", _CODE)

# offset, bytes, format
_MAGIC: tuple[tuple[int, bytes, Format], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", Format("HDF5 (Keras .h5)", _TENSORFLOW)),
    (4, b"TFL3", Format("LiteRT (.tflite)", "Convert the model to ONNX with 'python -m tf2onnx.convert --tflite'.")),
    (4, b"ORTM", Format("ONNX Runtime's own (.ort)", "Push the .onnx file that it was made from.")),
    (0, b"GGUF", Format("GGUF")),
    (0, b"ftrt", Format("TensorRT engine", _ENGINE)),
    (0, b"\x93NUMPY", Format("NumPy array (.npy)", "It is data: push it as a dataset (.npz), not as a model.")),
    (0, b"\x1f\x8b", Format("gzip", _UNPACK)),
    (0, b"\x28\xb5\x2f\xfd", Format("zstd", _UNPACK)),
    (0, b"BZh", Format("bzip2", _UNPACK)),
    (0, b"\xfd7zXZ\0", Format("xz", _UNPACK)),
    (0, b"7z\xbc\xaf\x27\x1c", Format("7z", _UNPACK)),
    (257, b"ustar", Format("tar", _UNPACK)),
    (0, b"<?xml", Format("XML (OpenVINO IR?)", "Push the ONNX model that the IR was converted from.")),
    (0, b"\x7fELF", Format("ELF program or library")),
    (0, b"%PDF", Format("PDF")),
    (0, b"version https://git-lfs", Format("Git LFS pointer", "Run 'git lfs pull', then push the model itself.")),
)

# What only the name tells: formats without a magic number. Asked when the bytes are not ONNX.
_SUFFIXES = {
    ".pb": Format("TensorFlow (.pb)", _TENSORFLOW),
    ".caffemodel": Format("Caffe"),
    ".prototxt": Format("Caffe"),
    ".pdmodel": Format("PaddlePaddle", "Convert the model to ONNX with paddle2onnx."),
    ".pdiparams": Format("PaddlePaddle", "Convert the model to ONNX with paddle2onnx."),
    ".mlmodel": Format("Core ML"),
    ".pt": _PICKLE,
    ".pth": _PICKLE,
}


def refuse_foreign(path: Path) -> None:
    """ModelFormatUnsupported when the first bytes are those of another format than ONNX."""
    with path.open("rb") as file:
        head = file.read(512)
    found = _by_magic(head) or (_zip(path) if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"} else None)
    if found:
        raise _refusal(found)


def refuse_by_name(name: str) -> None:
    """ModelFormatUnsupported when bytes that are no ONNX bear another format's name."""
    found = _SUFFIXES.get(Path(name).suffix.lower())
    if found:
        raise _refusal(found)


def _refusal(found: Format) -> ModelFormatUnsupported:
    return ModelFormatUnsupported(
        f"the file is of the format {found.name}; the farm takes ONNX", advice=found.advice, format=found.name
    )


def _by_magic(head: bytes) -> Format | None:
    for offset, magic, found in _MAGIC:
        if head[offset : offset + len(magic)] == magic:
            return found
    # PROTO, a version from 2 on, then an opcode that a pickle begins with (torch's magic, a dict, a global, a frame).
    if head[:1] == b"\x80" and head[1:2] in b"\2\3\4\5" and head[2:3] in b"\x8a}c\x95(]":
        return _PICKLE
    length = int.from_bytes(head[:8], "little")
    if len(head) > 8 and head[8:9] == b"{" and length < 100_000_000 and b'"' in head[8:64]:
        return Format("safetensors", "It holds weights without a graph. " + _TORCH)
    text = head.lstrip()
    if text[:1] in {b"{", b"<"} and head.isascii():
        return Format("text (JSON, XML or HTML)")
    return None


def _zip(path: Path) -> Format:
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()[:10_000]]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        return Format("zip (broken)", _UNPACK)
    tails = {name.rsplit("/", 1)[-1] for name in names}
    if any(
        name.endswith(("archive_format", "models/model.json", "serialized_exported_program.json")) for name in names
    ):
        return Format("torch.export (.pt2)", _TORCH)
    if "constants.pkl" in tails:
        return Format("TorchScript", _TORCH)
    if "data.pkl" in tails:
        return _PICKLE
    if "config.json" in tails and "model.weights.h5" in tails:
        return Format("Keras (.keras)", _TENSORFLOW)
    if names and all(name.endswith(".npy") for name in names):
        return Format("NumPy arrays (.npz)", "It is data: push it as a dataset, not as a model.")
    if any(name.endswith(".mlmodel") for name in names):
        return Format("Core ML package")
    return Format("zip", _UNPACK)

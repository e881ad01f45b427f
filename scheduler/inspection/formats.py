"""Which format an upload has, by its bytes; and the way out for those that the farm does not take."""

from __future__ import annotations

import tarfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from enginehouse.errors import ModelExecutesCode, ModelFormatUnsupported
from enginehouse.formats import Format as Taken

_TORCH = (
    "Export the model: torch.export.save(torch.export.export(model, example_inputs), 'model.pt2'), "
    "or torch.onnx.export(model, example_inputs, 'model.onnx', dynamo=True)."
)
_TENSORFLOW = "Save the model as .keras (Keras 3), or export it as a SavedModel."
_UNPACK = "Unpack it, and push the .onnx file (its external data is taken along from the same folder)."
_ENGINE = "It is a finished engine; push the model that it was built from, as ONNX."


@dataclass(frozen=True)
class Format:
    """A format that is not taken."""

    name: str
    advice: str = ModelFormatUnsupported.advice


_PICKLE = Format("Python pickle (PyTorch .pt/.pth)", _TORCH)

# offset, bytes, format
_MAGIC: tuple[tuple[int, bytes, Format], ...] = (
    (0, b"\x89HDF\r\n\x1a\n", Format("HDF5 (Keras .h5)", _TENSORFLOW)),
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
    ".prototxt": Format("Caffe network without its weights", "Push it with the .caffemodel beside it."),
    ".caffemodel": Format("Caffe weights without their network", "Push the .prototxt with the .caffemodel beside it."),
    ".pdmodel": Format("PaddlePaddle", "Convert the model to ONNX with paddle2onnx."),
    ".pdiparams": Format("PaddlePaddle", "Convert the model to ONNX with paddle2onnx."),
    ".mlmodel": Format("Core ML"),
    ".pt": _PICKLE,
    ".pth": _PICKLE,
}


_ARCHIVED = 20_000
"""Members of an archive that are looked at."""


def recognise(files: Sequence[tuple[str, Path]]) -> Taken:
    """The format of an upload (path in it, and where the file lies now; the first is the model).

    What is none of the others is taken for ONNX, whose reader says what is wrong with it.
    Raises ModelFormatUnsupported or ModelExecutesCode.
    """
    name, path = files[0]
    with path.open("rb") as file:
        head = file.read(512)
    if PurePosixPath(name).name == "saved_model.pb":
        return Taken.SAVED_MODEL
    if head[4:8] == b"TFL3":
        return Taken.TFLITE
    if any(other.endswith(".caffemodel") for other, _ in files[1:]):
        return Taken.CAFFE
    if head[:4] in {b"PK\x03\x04", b"PK\x05\x06"}:
        return _zipped(path)
    if _holds_saved_model(path, head):
        return Taken.SAVED_MODEL
    found = _by_magic(head)
    if found:
        raise _refusal(found)
    return Taken.ONNX


def refuse_by_name(name: str) -> None:
    """ModelFormatUnsupported when bytes that are no ONNX bear another format's name."""
    found = _SUFFIXES.get(Path(name).suffix.lower())
    if found:
        raise _refusal(found)


def _refusal(found: Format) -> ModelFormatUnsupported:
    if found is _PICKLE:
        detail = "the file is a Python pickle: loading it runs code from the file, so the farm never does"
        return ModelExecutesCode(detail, advice=found.advice, format=found.name)
    taken = ", ".join(Taken)
    return ModelFormatUnsupported(
        f"the file is of the format {found.name}; the farm takes {taken}", advice=found.advice, format=found.name
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


def _zipped(path: Path) -> Taken:
    """The format of a zip archive, by the names in it."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [info.filename for info in archive.infolist()[:_ARCHIVED]]
    except (zipfile.BadZipFile, NotImplementedError, ValueError, OSError):
        raise _refusal(Format("zip (broken)", _UNPACK)) from None
    tails = {name.rsplit("/", 1)[-1] for name in names}
    if "saved_model.pb" in tails:
        return Taken.SAVED_MODEL
    if any(
        name.endswith(("archive_format", "models/model.json", "serialized_exported_program.json")) for name in names
    ):
        return Taken.TORCH_EXPORT
    if "constants.pkl" in tails:
        return Taken.TORCHSCRIPT
    if "config.json" in tails and "model.weights.h5" in tails:
        return Taken.KERAS
    if "data.pkl" in tails:
        raise _refusal(_PICKLE)
    if names and all(name.endswith(".npy") for name in names):
        raise _refusal(Format("NumPy arrays (.npz)", "It is data: push it as a dataset, not as a model."))
    if any(name.endswith(".mlmodel") for name in names):
        raise _refusal(Format("Core ML package"))
    raise _refusal(Format("zip", _UNPACK))


def _holds_saved_model(path: Path, head: bytes) -> bool:
    """Whether a tar archive (packed or not) holds a SavedModel."""
    if head[:2] != b"\x1f\x8b" and head[257:262] != b"ustar":
        return False
    try:
        with tarfile.open(path) as archive:
            for _ in range(_ARCHIVED):
                member = archive.next()
                if member is None:
                    return False
                if member.name.rsplit("/", 1)[-1] == "saved_model.pb":
                    return True
    except (tarfile.TarError, OSError, EOFError):
        return False
    return False

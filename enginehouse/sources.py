"""What a push sends: local files or bytes, hashed in 1 MiB pieces, with the external data beside an ONNX model."""

from __future__ import annotations

import hashlib
import importlib
import mmap
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

from enginehouse import caffe_pair, saved_model_folder
from enginehouse.bundle import safe_path
from enginehouse.errors import ExternalDataMissing, ExternalDataOutside, RequestError

CHUNK = 1024 * 1024

Progress = Callable[[str, int, int], None]
"""``progress(stage, done, total)``, bytes; the stage is 'hash', 'upload' or 'download'."""


def no_progress(stage: str, done: int, total: int) -> None:
    """Say nothing."""


class Source(Protocol):
    """Bytes that can be read from any place, more than once."""

    @property
    def path(self) -> str:
        """Its path in the upload."""

    @property
    def size(self) -> int:
        """Bytes."""

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """The bytes [start, start + length) in pieces of at most 1 MiB."""


@dataclass(frozen=True)
class FileSource:
    """A local file, under ``path`` in the upload."""

    path: str
    file: Path
    size: int

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """See Source. Raises OSError when the file has become shorter."""
        left = length
        with self.file.open("rb") as stream:
            stream.seek(start)
            while left:
                chunk = stream.read(min(CHUNK, left))
                if not chunk:
                    raise OSError(f"{self.file} became shorter while it was sent")
                left -= len(chunk)
                yield chunk


@dataclass(frozen=True)
class BytesSource:
    """Bytes in memory, under ``path`` in the upload."""

    path: str
    data: bytes
    size: int

    def read(self, start: int, length: int) -> Iterator[bytes]:
        """See Source."""
        for at in range(start, start + length, CHUNK):
            yield self.data[at : min(at + CHUNK, start + length)]


def sha256_of(
    source: Source, start: int = 0, length: int | None = None, tell: Callable[[int], None] | None = None
) -> str:
    """SHA-256 (hex) of a stretch of the source; ``tell`` hears the size of each piece."""
    digest = hashlib.sha256()
    for chunk in source.read(start, source.size - start if length is None else length):
        digest.update(chunk)
        if tell:
            tell(len(chunk))
    return digest.hexdigest()


def file_source(file: Path, path: str | None = None) -> FileSource:
    """A local file as a source. Raises OSError when it is not a readable regular file."""
    if file.is_dir():
        raise IsADirectoryError(f"{file} is a folder, not a file")
    with file.open("rb"):
        return FileSource(path=path or file.name, file=file, size=file.stat().st_size)


def model_sources(model: Path | bytes, files: Sequence[Path | str] | None = None) -> list[Source]:
    """The model first, then its external data, each under its path relative to the model's folder.

    ``files`` names the external data. Without it, the ``onnx`` package lists it where it is installed;
    where it is not, the model goes alone and the farm says what is missing. A Caffe model is a .prototxt and a
    .caffemodel, in this order, whichever of them is named. The folder of a TensorFlow SavedModel goes whole, its
    saved_model.pb first.
    Raises ExternalDataOutside and ExternalDataMissing before anything is sent, OSError, RequestError.
    """
    if isinstance(model, bytes):
        if files:
            raise RequestError("a model given as bytes has no folder for its external data", advice="Give its path.")
        return [BytesSource(path="model.onnx", data=model, size=len(model))]
    if saved_model_folder.is_saved_model(model):
        return [file_source(file, path) for path, file in saved_model_folder.folder_files(model, files)]
    if model.suffix.lower() in caffe_pair.SUFFIXES and model.is_file():
        return [file_source(file) for file in caffe_pair.caffe_pair(model, files)]
    sources: list[Source] = [file_source(model)]
    folder = model.parent.resolve()
    given = [_relative(Path(file), folder) for file in files] if files is not None else external_data(model)
    for location in dict.fromkeys(given):
        if location == sources[0].path:
            continue
        sources.append(_beside(location, folder))
    return sources


def external_data(model: Path) -> list[str]:
    """Locations of a model's external data as the model names them; empty where they cannot be listed."""
    if not _mentions_external_data(model):
        return []
    try:
        onnx = importlib.import_module("onnx")
    except ImportError:
        return []
    try:
        proto = onnx.load(str(model), load_external_data=False)
    except Exception:  # noqa: BLE001 - protobuf raises many kinds; the farm will say what is wrong with the bytes
        return []
    return list(dict.fromkeys(_locations(proto)))


def _mentions_external_data(model: Path) -> bool:
    """A reference to external data holds the key 'location' in plain bytes: without it, no need to parse."""
    with model.open("rb") as stream:
        try:
            with mmap.mmap(stream.fileno(), 0, access=mmap.ACCESS_READ) as view:
                return view.find(b"location") >= 0
        except ValueError:  # an empty file cannot be mapped
            return False


def _locations(proto: Any) -> Iterator[str]:
    graphs = [proto.graph]
    node_lists = [function.node for function in proto.functions]
    while graphs or node_lists:
        tensors: list[Any] = []
        if graphs:
            graph = graphs.pop()
            node_lists.append(graph.node)
            tensors += graph.initializer
            for sparse in graph.sparse_initializer:
                tensors += [sparse.values, sparse.indices]
        else:
            for node in node_lists.pop():
                for attribute in node.attribute:
                    tensors += [attribute.t, *attribute.tensors]
                    graphs += [*attribute.graphs, *([attribute.g] if attribute.HasField("g") else [])]
        for tensor in tensors:
            if tensor.data_location == 1:  # TensorProto.EXTERNAL
                yield from (entry.value for entry in tensor.external_data if entry.key == "location")


def _relative(file: Path, folder: Path) -> str:
    resolved = (file if file.is_absolute() or file.exists() else folder / file).resolve()
    try:
        return resolved.relative_to(folder).as_posix()
    except ValueError:
        raise ExternalDataOutside(f"{file} does not lie in the model's folder {folder}", file=str(file)) from None


def _beside(location: str, folder: Path) -> FileSource:
    """The file that a model names. A model must not make its reader send files from elsewhere, links included."""
    try:
        path = safe_path(PurePosixPath(location).as_posix())
        file = (folder / path).resolve()
        file.relative_to(folder)
    except (ValueError, OSError):
        raise ExternalDataOutside(
            f"the model names {location!r}, which lies outside its folder", file=location
        ) from None
    if not file.is_file():
        raise ExternalDataMissing(f"the model needs {location!r} beside it, which is not there", file=location)
    return file_source(file, path)

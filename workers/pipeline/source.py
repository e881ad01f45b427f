"""The source model's file: external data stays inside the upload, and the graph without its weights."""

from __future__ import annotations

import math
import mmap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from enginehouse.errors import ExternalDataMissing, ExternalDataOutside, ModelUnreadable

_TABLE_ELEMENTS = 1_000_000


def check_external_data(path: Path) -> None:
    """Raise ExternalDataOutside or ExternalDataMissing unless every external tensor lies in the model's own folder.

    The farm looks at uploads too; this is the last look before a toolchain opens what the model names.
    """
    with path.open("rb") as handle:
        if not path.stat().st_size:
            raise ModelUnreadable("the model file is empty")
        with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as content:
            if content.find(b"location") < 0:  # every external tensor has an entry of that name
                return
    folder = path.parent.resolve()
    for tensor in _tensors(load_graph(path).graph):
        location = next((entry.value for entry in tensor.external_data if entry.key == "location"), None)
        if location is None:
            continue
        file = (folder / location).resolve()
        if Path(location).is_absolute() or ".." in Path(location).parts or not file.is_relative_to(folder):
            raise ExternalDataOutside(f"tensor '{tensor.name}' points to '{location}'", tensor=tensor.name)
        if not file.is_file():
            raise ExternalDataMissing(f"tensor '{tensor.name}' needs '{location}'", tensor=tensor.name, path=location)


def load_graph(path: Path) -> Any:
    """The onnx.ModelProto with external data left where it is. Raises ModelUnreadable."""
    import onnx

    try:
        return onnx.load(path, load_external_data=False)
    except Exception as error:  # protobuf's DecodeError, which has no typed home
        raise ModelUnreadable(f"the file is not an ONNX protobuf: {error}") from error


def load_tables(path: Path) -> Any:
    """The graph with its smaller external tensors read in: tables by which inputs are looked up tell their range.

    ``check_external_data`` has seen where they lie.
    """
    from onnx.external_data_helper import load_external_data_for_tensor

    model = load_graph(path)
    for tensor in model.graph.initializer:
        if tensor.external_data and math.prod(tensor.dims) <= _TABLE_ELEMENTS:
            load_external_data_for_tensor(tensor, str(path.parent))
            del tensor.external_data[:]
            tensor.data_location = tensor.DEFAULT
    return model


def nodes(graph: Any) -> Iterator[Any]:
    """All nodes, those of subgraphs included."""
    for node in graph.node:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from nodes(attribute.g)
            for inner in attribute.graphs:
                yield from nodes(inner)


def _tensors(graph: Any) -> Iterator[Any]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield sparse.values
        yield sparse.indices
    for node in nodes(graph):
        for attribute in node.attribute:
            if attribute.HasField("t"):
                yield attribute.t
            yield from attribute.tensors
            for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                yield from inner.initializer

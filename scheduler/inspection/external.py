"""External data: a tensor whose bytes lie in another file of the upload. Where it may point, and that it is there."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import PurePosixPath

from onnx import TensorProto

from enginehouse.bundle import safe_path
from enginehouse.errors import ExternalDataMissing, ExternalDataOutside, ModelUnreadable
from scheduler.inspection.text import clean


def is_external(tensor: TensorProto) -> bool:
    """Whether the tensor names a file. One that only carries entries counts: some reader may follow them."""
    return tensor.data_location == TensorProto.EXTERNAL or len(tensor.external_data) > 0


def check_external(tensor: TensorProto, needed: int, model: str, sizes: Mapping[str, int]) -> None:
    """Refuse a location outside the upload, a file that was not uploaded, and a range that the file does not have.

    ``needed``: bytes that type and dimensions ask for. ``model``: the model's path in the upload, from whose
    folder locations count. ``sizes``: bytes of every uploaded file by path.
    """
    name = clean(tensor.name) or "(unnamed)"
    entries: dict[str, str] = {}
    for entry in tensor.external_data:
        if entry.key in entries:
            raise ModelUnreadable(f"tensor {name}: its external data has the entry {clean(entry.key)} twice")
        entries[entry.key] = entry.value
    location = entries.get("location", "")
    shown = clean(location)
    path = _resolve(location, model)
    if path is None:
        raise ExternalDataOutside(
            f"tensor {name}: its external data lies at '{shown}', outside the upload", tensor=name, location=shown
        )
    if path not in sizes:
        raise ExternalDataMissing(
            f"tensor {name}: its external data '{shown}' was not uploaded", tensor=name, location=shown
        )
    offset = _number(entries.get("offset", "0"))
    length = _number(entries["length"]) if entries.get("length") else needed
    if offset is None or length is None:
        raise ModelUnreadable(f"tensor {name}: offset or length of its external data is not a number", tensor=name)
    if offset + length > sizes[path]:
        raise ExternalDataMissing(
            f"tensor {name}: its external data are the bytes {offset} to {offset + length} of '{shown}', "
            f"which has {sizes[path]}",
            tensor=name,
            location=shown,
        )
    if length != needed:
        raise ModelUnreadable(
            f"tensor {name}: type and dimensions need {needed} bytes, its external data has {length}", tensor=name
        )


def _resolve(location: str, model: str) -> str | None:
    """The uploaded file's path that a location means, or None when it points outside or nowhere."""
    if not location or location.startswith("/") or ".." in location.split("/"):
        return None
    try:
        return safe_path(str(PurePosixPath(model).parent / PurePosixPath(location)))
    except ValueError:
        return None


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 19 else None

"""What a dataset holds, read from the directory of its .npz file and the headers of its arrays. No array is loaded."""

from __future__ import annotations

import math
import zipfile
from pathlib import Path
from typing import IO

from numpy.lib import format as npy

from enginehouse.errors import DatasetUnreadable, TooLarge
from enginehouse.signature import TensorSpec
from scheduler.inspection.text import clean

LABELS = "labels"
"""The array of this name holds the labels and is no model input."""

_MAX_ARRAYS = 1000
_KINDS = "biufc"
_STRINGS = "SU"


def read_dataset(path: Path, max_bytes: int) -> tuple[int, list[TensorSpec]]:
    """Number of samples, and each input's specification (shape of one sample).

    ``max_bytes``: largest unpacked size. Raises DatasetUnreadable or TooLarge.
    """
    if path.stat().st_size == 0:
        raise DatasetUnreadable("the file is empty")
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise DatasetUnreadable(
                "the file is a single array (.npy)", advice="Save it with numpy.savez(path, INPUT_NAME=array)."
            )
    try:
        with zipfile.ZipFile(path) as archive:
            return _read(archive, max_bytes)
    except (zipfile.BadZipFile, NotImplementedError, zipfile.LargeZipFile) as error:
        raise DatasetUnreadable(f"the file is not a .npz file: {clean(str(error))}") from None
    except EOFError:
        raise DatasetUnreadable("the file is cut off") from None


def _read(archive: zipfile.ZipFile, max_bytes: int) -> tuple[int, list[TensorSpec]]:
    members = archive.infolist()
    if not 0 < len(members) <= _MAX_ARRAYS:
        raise DatasetUnreadable(f"the file has {len(members)} arrays; a dataset has 1 to {_MAX_ARRAYS}")
    unpacked = sum(member.file_size for member in members)
    if unpacked > max_bytes:
        raise TooLarge(f"the dataset unpacks to {unpacked} bytes; the farm takes {max_bytes}")
    found: dict[str, tuple[TensorSpec, int]] = {}
    for member in members:
        name = member.filename.removesuffix(".npy")
        if not name or name == member.filename or clean(name, 500) != name:
            raise DatasetUnreadable(f"'{clean(member.filename)}' is not the name of an array")
        if name in found:
            raise DatasetUnreadable(f"there are two arrays '{name}'", array=name)
        if member.flag_bits & 1 or member.compress_type not in {zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED}:
            raise DatasetUnreadable(f"array '{name}' is encrypted or packed in a way that NumPy does not read")
        with archive.open(member) as file:
            found[name] = _header(name, file, member.file_size)
    counts = {name: samples for name, (_, samples) in found.items()}
    if len(set(counts.values())) > 1:
        listed = ", ".join(f"{name} {count}" for name, count in list(counts.items())[:10])
        raise DatasetUnreadable(f"the arrays differ in their number of samples (first axis): {listed}")
    samples = next(iter(counts.values()))
    if samples == 0:
        raise DatasetUnreadable("the dataset has no samples")
    inputs = [spec for name, (spec, _) in found.items() if name != LABELS]
    if not inputs:
        raise DatasetUnreadable("the dataset has labels and no inputs")
    return samples, inputs


def _header(name: str, file: IO[bytes], size: int) -> tuple[TensorSpec, int]:
    """An array's specification and its number of samples."""
    try:
        version = npy.read_magic(file)
        read = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[version]
        shape, _, dtype = read(file, max_header_size=10_000)
    except (ValueError, KeyError, TypeError, SyntaxError, RecursionError, zipfile.BadZipFile) as error:
        raise DatasetUnreadable(f"array '{name}' has no readable header: {clean(str(error))}", array=name) from None
    if dtype.hasobject:
        raise DatasetUnreadable(
            f"array '{name}' holds pickled Python objects; reading them would run code, so the farm never does",
            array=name,
        )
    if dtype.kind not in _KINDS + _STRINGS or dtype.subdtype is not None:
        raise DatasetUnreadable(
            f"array '{name}' has the element type {clean(str(dtype))}, not plain numbers", array=name
        )
    if not shape or any(length < 0 for length in shape):
        raise DatasetUnreadable(f"array '{name}' has no sample axis (shape {shape})", array=name)
    needed = file.tell() + math.prod(shape) * dtype.itemsize
    if needed != size:
        raise DatasetUnreadable(f"array '{name}' has {size} bytes where its header needs {needed}", array=name)
    kind = "string" if dtype.kind in _STRINGS else dtype.name
    return TensorSpec(name=name, dtype=kind, shape=list(shape[1:])), shape[0]

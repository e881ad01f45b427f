"""The user's samples: a .npz with one array per model input, first axis = samples."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from enginehouse.errors import DatasetMismatch, DatasetUnreadable
from enginehouse.signature import TensorSpec
from workers.backends.base import Array

MOST_VERIFIED = 64
"""Samples that a verification looks at."""


def read_samples(path: Path, inputs: list[TensorSpec], most: int = MOST_VERIFIED) -> list[dict[str, Array]]:
    """The first ``most`` samples, each as input name to array. Raises DatasetUnreadable, DatasetMismatch."""
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise DatasetUnreadable(f"the dataset is not a .npz of plain arrays: {error}") from error
    missing = [spec.name for spec in inputs if spec.name not in arrays]
    unknown = sorted(set(arrays) - {spec.name for spec in inputs})
    if missing or unknown:
        raise DatasetMismatch(
            f"inputs without an array: {missing}; arrays without an input: {unknown}", missing=missing, unknown=unknown
        )
    lengths = {name: (array.shape[0] if array.ndim else 0) for name, array in arrays.items()}
    samples = min(lengths.values(), default=0)
    if not samples or len(set(lengths.values())) > 1:
        raise DatasetMismatch(f"the arrays' first axes (samples) are {lengths}; they must be equal and not 0")
    for spec in inputs:
        arrays[spec.name] = fitting(spec, arrays[spec.name])
    return [{name: array[index] for name, array in arrays.items()} for index in range(min(samples, most))]


def fitting(spec: TensorSpec, array: Array) -> Array:
    """The array in the input's element type, if one sample has the input's shape. Raises DatasetMismatch."""
    sample = array.shape[1:]
    fits = len(sample) == len(spec.shape) and all(
        not isinstance(dim, int) or dim < 1 or dim == size for dim, size in zip(spec.shape, sample, strict=True)
    )
    if not fits:
        raise DatasetMismatch(
            f"one sample of '{spec.name}' has the shape {list(sample)}, the input {spec.shape}", input=spec.name
        )
    if array.dtype != np.dtype(spec.dtype) and not np.can_cast(array.dtype, spec.dtype, "same_kind"):
        raise DatasetMismatch(f"'{spec.name}' holds {array.dtype}, the input takes {spec.dtype}", input=spec.name)
    return array.astype(spec.dtype, copy=False)

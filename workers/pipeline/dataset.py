"""The user's samples, read from the dataset's file as they are asked for, each checked against the model's inputs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from enginehouse.datasets import takes
from enginehouse.errors import DatasetMismatch, DatasetNotFinite
from enginehouse.signature import TensorSpec
from samples import Dataset, open_dataset
from workers.backends.base import Array

MOST_VERIFIED = 64
"""Samples that a verification looks at."""


class Feeds(Sequence[dict[str, Array]]):
    """Samples as what a session is fed with. None is kept: what is indexed is read, decoded and checked then.

    Indexing raises DatasetUnreadable, DatasetMismatch or DatasetNotFinite; a slice is read no sooner than its samples.
    """

    def __init__(self, dataset: Dataset, inputs: Sequence[TensorSpec], indices: range) -> None:
        self._dataset = dataset
        self._inputs = inputs
        self._indices = indices

    def __len__(self) -> int:
        return len(self._indices)

    @overload
    def __getitem__(self, index: int) -> dict[str, Array]: ...

    @overload
    def __getitem__(self, index: slice) -> Feeds: ...

    def __getitem__(self, index: int | slice) -> dict[str, Array] | Feeds:
        if isinstance(index, slice):
            return Feeds(self._dataset, self._inputs, self._indices[index])
        number = self._indices[index]
        sample = self._dataset.sample(number)
        return {spec.name: fitting(spec, sample[spec.name], number) for spec in self._inputs}


def read_samples(path: Path, inputs: Sequence[TensorSpec], most: int = MOST_VERIFIED) -> Sequence[dict[str, Array]]:
    """The first ``most`` samples, each as input name to array. The first one is looked at now.

    Raises DatasetUnreadable, DatasetMismatch, DatasetNotFinite.
    """
    dataset = open_dataset(path)
    names = {spec.name for spec in inputs}
    missing = [spec.name for spec in inputs if spec.name not in dataset.names]
    unknown = sorted(set(dataset.names) - names)
    if missing or unknown:
        raise DatasetMismatch(
            f"inputs without samples: {missing}; samples without an input: {unknown}", missing=missing, unknown=unknown
        )
    feeds = Feeds(dataset, inputs, range(min(dataset.samples, most)))
    _ = feeds[0]
    return feeds


def read_labels(path: Path) -> Array | None:
    """The dataset's labels, first axis = samples; None where it has none. Raises DatasetUnreadable."""
    return open_dataset(path).labels()


def fitting(spec: TensorSpec, array: Array, number: int) -> Array:
    """Sample ``number`` of an input in the input's element type. Raises DatasetMismatch, DatasetNotFinite."""
    where: dict[str, Any] = {"input": spec.name, "sample": number}
    if not takes(spec, array.shape):
        raise DatasetMismatch(
            f"sample {number} of '{spec.name}' has the shape {list(array.shape)}, the input {spec.shape}", **where
        )
    wanted = _type(spec.dtype)
    if wanted is None or not np.can_cast(array.dtype, wanted, "same_kind"):
        raise DatasetMismatch(f"'{spec.name}' holds {array.dtype}, the input takes {spec.dtype}", **where)
    if array.dtype.kind in "fc" and not np.isfinite(array).all():
        raise DatasetNotFinite(f"sample {number} of '{spec.name}' holds NaN or Inf", **where)
    return array.astype(wanted, copy=False)


def _type(name: str) -> np.dtype[Any] | None:
    """The element type of that name; None for one that NumPy does not have."""
    try:
        return np.dtype(object if name == "string" else name)
    except TypeError:
        return None

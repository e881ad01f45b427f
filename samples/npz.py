"""INPUT.npy: one array per input, first axis = samples."""

from __future__ import annotations

import math
from collections.abc import Iterator

from enginehouse.dataset_files import input_of
from enginehouse.datasets import LABELS, DatasetKind, shown
from enginehouse.errors import DatasetUnreadable
from enginehouse.signature import TensorSpec
from samples.archive import Archive
from samples.array import Array, StoredArray
from samples.base import MOST_BYTES, MOST_INPUTS, Dataset, Piece, check_index, check_samples


class NpzDataset(Dataset):
    """What numpy.savez writes."""

    kind = DatasetKind.NPZ

    def __init__(self, archive: Archive) -> None:
        if len(archive.sizes) > MOST_INPUTS:
            raise DatasetUnreadable(f"the file has {len(archive.sizes)} arrays; a dataset has 1 to {MOST_INPUTS}")
        named = ((input_of(member, self.kind), member) for member in archive.sizes)
        self._arrays = {name: StoredArray(archive, member, name) for name, member in named}
        for name, array in self._arrays.items():
            if not array.shape:
                raise DatasetUnreadable(f"array '{shown(name)}' has no sample axis (shape ())", array=shown(name))
        counts = {name: array.shape[0] for name, array in self._arrays.items()}
        if len(set(counts.values())) > 1:
            listed = ", ".join(f"{shown(name)} {count}" for name, count in list(counts.items())[:10])
            raise DatasetUnreadable(f"the arrays differ in their number of samples (first axis): {listed}")
        self.samples = next(iter(counts.values()))
        check_samples(self.samples)
        self.labelled = LABELS in self._arrays
        self.names = [name for name in self._arrays if name != LABELS]

    def inputs(self) -> list[TensorSpec]:
        """See Dataset."""
        arrays = ((name, self._arrays[name]) for name in self.names)
        return [TensorSpec(name=name, dtype=array.kind, shape=list(array.shape[1:])) for name, array in arrays]

    def sample(self, index: int) -> dict[str, Array]:
        """See Dataset."""
        check_index(index, self.samples)
        return {name: self._arrays[name].row(index) for name in self.names}

    def labels(self) -> Array | None:
        """See Dataset."""
        return self._arrays[LABELS].whole() if self.labelled else None

    def looked_at(self) -> int:
        """See Dataset."""
        each = sum(array.nbytes // self.samples for array in self._arrays.values())
        return max(1, min(self.samples, MOST_BYTES // max(1, each)))

    def pieces(self, name: str, samples: int) -> Iterator[Piece]:
        """See Dataset."""
        array = self._arrays[name]
        each = math.prod(array.shape[1:])
        done, most = 0, samples * each
        for values in array.pieces():
            if done >= most:
                return
            yield Piece(values[: most - done], first=0, offset=done, each=each)
            done += values.size

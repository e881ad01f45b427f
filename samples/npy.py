"""INPUT/NAME.npy: one array per sample. Samples are ordered by their names, which every input must have alike."""

from __future__ import annotations

from collections.abc import Iterator

from enginehouse.dataset_files import LABELS_ARRAY, input_of
from enginehouse.datasets import LABELS, DatasetKind, shown
from enginehouse.errors import DatasetUnreadable
from enginehouse.signature import TensorSpec
from samples.archive import Archive
from samples.array import Array, StoredArray
from samples.base import MOST_BYTES, MOST_INPUTS, Dataset, Piece, affordable, check_index, check_samples, common


class NpyDataset(Dataset):
    """A folder of arrays for each input."""

    kind = DatasetKind.NPY

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._members: dict[str, dict[str, str]] = {}
        for member in sorted(archive.sizes):
            if member != LABELS_ARRAY:
                self._members.setdefault(input_of(member, self.kind), {})[member.rpartition("/")[2]] = member
        self.names = list(self._members)
        if len(self.names) > MOST_INPUTS:
            raise DatasetUnreadable(f"the file has {len(self.names)} folders; a dataset has 1 to {MOST_INPUTS} inputs")
        if LABELS in self._members:
            raise DatasetUnreadable(f"labels are one array, '{LABELS_ARRAY}' beside the folders, first axis = samples")
        self._order = list(self._members[self.names[0]])
        for name, members in self._members.items():
            self._check_paired(name, members)
        self.samples = len(self._order)
        check_samples(self.samples)
        self.labelled = LABELS_ARRAY in archive.sizes
        self._labels = StoredArray(archive, LABELS_ARRAY, LABELS) if self.labelled else None
        if self._labels and self._labels.shape[:1] != (self.samples,):
            raise DatasetUnreadable(
                f"'{LABELS_ARRAY}' has the shape {list(self._labels.shape)}; its first axis must count "
                f"the {self.samples} samples"
            )

    def inputs(self) -> list[TensorSpec]:
        """See Dataset."""
        return [self._spec(name) for name in self.names]

    def sample(self, index: int) -> dict[str, Array]:
        """See Dataset."""
        check_index(index, self.samples)
        return {name: self._array(name, index).whole() for name in self.names}

    def labels(self) -> Array | None:
        """See Dataset."""
        return self._labels.whole() if self._labels else None

    def looked_at(self) -> int:
        """See Dataset."""
        sizes = (sum(self._archive.sizes[one[key]] for one in self._members.values()) for key in self._order)
        return affordable(sizes, MOST_BYTES)

    def pieces(self, name: str, samples: int) -> Iterator[Piece]:
        """See Dataset."""
        if name == LABELS and self._labels:
            array = self._labels.whole()[:samples].reshape(-1)
            yield Piece(array, first=0, each=array.size // samples)
            return
        for index in range(samples):
            for values in self._array(name, index).pieces():
                yield Piece(values, first=index)

    def _array(self, name: str, index: int) -> StoredArray:
        member = self._members[name][self._order[index]]
        return StoredArray(self._archive, member, member.removesuffix(".npy"))

    def _spec(self, name: str) -> TensorSpec:
        arrays = (self._array(name, index) for index in range(self.samples))
        first = next(arrays)

        def shapes() -> Iterator[tuple[int, ...]]:
            yield first.shape
            for array in arrays:
                if array.kind != first.kind or len(array.shape) != len(first.shape):
                    raise DatasetUnreadable(
                        f"'{shown(array.name)}' is {array.kind}{list(array.shape)}, the first sample of the input "
                        f"'{shown(name)}' is {first.kind}{list(first.shape)}; sizes may differ, type and rank may not",
                        array=shown(array.name),
                    )
                yield array.shape

        return TensorSpec(name=name, dtype=first.kind, shape=list(common(shapes())))

    def _check_paired(self, name: str, members: dict[str, str]) -> None:
        odd = sorted(set(members) ^ set(self._order))
        if odd:
            lacking = name if odd[0] not in members else self.names[0]
            raise DatasetUnreadable(
                f"the input '{shown(lacking)}' has no sample '{shown(odd[0])}', another input has; "
                "every input needs the same names",
                input=shown(lacking),
            )

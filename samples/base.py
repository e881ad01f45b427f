"""What every kind of dataset gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from enginehouse.datasets import DatasetKind
from enginehouse.errors import DatasetUnreadable
from enginehouse.signature import TensorSpec
from samples.array import Array

MOST_INPUTS = 1000
MOST_SAMPLES = 10_000_000
MOST_BYTES = 4 * 1024**3
"""Values that statistics are taken over, all inputs together."""


class Piece(NamedTuple):
    """Some values of one input, flat and in order: part of a sample, or several samples of ``each`` values."""

    values: Array
    first: int
    """sample that the counting begins with"""
    offset: int = 0
    """values of that sample, or of those after it, that came before"""
    each: int = 0
    """values of a sample; 0: the piece lies in one sample"""

    def sample_of(self, value: int) -> int:
        """The sample that holds the piece's value at this place."""
        return self.first + ((self.offset + value) // self.each if self.each else 0)


class Dataset(ABC):
    """Samples in order. ``names``: the inputs that every sample has. Every method may raise DatasetUnreadable."""

    kind: DatasetKind
    names: list[str]
    samples: int
    labelled: bool

    @abstractmethod
    def inputs(self) -> list[TensorSpec]:
        """Each input's type, and one sample's shape: None where sizes differ. Looks at every sample's header."""

    @abstractmethod
    def sample(self, index: int) -> dict[str, Array]:
        """One sample, read now. Raises IndexError."""

    @abstractmethod
    def labels(self) -> Array | None:
        """The labels, first axis = samples; None where there are none."""

    @abstractmethod
    def looked_at(self) -> int:
        """How many of the first samples statistics are taken over: so many that time and memory stay bounded."""

    @abstractmethod
    def pieces(self, name: str, samples: int) -> Iterator[Piece]:
        """The values of an input, or of the labels, in the first ``samples`` samples."""


def check_samples(samples: int) -> None:
    """Raise DatasetUnreadable for none, or more than the registry counts."""
    if samples == 0:
        raise DatasetUnreadable("the dataset has no samples")
    if samples > MOST_SAMPLES:
        raise DatasetUnreadable(f"the dataset has {samples} samples; the farm takes {MOST_SAMPLES}")


def check_index(index: int, samples: int) -> None:
    """Raise IndexError for a sample that is not there."""
    if not 0 <= index < samples:
        raise IndexError(f"sample {index} of {samples}")


def affordable(sizes: Iterable[int], most: int) -> int:
    """How many of the first sizes add up to at most ``most``; the first is always in."""
    total = count = 0
    for size in sizes:
        total += size
        if total > most and count:
            break
        count += 1
    return count


def common(shapes: Iterable[Sequence[int]]) -> list[int | None]:
    """The shape that shapes of one rank have in common: None where they differ. Raises ValueError for other ranks."""
    found: list[int | None] | None = None
    for shape in shapes:
        if found is None:
            found = list(shape)
        elif found != list(shape):
            found = [dim if dim == other else None for dim, other in zip(found, shape, strict=True)]
    return found or []

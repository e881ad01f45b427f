"""recipe.json and pictures, in the order of their names; labels.csv where they have labels."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from functools import cached_property

import numpy as np

from enginehouse.dataset_files import LABELS_TABLE, RECIPE, is_image
from enginehouse.datasets import LABELS, DatasetKind, parse_recipe, shown
from enginehouse.errors import DatasetUnreadable
from enginehouse.signature import TensorSpec
from samples.archive import Archive
from samples.array import Array
from samples.base import Dataset, Piece, affordable, check_index, check_samples, common
from samples.picture import made, opened, size_of

MOST_LOOKED_AT = 256
_MOST_DECODED = 1_000_000_000
"""Pixels that statistics are taken over, as they lie in their files."""
_MOST_TEXT = 16 * 1024**2
_MOST_PICTURE = 256 * 1024**2
_HEAD = ["file", "label"]
_LARGEST = 2**63


class ImageDataset(Dataset):
    """Pictures for one model input. They are decoded when they are asked for."""

    kind = DatasetKind.IMAGES

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self.recipe = parse_recipe(archive.whole(RECIPE, _MOST_TEXT))
        self._images = sorted(name for name in archive.sizes if is_image(name))
        self.names = [self.recipe.input]
        self.samples = len(self._images)
        check_samples(self.samples)
        self.labelled = LABELS_TABLE in archive.sizes

    def inputs(self) -> list[TensorSpec]:
        """See Dataset."""
        height, width = self.recipe.size or common(self._sizes)
        return [TensorSpec(name=self.recipe.input, dtype=self.recipe.dtype, shape=[*self.recipe.shape(height, width)])]

    def sample(self, index: int) -> dict[str, Array]:
        """See Dataset."""
        check_index(index, self.samples)
        name = self._images[index]
        with opened(io.BytesIO(self._archive.whole(name, _MOST_PICTURE)), name) as image:
            return {self.recipe.input: made(image, self.recipe)}

    def labels(self) -> Array | None:
        """See Dataset."""
        return self._labels() if self.labelled else None

    def looked_at(self) -> int:
        """See Dataset."""
        return min(MOST_LOOKED_AT, affordable((high * wide for high, wide in self._sizes), _MOST_DECODED))

    def pieces(self, name: str, samples: int) -> Iterator[Piece]:
        """See Dataset."""
        if name == LABELS:
            yield Piece(self._labels()[:samples], first=0, each=1)
            return
        for index in range(samples):
            yield Piece(self.sample(index)[name].reshape(-1), first=index)

    @cached_property
    def _sizes(self) -> list[tuple[int, int]]:
        """Height and width of every picture, from its header."""
        found = []
        for name in self._images:
            with self._archive.stream(name) as file, opened(file, name) as image:
                found.append(size_of(image))
        return found

    def _labels(self) -> Array:
        """The table's classes in the pictures' order."""
        wanted, found = set(self._images), dict[str, int]()
        try:
            table = csv.reader(
                io.StringIO(self._archive.whole(LABELS_TABLE, _MOST_TEXT).decode("utf-8-sig"), newline="")
            )
            rows = [row for row in table if row]
        except (UnicodeDecodeError, csv.Error) as error:
            raise DatasetUnreadable(f"{LABELS_TABLE} is not a table in UTF-8: {shown(str(error))}") from None
        if not rows or rows[0] != _HEAD:
            raise DatasetUnreadable(f"{LABELS_TABLE}: its first line must be '{','.join(_HEAD)}'")
        for number, row in enumerate(rows[1:], 2):
            name, label = row if len(row) == 2 else ("", "")
            if name not in wanted or name in found:
                why = "labels it again" if name in found else "names no picture of the dataset"
                raise DatasetUnreadable(f"{LABELS_TABLE}, row {number}: '{shown(name)}' {why}", row=number)
            found[name] = _number(label, number)
        if len(found) < len(wanted):
            raise DatasetUnreadable(f"{LABELS_TABLE}: there is no label for '{shown(min(wanted - set(found)))}'")
        return np.array([found[name] for name in self._images], np.int64)


def _number(text: str, row: int) -> int:
    digits = text.strip().removeprefix("-")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 20 and -_LARGEST <= int(text) < _LARGEST):
        raise DatasetUnreadable(f"{LABELS_TABLE}, row {row}: '{shown(text)}' is not a class number", row=row)
    return int(text)

"""Opens a dataset's file as what its content makes it."""

from __future__ import annotations

from pathlib import Path

from enginehouse.dataset_files import kind_of
from enginehouse.datasets import DatasetKind
from enginehouse.errors import DatasetUnreadable
from samples.archive import Archive
from samples.base import Dataset, Piece
from samples.npy import NpyDataset
from samples.npz import NpzDataset

__all__ = ["Dataset", "Piece", "open_dataset"]


def open_dataset(path: Path, max_bytes: int | None = None) -> Dataset:
    """The dataset, checked as far as names and the headers of whole arrays tell.

    ``max_bytes``: largest unpacked size. Raises DatasetUnreadable or TooLarge. The file stays open as long as the
    dataset is held.
    """
    if path.stat().st_size == 0:
        raise DatasetUnreadable("the file is empty")
    with path.open("rb") as file:
        if file.read(6) == b"\x93NUMPY":
            raise DatasetUnreadable(
                "the file is a single array (.npy)", advice="Save it with numpy.savez(path, INPUT_NAME=array)."
            )
    archive = Archive(path, max_bytes)
    kind = kind_of(archive.sizes, archive.by_numpy)
    if kind is DatasetKind.IMAGES:
        from samples.images import ImageDataset  # Pillow only where there are pictures

        return ImageDataset(archive)
    return NpzDataset(archive) if kind is DatasetKind.NPZ else NpyDataset(archive)

"""The files of a dataset, by their names alone: what they are samples of, and which kind of dataset they make.

Sender and farm decide by the same rules.
"""

from __future__ import annotations

from collections.abc import Iterable

from enginehouse.datasets import LABELS, DatasetKind, shown
from enginehouse.errors import DatasetUnreadable

RECIPE = "recipe.json"
LABELS_ARRAY = f"{LABELS}.npy"
LABELS_TABLE = f"{LABELS}.csv"
IMAGES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")
"""Ends of a picture's name, in small letters. What it is is read from its bytes."""

_ARRAY = ".npy"
_LONGEST = 500
_LITTER = ("Thumbs.db", "desktop.ini", "__MACOSX")


def is_litter(name: str) -> bool:
    """Whether a file is what desktops leave behind, or hidden: it is passed over."""
    return any((part.startswith(".") and part != "..") or part in _LITTER for part in name.split("/"))


def is_image(name: str) -> bool:
    """Whether a file is a picture by its name."""
    return name.lower().endswith(IMAGES)


def check_name(name: str) -> None:
    """Raise DatasetUnreadable for a name that points outside, cannot be shown, or is too long."""
    bad = ".." in name.split("/") or name.startswith("/") or "\\" in name or "//" in name
    if bad or not name.isprintable() or len(name) > _LONGEST:
        raise DatasetUnreadable(f"'{shown(name)}' is not a plain relative name of at most {_LONGEST} characters")


def input_of(name: str, kind: DatasetKind) -> str:
    """The input that an array is for: its file's name without the end, or its folder."""
    return name.rpartition("/")[0] if kind is DatasetKind.NPY else name.removesuffix(_ARRAY)


def kind_of(names: Iterable[str], by_numpy: bool = False) -> DatasetKind:
    """Which kind of dataset files of these names make. Raises DatasetUnreadable where they make none, or two.

    ``by_numpy``: numpy.savez wrote them, so a slash belongs to the input's name and is no folder.
    """
    listed = sorted(names)
    arrays = [name for name in listed if name.endswith(_ARRAY) and name.rpartition("/")[2] != _ARRAY]
    images = [name for name in listed if is_image(name)]
    others = sorted(set(listed) - set(arrays) - set(images) - {RECIPE, LABELS_TABLE})
    flat = [name for name in arrays if (by_numpy or "/" not in name) and name != LABELS_ARRAY]
    deep = [name for name in arrays if "/" in name and not by_numpy]
    if others:
        advice = "Leave it out." if arrays or images else None
        raise DatasetUnreadable(
            f"'{shown(others[0])}' is not the name of an array (.npy) or picture ({', '.join(IMAGES)})",
            advice=advice,
            file=shown(others[0]),
        )
    if arrays and (images or RECIPE in listed):
        other = images[0] if images else RECIPE
        raise DatasetUnreadable(
            f"the dataset holds arrays ('{shown(arrays[0])}') and pictures ('{shown(other)}')",
            advice="Push arrays or pictures, not both; a model with more inputs than the picture takes arrays.",
        )
    if images or RECIPE in listed:
        return _images(listed, images)
    if LABELS_TABLE in listed:
        raise DatasetUnreadable(f"'{LABELS_TABLE}' labels pictures; arrays are labelled by '{LABELS_ARRAY}'")
    if flat and deep:
        raise DatasetUnreadable(
            f"'{shown(flat[0])}' is an array of all samples, '{shown(deep[0])}' of one; a dataset holds one sort",
            advice="Write INPUT.npy with all samples, or a folder INPUT with one array per sample, for every input.",
        )
    if not flat and not deep:
        held = "labels and no inputs" if LABELS_ARRAY in listed else "no samples: it is empty"
        raise DatasetUnreadable(f"the dataset has {held}")
    return DatasetKind.NPZ if flat else DatasetKind.NPY


def _images(names: list[str], images: list[str]) -> DatasetKind:
    if RECIPE not in names:
        raise DatasetUnreadable(
            f"the dataset holds pictures ('{shown(images[0])}') and no {RECIPE} that says how they become samples",
            advice=f"Push the folder with --input and --size, or put a {RECIPE} beside the pictures.",
        )
    if not images:
        raise DatasetUnreadable(f"the dataset holds a {RECIPE} and no pictures ({', '.join(IMAGES)})")
    return DatasetKind.IMAGES

"""A TensorFlow SavedModel is a folder: which of its files go along when it is pushed, and under which paths."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from enginehouse.bundle import safe_path
from enginehouse.errors import ExternalDataOutside, RequestError

GRAPH = "saved_model.pb"
MOST_FILES = 1000
"""Of one upload."""


def is_saved_model(model: Path) -> bool:
    """Whether the path is such a folder, or the file in it that holds the graph. Every other folder counts too."""
    return model.is_dir() or (model.name == GRAPH and model.is_file())


def name_of(model: Path) -> str:
    """What a pushed model is called: the folder's name, or the file's without its suffix."""
    if not is_saved_model(model):
        return model.stem
    return (model if model.is_dir() else model.parent).resolve().name


def folder_files(model: Path, named: Sequence[Path | str] | None = None) -> list[tuple[str, Path]]:
    """Path in the upload and place of every file, the graph first. Hidden files and folders stay at home.

    ``model``: see ``is_saved_model``. ``named``: files that the caller names; a folder takes none.
    Raises IsADirectoryError (no SavedModel), RequestError (too many files), ExternalDataOutside (links that leave it).
    """
    folder = (model if model.is_dir() else model.parent).resolve()
    if named:
        raise RequestError(f"{model} is a folder, which is pushed whole", advice="Leave out the files' names.")
    if not (folder / GRAPH).is_file():
        raise IsADirectoryError(f"{model} is a folder without {GRAPH}; name a model's file, or a SavedModel's folder")
    found = [GRAPH]
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        beneath = Path(place).relative_to(folder)
        shown = [name for name in sorted(names) if not name.startswith(".")]
        for name in (*folders, *shown):
            _check_inside(Path(place) / name, folder)
        found += [(beneath / name).as_posix() for name in shown]
    paths = list(dict.fromkeys(found))
    if len(paths) > MOST_FILES:
        raise RequestError(
            f"{model} holds {len(paths)} files; the farm takes {MOST_FILES}",
            advice="Push an archive of it instead (.zip, .tar or .tar.gz).",
        )
    return [(_plain(path), folder / path) for path in paths]


def _check_inside(file: Path, folder: Path) -> None:
    if file.is_symlink() and not file.resolve().is_relative_to(folder):
        raise ExternalDataOutside(f"{file} is a link to {file.resolve()}, outside the folder", file=str(file))


def _plain(path: str) -> str:
    try:
        return safe_path(path)
    except ValueError:
        raise RequestError(f"{path!r} cannot be a path in an upload", advice="Rename the file.") from None

"""A local folder as a dataset's one file: .npy arrays, or pictures with their recipe."""

from __future__ import annotations

import os
from pathlib import Path

from enginehouse.dataset_files import RECIPE, check_name, is_litter, kind_of
from enginehouse.datasets import DatasetKind, ImageRecipe, parse_recipe
from enginehouse.errors import DatasetUnreadable, RequestError
from enginehouse.zipped import ZippedFiles


def folder_source(folder: Path, recipe: ImageRecipe | None = None) -> ZippedFiles:
    """The folder as a zip whose bytes its files alone decide. ``recipe``: for pictures without a recipe.json.

    Raises DatasetUnreadable for files that make no dataset, RequestError for two recipes, OSError.
    """
    files: dict[str, Path | bytes] = dict(_files(folder))
    if recipe is not None:
        if RECIPE in files:
            raise RequestError(
                f"{folder} holds a {RECIPE}, and another recipe was given", advice=f"Change or remove the {RECIPE}."
            )
        files[RECIPE] = recipe.model_dump_json(indent=2).encode()
    kind = kind_of(files)
    if kind is DatasetKind.IMAGES and recipe is None:
        parse_recipe((folder / RECIPE).read_bytes())
    return ZippedFiles(f"{folder.name}.zip", files)


def _files(folder: Path) -> dict[str, Path]:
    """All files below by their names in the folder. Links to files count as files; links to folders are refused."""
    found: dict[str, Path] = {}
    for root, folders, names in os.walk(folder, onerror=_raise):
        for name in [*folders, *names]:
            path = Path(root) / name
            inside = path.relative_to(folder).as_posix()
            if is_litter(inside):
                continue
            if name in folders:
                if path.is_symlink():
                    raise DatasetUnreadable(
                        f"'{inside}' is a link to a folder", advice="Push the folder itself, or links to files."
                    )
                continue
            check_name(inside)
            found[inside] = path
    return found


def _raise(error: OSError) -> None:
    raise error

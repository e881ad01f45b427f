"""The recipe for pictures, and which files make which kind of dataset."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from enginehouse.cli.recipe import CHOICES
from enginehouse.dataset_files import IMAGES, kind_of
from enginehouse.datasets import DatasetKind, ImageRecipe, parse_recipe
from enginehouse.errors import DatasetUnreadable

PAGE = (Path(__file__).parents[3] / "docs" / "datasets.md").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({}, "input"),
        ({"input": ""}, "input"),
        ({"input": "x", "size": [224]}, r"size\.1"),
        ({"input": "x", "size": [224, 5000]}, r"size\.1"),
        ({"input": "x", "mean": [1, 2]}, "mean has 2 numbers; it takes 1 or, for rgb, 3"),
        ({"input": "x", "color": "gray", "scale": [1, 2, 3]}, "for gray, 1"),
        ({"input": "x", "scale": 0}, "cannot be 0"),
        ({"input": "x", "scale": [1, 0, 1]}, "cannot be 0"),
        ({"input": "x", "mean": "a"}, "mean"),
        ({"input": "x", "dtype": "uint8", "mean": 1}, "uint8"),
        ({"input": "x", "dtype": "uint8", "scale": [1, 2, 1]}, "uint8"),
        ({"input": "x", "resize": "pad"}, "needs a size"),
        ({"input": "x", "layout": "NWHC"}, "layout"),
        ({"input": "x", "fill": 256}, "fill"),
        ({"input": "x", "colour": "rgb"}, "colour"),
    ],
)
def test_recipes_that_cannot_be(fields: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetUnreadable, match=says) as caught:
        parse_recipe(json.dumps(fields))
    assert caught.value.detail.startswith("recipe.json: ")


def test_a_recipe_comes_back_as_it_was() -> None:
    recipe = ImageRecipe(input="x", size=(3, 4), mean=5, scale=(1, 2, 3), resize="crop")
    assert recipe.mean == (5.0,)
    assert parse_recipe(recipe.model_dump_json()) == recipe
    assert recipe.shape(*(recipe.size or ())) == [1, 3, 3, 4]
    assert ImageRecipe(input="x", color="gray", layout="HWC").shape(None, 7) == [None, 7, 1]


@pytest.mark.parametrize(
    ("names", "kind"),
    [
        (["x.npy"], DatasetKind.NPZ),
        (["x.npy", "input:0.npy", "labels.npy"], DatasetKind.NPZ),
        (["x/0.npy"], DatasetKind.NPY),
        (["a/x/0.npy", "labels.npy"], DatasetKind.NPY),
        (["recipe.json", "a.PNG", "b/c.jpeg", "labels.csv"], DatasetKind.IMAGES),
    ],
)
def test_kinds(names: list[str], kind: DatasetKind) -> None:
    assert kind_of(names) is kind


@pytest.mark.parametrize(
    ("names", "says"),
    [
        ([], "empty"),
        (["labels.npy"], "labels and no inputs"),
        (["x.npy", "y/0.npy"], "one sort"),
        (["x.npy", "a.png"], "arrays .* and pictures"),
        (["x.npy", "recipe.json"], "arrays .* and pictures"),
        (["x.npy", "labels.csv"], "arrays are labelled by"),
        (["a.png"], "no recipe.json"),
        (["recipe.json"], "no pictures"),
        (["x/.npy"], "not the name"),
        (["x.npy", "readme.txt"], "readme.txt"),
        (["a.png", "recipe.json", "sub/labels.csv"], "sub/labels.csv"),
    ],
)
def test_files_that_make_no_kind(names: list[str], says: str) -> None:
    with pytest.raises(DatasetUnreadable) as caught:
        kind_of(names)
    assert re.search(says, caught.value.detail)


def test_the_command_line_has_the_recipes_words() -> None:
    for name, choices in CHOICES.items():
        assert choices == get_args(ImageRecipe.model_fields[name].annotation), name


def test_the_page_names_every_field_and_every_kind_of_picture() -> None:
    for name, field in ImageRecipe.model_fields.items():
        assert f"| `{name}` |" in PAGE, name
        assert field.description
    for end in (*IMAGES, *DatasetKind):
        assert f"`{end}`" in PAGE, end

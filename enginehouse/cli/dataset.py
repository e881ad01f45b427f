"""``enginehouse dataset``: push, list, show, delete."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from enginehouse.cli.common import farm, json_option, more, paging, quiet_option
from enginehouse.cli.recipe import recipe_of, recipe_options

if TYPE_CHECKING:
    from enginehouse.signature import TensorSpec
    from enginehouse.views import DatasetView


@click.group()
def dataset() -> None:
    """Push, list and show datasets."""


@dataset.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="The dataset's name; by default the file's or folder's.")
@recipe_options
@json_option
@quiet_option
def push(path: Path, name: str | None, as_json: bool, quiet: bool, **recipe: Any) -> None:
    """Upload samples as the next version of a dataset and print NAME@VERSION.

    PATH is a .npz file (one array per model input, the first axis counts the samples), a folder with a folder
    INPUT/NAME.npy of single samples for each input, a folder of pictures, or a zip of such a folder. Pictures need a
    recipe.json beside them, or its fields as options. The same files make the same version.
    """
    from enginehouse.cli.output import print_json
    from enginehouse.cli.progress import transfer

    found = recipe_of(recipe)
    with farm() as client:
        with transfer(path.name, quiet) as progress:
            view = client.datasets.push(path, name=name, progress=progress, recipe=found)
        print_json(view) if as_json else click.echo(f"{view.name}@{view.version}")


@dataset.command("list")
@paging
@json_option
def list_(limit: int, after: str | None, as_json: bool) -> None:
    """List dataset versions, newest first."""
    from enginehouse.cli.output import age_text, print_json, print_table, short, size_text

    with farm() as client:
        page = client.datasets.list(limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [
            [
                f"{item.name}@{item.version}",
                item.kind,
                str(item.samples),
                "yes" if item.labels else "no",
                size_text(item.size),
                ", ".join(f"{spec.name} {spec.dtype}{_shape(spec)}" for spec in item.inputs),
                short(item.id),
                age_text(item.created),
            ]
            for item in page.items
        ]
        columns = ["dataset", "kind", "samples", "labels", "size", "inputs", "id", "age"]
        print_table(columns, rows, right=["samples", "size"])
        more(page.next)


@dataset.command()
@click.argument("given", metavar="DATASET")
@json_option
def show(given: str, as_json: bool) -> None:
    """Show a dataset: its samples, and each input's type, shape and range.

    DATASET is an id, NAME (its newest version) or NAME@VERSION.
    """
    from enginehouse.cli.output import print_json

    with farm() as client:
        view = client.datasets.get(given)
        print_json(view) if as_json else _describe(view)


@dataset.command()
@click.argument("given", metavar="NAME@VERSION")
def delete(given: str) -> None:
    """Forget a dataset version. Refused while a job that has not ended needs it."""
    from enginehouse.cli.output import clean

    with farm() as client:
        client.datasets.delete(given)
        click.echo(f"dataset {clean(given)} is deleted")


def _describe(view: DatasetView) -> None:
    from enginehouse.cli.output import clean, number_text, print_table, size_text

    click.echo(f"{view.id}  {clean(view.name)}@{view.version}")
    labels = "with labels" if view.labels else "without labels"
    click.echo(f"{view.kind}, {view.samples} samples, {labels}, {size_text(view.size)}")
    rows = []
    for spec in view.inputs:
        numbers = view.statistics.get(spec.name)
        found = [getattr(numbers, name, None) for name in ("min", "max", "mean", "std")]
        zeros = numbers.zeros if numbers else None
        rows.append(
            [
                spec.name,
                spec.dtype,
                _shape(spec),
                *(number_text(value, ".6g") for value in found),
                "-" if zeros is None else f"{zeros:.1%}",
                str(numbers.samples) if numbers else "-",
            ]
        )
    columns = ["input", "type", "shape", "min", "max", "mean", "std", "zeros", "looked at"]
    print_table(columns, rows, right=columns[3:])


def _shape(spec: TensorSpec) -> str:
    return "[" + ", ".join("?" if dim is None else str(dim) for dim in spec.shape) + "]"

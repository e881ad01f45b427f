"""``enginehouse dataset``: push, list."""

from __future__ import annotations

from pathlib import Path

import click

from enginehouse.cli.common import farm, json_option, more, paging, quiet_option


@click.group()
def dataset() -> None:
    """Push and list datasets."""


@dataset.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="NAME", help="The dataset's name; by default the file's.")
@json_option
@quiet_option
def push(path: Path, name: str | None, as_json: bool, quiet: bool) -> None:
    """Upload a .npz file as the next version of a dataset and print NAME@VERSION.

    One array per model input, the first axis counts the samples.
    """
    from enginehouse.cli.output import print_json
    from enginehouse.cli.progress import transfer

    with farm() as client:
        with transfer(path.name, quiet) as progress:
            view = client.datasets.push(path, name=name, progress=progress)
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
                str(item.samples),
                size_text(item.size),
                ", ".join(f"{spec.name} {spec.dtype}{list(spec.shape)}" for spec in item.inputs),
                short(item.id),
                age_text(item.created),
            ]
            for item in page.items
        ]
        print_table(["dataset", "samples", "size", "inputs", "id", "age"], rows, right=["samples", "size"])
        more(page.next)

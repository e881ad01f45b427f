"""``enginehouse artifact``: list, get."""

from __future__ import annotations

from pathlib import Path

import click

from enginehouse.cli.common import artifact_id, farm, json_option, model_id, more, paging, quiet_option


@click.group()
def artifact() -> None:
    """List and download artifacts."""


@artifact.command("list")
@click.option("--model", metavar="MODEL", help="Only artifacts of this model (id, or its first digits).")
@paging
@json_option
def list_(model: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List artifacts, newest first."""
    from enginehouse.cli.output import age_text, print_json, print_table, short, size_text

    with farm() as client:
        found = model_id(client, model) if model else None
        page = client.artifacts.list(model=found, limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [
            [
                short(item.id),
                str(item.manifest.target),
                short(item.manifest.model),
                size_text(item.report.size),
                item.manifest.hardware_class,
                age_text(item.created),
            ]
            for item in page.items
        ]
        print_table(["artifact", "target", "model", "size", "hardware", "age"], rows, right=["size"])
        more(page.next)


@artifact.command()
@click.argument("given", metavar="ARTIFACT")
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Where to put the files.  [default: artifact-ID]",
)
@json_option
@quiet_option
def get(given: str, out: Path | None, as_json: bool, quiet: bool) -> None:
    """Download an artifact; every file's SHA-256 is checked, and the manifest's against the id.

    A download that broke off goes on where it was; files that are there already are kept.
    """
    from enginehouse.cli.output import print_json, print_table, short, size_text
    from enginehouse.cli.progress import transfer

    with farm() as client:
        view = client.artifacts.get(artifact_id(client, given))
        folder = out or Path(f"artifact-{short(view.id)}")
        with transfer(short(view.id), quiet) as progress:
            manifest = client.artifacts.download(view.id, folder, progress)
        if as_json:
            print_json(view)
            return
        rows = [[str(folder / file.path), size_text(file.size), file.sha256] for file in manifest.files]
        print_table(["file", "size", "sha256"], rows, right=["size"])

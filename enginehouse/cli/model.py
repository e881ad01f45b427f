"""``enginehouse model``: push, inspect, targets, list, delete."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from enginehouse.cli.common import farm, json_option, model_id, more, paging, quiet_option

if TYPE_CHECKING:
    from enginehouse.signature import TensorSpec
    from enginehouse.views import ModelView, Page, ReachView


@click.group()
def model() -> None:
    """Push, inspect and list models."""


@model.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--name", metavar="TEXT", help="The model's name, for people; by default the file's.")
@click.option(
    "--file",
    "files",
    multiple=True,
    type=click.Path(path_type=Path),
    help="A file that belongs to the model (external data, a .caffemodel), where it is not found by itself. "
    "Repeat it for more.",
)
@json_option
@quiet_option
def push(path: Path, name: str | None, files: tuple[Path, ...], as_json: bool, quiet: bool) -> None:
    """Upload a model with its external data and print its id.

    PATH is a file, or the folder of a TensorFlow SavedModel.
    Bytes that the farm holds are not sent; an interrupted upload goes on where it was.
    """
    from enginehouse.cli.output import print_json
    from enginehouse.cli.progress import transfer

    with farm() as client:
        with transfer(path.name, quiet) as progress:
            view = client.models.push(path, name=name, files=files or None, progress=progress)
        print_json(view) if as_json else click.echo(view.id)


@model.command()
@click.argument("given", metavar="MODEL")
@json_option
def inspect(given: str, as_json: bool) -> None:
    """Show what the farm knows of a model: inputs, outputs, operators, and the targets that it can go to."""
    from enginehouse.cli.output import print_json

    with farm() as client:
        view = client.models.get(model_id(client, given))
        if as_json:
            print_json(view)
            return
        _describe(view)
        _reach(client.models.targets(view.id))


@model.command()
@click.argument("given", metavar="MODEL")
@json_option
def targets(given: str, as_json: bool) -> None:
    """Show the targets that a model can go to, and why it cannot go to the others."""
    from enginehouse.cli.output import print_json

    with farm() as client:
        page = client.models.targets(model_id(client, given))
        print_json(page) if as_json else _reach(page)


@model.command()
@click.argument("given", metavar="MODEL")
@click.option("--stop", is_flag=True, help="Share it no more; what others were given stays theirs.")
@json_option
def share(given: str, stop: bool, as_json: bool) -> None:
    """Let other projects that send the same model be answered with what was built of it here."""
    from enginehouse.cli.output import print_json

    with farm() as client:
        view = client.models.share(model_id(client, given), shared=not stop)
        print_json(view) if as_json else click.echo(f"{view.id} is {'shared' if view.shared else 'private'}")


@model.command("list")
@paging
@json_option
def list_(limit: int, after: str | None, as_json: bool) -> None:
    """List models, newest first."""
    from enginehouse.cli.output import age_text, print_json, print_table, short, size_text

    with farm() as client:
        page = client.models.list(limit=limit, after=after)
        if as_json:
            print_json(page)
            return
        rows = [
            [
                short(m.id),
                m.name,
                m.signature.format,
                size_text(m.size),
                str(m.signature.parameters),
                age_text(m.created),
            ]
            for m in page.items
        ]
        print_table(["model", "name", "format", "size", "parameters", "age"], rows, right=["size", "parameters"])
        more(page.next)


@model.command()
@click.argument("given", metavar="MODEL")
def delete(given: str) -> None:
    """Forget a model; its jobs and artifacts stay. Refused while a build in flight needs it."""
    from enginehouse.cli.output import short

    with farm() as client:
        found = model_id(client, given)
        client.models.delete(found)
        click.echo(f"model {short(found)} is deleted")


def _describe(view: ModelView) -> None:
    from enginehouse.cli.output import clean, print_table, size_text

    signature = view.signature
    opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in signature.opsets.items())
    click.echo(f"{view.id}  {clean(view.name)}")
    facts = [signature.format, size_text(view.size), f"{signature.parameters:,} parameters"]
    if signature.flops is not None:
        by_one = " with 1 for each open dimension" if any(one.is_dynamic() for one in signature.inputs) else ""
        facts.append(f"{signature.flops:,} operations an inference{by_one}")
    if opsets:
        facts.append(f"opset {opsets}")
    click.echo(clean(", ".join(facts)))
    if signature.producer:
        click.echo(clean(f"made by {signature.producer}"))
    rows = [["input", *_spec(spec)] for spec in signature.inputs]
    rows += [["output", *_spec(spec)] for spec in signature.outputs]
    print_table(["", "name", "type", "shape"], rows)
    counts = sorted(signature.operators.items(), key=lambda item: (-item[1], item[0]))
    click.echo(clean("operators: " + ", ".join(f"{name} {count}" for name, count in counts)))
    if len(view.files) > 1:
        print_table(["file", "size"], [[file.path, size_text(file.size)] for file in view.files], right=["size"])


def _reach(page: Page[ReachView]) -> None:
    from enginehouse.cli.output import print_table

    rows = [[one.target, one.reach, one.code, one.reason] for one in page.items]
    print_table(["target", "can go", "code", "reason"], rows)


def _spec(spec: TensorSpec) -> list[str]:
    return [spec.name, spec.dtype, "[" + ", ".join("?" if dim is None else str(dim) for dim in spec.shape) + "]"]

"""``enginehouse resolve`` and ``enginehouse fingerprint``: which artifact a host should run, and what a host is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from enginehouse.cli import parsing
from enginehouse.cli.common import farm, json_option, model_id

if TYPE_CHECKING:
    from enginehouse.fingerprint import Fingerprint
    from enginehouse.resolution import Choice, Resolution

runtime_option = click.option(
    "--runtime",
    "runtimes",
    multiple=True,
    metavar="NAME=VERSION",
    help="A runtime that is no package of this Python, such as tensorrt=10.16.1.11. Repeat it for more.",
)


@click.command()
@runtime_option
def fingerprint(runtimes: tuple[str, ...]) -> None:
    """Print what this host is, as JSON: the file for resolve --fingerprint."""
    from enginehouse.cli.output import print_json

    print_json(_host(None, runtimes))


@click.command()
@click.argument("given", metavar="MODEL")
@click.option(
    "--fingerprint",
    "file",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The host, as 'enginehouse fingerprint' prints it there.  [default: this host]",
)
@runtime_option
@click.option(
    "--goal",
    type=click.Choice(["latency", "throughput", "size"]),
    default="latency",
    show_default=True,
    help="What the best one is best at.",
)
@click.option(
    "--gate", "gates", multiple=True, metavar="NAME=VALUE", help="A bound that it must meet, as in submit. Repeat it."
)
@click.option("--backend", "backends", multiple=True, metavar="BACKEND", help="Only this backend. Repeat it for more.")
@click.option(
    "--precision", "precisions", multiple=True, metavar="PRECISION", help="Only this precision. Repeat it for more."
)
@click.option("--shape", "shapes", multiple=True, metavar="INPUT=N,N,...", help="The shape that it will be fed.")
@click.option("--dataset", metavar="DATASET", help="Samples for builds that are enqueued: id, NAME or NAME@VERSION.")
@click.option("--enqueue", is_flag=True, help="Where there is none, submit a job for what online workers can build.")
@json_option
def resolve(
    given: str,
    file: Path | None,
    runtimes: tuple[str, ...],
    goal: str,
    gates: tuple[str, ...],
    backends: tuple[str, ...],
    precisions: tuple[str, ...],
    shapes: tuple[str, ...],
    dataset: str | None,
    enqueue: bool,
    as_json: bool,
) -> None:
    """Find the best proven artifact of MODEL for a host.

    MODEL is the id of a model (its first digits will do). Where no artifact can be offered, the reason is told, with
    exit code 4, or 0 when a job was submitted for one.
    """
    from enginehouse.cli.output import print_json
    from enginehouse.gates import Gates

    host = _host(file, runtimes)
    bounds, fed = parsing.gates(gates, list(Gates.model_fields)), parsing.shapes(shapes)
    with farm() as client:
        answer = client.resolve(
            model_id(client, given),
            host,
            goal=goal,
            gates=bounds,
            backends=backends,
            precisions=precisions,
            shapes=fed,
            dataset=dataset,
            enqueue=enqueue,
        )
    print_json(answer) if as_json else _show(answer)
    if answer.best is None and not answer.pending:
        from enginehouse.cli.exit_codes import ExitCode

        raise click.exceptions.Exit(ExitCode.NOT_FOUND)


def _host(file: Path | None, runtimes: Sequence[str]) -> Fingerprint:
    from pydantic import ValidationError

    from enginehouse.errors import RequestError
    from enginehouse.fingerprint import Fingerprint, this_host

    more = {}
    for text in runtimes:
        name, equals, version = text.partition("=")
        if not (name and equals and version):
            raise click.BadParameter(f"'{text}' is not NAME=VERSION.")
        more[name] = version
    try:
        host = this_host() if file is None else Fingerprint.model_validate_json(file.read_bytes())
        return Fingerprint.model_validate({**host.model_dump(), "runtimes": {**host.runtimes, **more}})
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"]))
        raise RequestError(
            f"{file or 'the fingerprint'}: {place}: {first['msg']}",
            advice="'enginehouse fingerprint' prints a host's as it should be.",
        ) from None


def _show(answer: Resolution) -> None:
    from enginehouse.cli.output import clean, print_table

    if answer.best is not None:
        choices = [answer.best, *answer.others]
        print_table(
            ["artifact", "target", "p50 ms", "items/s", "speed-up", "size", "measured on"],
            [_row(choice) for choice in choices],
            right=["p50 ms", "items/s", "speed-up", "size"],
        )
        _tell_best(answer.best)
    else:
        click.echo(clean(f"None: {answer.code}: {answer.reason}"))
        if answer.advice:
            click.echo(clean(f"  {answer.advice}"))
    for passed in answer.passed_over:
        click.echo(
            clean(f"passed over {passed.artifact[:12]} {passed.target}: {passed.code}: {passed.reason}"), err=True
        )
    if not answer.complete:
        click.echo("Only the newest artifacts of the model were looked at.", err=True)


def _row(choice: Choice) -> list[str]:
    from enginehouse.cli.output import number_text, short, size_text

    measured = choice.measured
    disturbed = "*" if measured and measured.disturbed else ""
    return [
        short(choice.artifact),
        str(choice.target),
        number_text(measured.p50_ms if measured else None),
        number_text(measured.items_per_s if measured else None),
        number_text(measured.speedup if measured else None, ".2f", "x" + disturbed),
        size_text(choice.size),
        f"{measured.hardware_class} ({measured.nearness})" if measured else "-",
    ]


def _tell_best(choice: Choice) -> None:
    from enginehouse.cli.output import clean, short

    click.echo(clean(f"\n{short(choice.artifact)} {choice.target}: {choice.why}").lstrip())
    if choice.settings:
        click.echo(clean("  settings: " + ", ".join(f"{name}={value}" for name, value in choice.settings.items())))
    for note in choice.notes:
        click.echo(clean(f"  note: {note}"))
    click.echo(f"  get it: enginehouse artifact get {choice.artifact}")

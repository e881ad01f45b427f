"""``enginehouse project``: list, create, set."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from enginehouse.cli.common import farm, json_option

if TYPE_CHECKING:
    from enginehouse.views import ProjectView

Command = TypeVar("Command", bound=Callable[..., Any])

_COLUMNS = ["project", "weight", "running", "waiting", "bytes at most"]


def _quota(_: click.Context, __: click.Parameter, value: str | None) -> int | str | None:
    """A number, or 'none' for the farm's own."""
    if value is None or value == "none":
        return value
    if not value.isascii() or not value.isdigit():
        raise click.BadParameter(f"'{value}' is neither a number nor 'none'.")
    return int(value)


def _quotas(command: Command) -> Command:
    for name, what in (
        ("bytes", "Bytes of models, datasets and artifacts that it may keep."),
        ("waiting", "Builds that it may have waiting."),
        ("running", "Builds that it may have under way."),
    ):
        command = click.option(
            f"--most-{name}", metavar="N|none", callback=_quota, help=f"{what} 'none': the farm's own quota."
        )(command)
    weight = click.option("--weight", type=click.FloatRange(0.001, 1000), help="Its share beside others' weights.")
    return weight(command)


@click.group()
def project() -> None:
    """Manage the farm's projects (needs the scope 'operate')."""


@project.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List projects with their shares, quotas and builds."""
    from enginehouse.cli.output import print_json, print_table

    with farm() as client:
        page = client.projects.list()
        if as_json:
            print_json(page)
            return
        print_table(_COLUMNS, [_row(item) for item in page.items], right=["weight"])


@project.command()
@click.argument("name")
@_quotas
@json_option
def create(name: str, as_json: bool, **given: Any) -> None:
    """Make a project. 'enginehouse token create --project NAME' makes its first token."""
    with farm() as client:
        _show(client.projects.create(name, **_given(given)), as_json)


@project.command("set")
@click.argument("name")
@_quotas
@json_option
def set_(name: str, as_json: bool, **given: Any) -> None:
    """Change a project's share or quotas; what is not given stays."""
    with farm() as client:
        _show(client.projects.change(name, **_given(given)), as_json)


def _show(view: ProjectView, as_json: bool) -> None:
    from enginehouse.cli.output import print_json, print_table

    print_json(view) if as_json else print_table(_COLUMNS, [_row(view)], right=["weight"])


def _given(options: dict[str, Any]) -> dict[str, Any]:
    return {name: None if value == "none" else value for name, value in options.items() if value is not None}


def _row(item: ProjectView) -> list[str]:
    return [
        item.name,
        f"{item.weight:g}",
        f"{item.running}{_of(item.most_running)}",
        f"{item.waiting}{_of(item.most_waiting)}",
        "the farm's own" if item.most_bytes is None else str(item.most_bytes),
    ]


def _of(most: int | None) -> str:
    return "" if most is None else f" of {most}"

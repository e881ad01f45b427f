"""``enginehouse member``: list, set, remove."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enginehouse.cli.common import farm, json_option, more, paging

if TYPE_CHECKING:
    from enginehouse.people import MemberView

_COLUMNS = ["person", "name", "role", "state", "since"]

_project = click.option("--project", help="Instead of your own project (needs the scope 'operate').")


@click.group()
def member() -> None:
    """List, set and remove the members of a project."""


@member.command("list")
@_project
@paging
@json_option
def list_(project: str | None, limit: int, after: str | None, as_json: bool) -> None:
    """List the members of a project, by name."""
    from enginehouse.cli.output import print_json, print_table

    with farm() as client:
        page = client.members.list(project, limit, after)
        if as_json:
            print_json(page)
            return
        print_table(_COLUMNS, [_row(item) for item in page.items])
        more(page.next)


@member.command("set")
@click.argument("login")
@click.argument("role", type=click.Choice(["viewer", "submitter", "maintainer", "admin"]))
@_project
@json_option
def set_(login: str, role: str, project: str | None, as_json: bool) -> None:
    """Make a person a member, or change their role (needs the scope 'admin')."""
    from enginehouse.cli.output import print_json, print_table

    with farm() as client:
        view = client.members.put(login, role, project)
        print_json(view) if as_json else print_table(_COLUMNS, [_row(view)])


@member.command()
@click.argument("login")
@_project
def remove(login: str, project: str | None) -> None:
    """Make a person a member no longer (needs the scope 'admin'). What they submitted stays."""
    with farm() as client:
        client.members.remove(login, project)


def _row(item: MemberView) -> list[str]:
    return [item.login, item.name, item.role, "disabled" if item.disabled else "let in", f"{item.since:%Y-%m-%d}"]

"""``enginehouse person``: list, create, set, sign-out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from enginehouse.cli.common import farm, json_option, more, paging

if TYPE_CHECKING:
    from enginehouse.people import PersonView

_COLUMNS = ["person", "name", "signs in by", "operator", "state", "projects", "last signed in"]

_password = click.option(
    "--password-stdin", is_flag=True, help="Read a password from standard input: its first line, 12 characters or more."
)


@click.group()
def person() -> None:
    """Enter, list and change persons (needs the scope 'operate')."""


@person.command("list")
@paging
@json_option
def list_(limit: int, after: str | None, as_json: bool) -> None:
    """List persons, newest first."""
    from enginehouse.cli.output import print_json, print_table

    with farm() as client:
        page = client.persons.list(limit, after)
        if as_json:
            print_json(page)
            return
        print_table(_COLUMNS, [_row(item) for item in page.items])
        more(page.next)


@person.command()
@click.argument("login")
@click.option("--name", default="", help="Their full name.")
@click.option("--operator", is_flag=True, help="They operate the farm.")
@_password
@json_option
def create(login: str, name: str, operator: bool, password_stdin: bool, as_json: bool) -> None:
    """Enter a person. Without a password, LOGIN is a mail address, invited to sign in through the farm's provider."""
    password = _read() if password_stdin else None
    with farm() as client:
        _show(client.persons.create(login, name=name, password=password, operator=operator), as_json)


@person.command("set")
@click.argument("login")
@click.option("--name", help="Their full name.")
@click.option("--operator/--no-operator", default=None, help="Whether they operate the farm.")
@click.option("--disabled/--no-disabled", default=None, help="Whether they are refused.")
@_password
@json_option
def set_(
    login: str,
    name: str | None,
    operator: bool | None,
    disabled: bool | None,
    password_stdin: bool,
    as_json: bool,
) -> None:
    """Change a person; what is not given stays. A new password signs them out everywhere, and so does --disabled."""
    given: dict[str, Any] = {"name": name, "operator": operator, "disabled": disabled}
    given["password"] = _read() if password_stdin else None
    with farm() as client:
        changed = {field: value for field, value in given.items() if value is not None}
        _show(client.persons.change(login, **changed), as_json)


@person.command("sign-out")
@click.argument("login")
def sign_out(login: str) -> None:
    """Sign a person out everywhere."""
    with farm() as client:
        client.persons.sign_out(login)


def _read() -> str:
    return sys.stdin.readline().rstrip("\r\n")


def _show(view: PersonView, as_json: bool) -> None:
    from enginehouse.cli.output import print_json, print_table

    print_json(view) if as_json else print_table(_COLUMNS, [_row(view)])


def _row(item: PersonView) -> list[str]:
    return [
        item.login,
        item.name,
        {"local": "password", "provider": "provider", "invited": "invited"}.get(item.kind, item.kind),
        "yes" if item.operator else "no",
        "disabled" if item.disabled else "let in",
        " ".join(f"{one.project}:{one.role}" for one in item.projects) or "-",
        f"{item.last_seen:%Y-%m-%d}" if item.last_seen else "-",
    ]

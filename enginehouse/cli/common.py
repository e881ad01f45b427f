"""Options and arguments that several commands share."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from enginehouse.client import Client

Command = TypeVar("Command", bound=Callable[..., Any])

json_option = click.option("--json", "as_json", is_flag=True, help="Print the API's JSON on stdout and nothing else.")
quiet_option = click.option("-q", "--quiet", is_flag=True, help="No progress on stderr.")

reason_option = click.option(
    "--reason", metavar="TEXT", default="", help="For people: shown wherever it makes something wait."
)


def paging(command: Command) -> Command:
    """``--limit`` and ``--after``."""
    after = click.option("--after", metavar="CURSOR", help="The page after this one's 'next'.")
    limit = click.option("--limit", type=click.IntRange(1, 200), default=50, show_default=True, help="Items to list.")
    return limit(after(command))


@contextmanager
def farm() -> Iterator[Client]:
    """The farm that the command line, the environment or the embedded farm's file names."""
    from enginehouse.client import Client
    from enginehouse.errors import RequestError

    try:
        client = Client(click.get_current_context().find_root().obj)
    except RequestError as error:
        raise click.UsageError(f"{error.detail}. {error.hint}") from None
    with client:
        yield client


def more(following: str | None) -> None:
    """Say on stderr that the list goes on."""
    if following:
        click.echo(f"There is more: --after {following}", err=True)


def full_id(given: str, ids: Callable[[str | None], tuple[list[str], str | None]], what: str) -> str:
    """A whole SHA-256 for one that is written short, by looking through the farm's list.

    ``ids`` gives a page of ids and the next cursor.
    """
    from enginehouse.errors import NotFound

    if len(given) == 64 or not re.fullmatch(r"[0-9a-f]{6,63}", given):
        return given
    found: list[str] = []
    cursor: str | None = None
    for _ in range(50):
        page, cursor = ids(cursor)
        found += [each for each in page if each.startswith(given) and each not in found]
        if cursor is None:
            break
    if len(found) > 1:
        raise click.UsageError(f"{given} is the beginning of {len(found)} {what} ids; write more of it.")
    if not found:
        raise NotFound(f"there is no {what} {given}")
    return found[0]


def model_id(client: Client, given: str) -> str:
    """A model's whole id."""

    def ids(cursor: str | None) -> tuple[list[str], str | None]:
        page = client.models.list(limit=200, after=cursor)
        return [model.id for model in page.items], page.next

    return full_id(given, ids, "model")


def artifact_id(client: Client, given: str) -> str:
    """An artifact's whole id."""

    def ids(cursor: str | None) -> tuple[list[str], str | None]:
        page = client.artifacts.list(limit=200, after=cursor)
        return [artifact.id for artifact in page.items], page.next

    return full_id(given, ids, "artifact")

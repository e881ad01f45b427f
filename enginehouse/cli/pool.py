"""``enginehouse pool``: list, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enginehouse.cli.common import farm, json_option, reason_option

if TYPE_CHECKING:
    from enginehouse.views import PoolView


@click.group()
def pool() -> None:
    """List, pause and resume pools."""


@pool.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List pools with their slots and what waits for them. Workers that may stand in for each other are one pool."""
    from enginehouse.cli.output import print_json, print_table

    with farm() as client:
        page = client.pools.list()
        if as_json:
            print_json(page)
            return
        rows = [
            [
                item.name,
                item.mode + (f" ({item.mode_reason})" if item.mode_reason else ""),
                str(item.workers),
                f"{item.busy}/{item.slots}",
                str(item.waiting),
                " ".join(item.backends),
            ]
            for item in page.items
        ]
        print_table(["pool", "mode", "workers", "busy", "waiting", "backends"], rows, right=["workers", "waiting"])


@pool.command()
@click.argument("name")
@reason_option
@json_option
def pause(name: str, reason: str, as_json: bool) -> None:
    """Dispatch nothing to a pool (needs the scope 'operate'). What runs there goes on."""
    with farm() as client:
        _say(client.pools.pause(name, reason), as_json)


@pool.command()
@click.argument("name")
@json_option
def resume(name: str, as_json: bool) -> None:
    """Dispatch to a pool again (needs the scope 'operate')."""
    with farm() as client:
        _say(client.pools.resume(name), as_json)


def _say(view: PoolView, as_json: bool) -> None:
    from enginehouse.cli.output import clean, print_json

    print_json(view) if as_json else click.echo(f"{clean(view.name)} is {view.mode}; {view.busy} busy")

"""``enginehouse worker``: list, drain, pause, resume."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enginehouse.cli.common import farm, json_option, reason_option

if TYPE_CHECKING:
    from enginehouse.views import WorkerView


@click.group()
def worker() -> None:
    """List, drain, pause and resume workers."""


@worker.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List workers with their hardware, backends and precisions.

    With --json also their hardware tags, the facts that constraints ask about, and the JSON schema of each backend's
    options.
    """
    from enginehouse.cli.output import age_text, print_json, print_table

    with farm() as client:
        page = client.workers.list()
        if as_json:
            print_json(page)
            return
        rows = [
            [
                item.name,
                item.state if item.mode == "open" else f"{item.state}, {item.mode}",
                f"{item.busy}/{item.slots}",
                item.hardware.hardware_class,
                f"{item.hardware.cores}",
                f"{item.hardware.memory_mb / 1024:.0f} GiB",
                _backends(item),
                age_text(item.last_seen),
            ]
            for item in page.items
        ]
        columns = ["worker", "state", "busy", "hardware", "cores", "memory", "backends", "last seen"]
        print_table(columns, rows, right=["cores", "memory"])


@worker.command()
@click.argument("name")
@click.option("--leave", is_flag=True, help="Its process ends once it holds nothing.")
@reason_option
@json_option
def drain(name: str, leave: bool, reason: str, as_json: bool) -> None:
    """Let a worker finish what it holds and take nothing new, until it is resumed (needs the scope 'operate')."""
    with farm() as client:
        _say(client.workers.drain(name, reason, leave), as_json)


@worker.command()
@click.argument("name")
@reason_option
@json_option
def pause(name: str, reason: str, as_json: bool) -> None:
    """Let a worker take nothing new (needs the scope 'operate'). What it holds it finishes."""
    with farm() as client:
        _say(client.workers.pause(name, reason), as_json)


@worker.command()
@click.argument("name")
@json_option
def resume(name: str, as_json: bool) -> None:
    """Let a worker take work again (needs the scope 'operate')."""
    with farm() as client:
        _say(client.workers.resume(name), as_json)


def _say(view: WorkerView, as_json: bool) -> None:
    from enginehouse.cli.output import clean, print_json

    print_json(view) if as_json else click.echo(f"{clean(view.name)} is {view.mode}; {view.busy} busy")


def _backends(view: WorkerView) -> str:
    return "  ".join(f"{found.backend}:{'/'.join(found.precisions)}" for found in view.capabilities)

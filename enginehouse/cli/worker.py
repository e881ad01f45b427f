"""``enginehouse worker``: list."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from enginehouse.cli.common import farm, json_option

if TYPE_CHECKING:
    from enginehouse.views import WorkerView


@click.group()
def worker() -> None:
    """List the farm's workers."""


@worker.command("list")
@json_option
def list_(as_json: bool) -> None:
    """List workers with their hardware, backends and precisions.

    With --json also their hardware tags and the JSON schema of each backend's options.
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
                item.state,
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


def _backends(view: WorkerView) -> str:
    return "  ".join(f"{found.backend}:{'/'.join(found.precisions)}" for found in view.capabilities)

"""``enginehouse up``: the embedded farm, which runs from a checkout."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import click

NOT_HERE = """\
The farm itself is not part of this package: it runs from a checkout or its container image.

  git clone REPOSITORY enginehouse && cd enginehouse && make up

or, with containers, 'docker compose up' in the checkout. This command line then finds it at
http://127.0.0.1:8470, or where ENGINEHOUSE_URL says."""


def is_checkout() -> bool:
    """Whether the farm lies beside this package (and is not a stranger's module of the same name)."""
    try:
        found = importlib.util.find_spec("farm")
    except (ImportError, ValueError):
        return False
    here = Path(__file__).resolve().parents[2]
    return found is not None and found.origin is not None and Path(found.origin).resolve().parents[1] == here


@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def up(arguments: tuple[str, ...]) -> None:
    """Run the embedded farm on this machine until Ctrl-C."""
    if not is_checkout():
        if set(arguments) & {"-h", "--help"}:
            click.echo(f"Usage: enginehouse up\n\n  Run the embedded farm on this machine until Ctrl-C.\n\n{NOT_HERE}")
            return
        raise click.UsageError(NOT_HERE)
    sys.stdout.flush()
    # The farm takes this process's place: signals reach it directly.
    os.execv(sys.executable, [sys.executable, "-m", "farm", *arguments])  # noqa: S606 - no shell is wanted

"""The command line: ``enginehouse``. Nothing is imported before it is needed."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main() -> None:
    """The console script."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit status."""
    from enginehouse.cli.app import run as run_app

    return run_app(arguments)

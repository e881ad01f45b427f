"""What is printed: JSON as the API has it, tables, and text that cannot play with the terminal."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from pydantic import BaseModel

# Whole escape sequences, so that no "[31m" is left over; then every other control, C1 and bidirectional character.
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"
    r"|\x9b[0-?]*[ -/]*[@-~]|\x1b[ -/]*[0-~]?"
)
_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")


def clean(text: str, multiline: bool = False) -> str:
    """The text without terminal control. Tabs become spaces; line breaks too, unless ``multiline``."""
    if multiline:
        return "\n".join(clean(line) for line in text.split("\n"))
    text = text.replace("\t", "    ").replace("\n", " ").replace("\r", " ")
    return _CONTROLS.sub("", _ESCAPES.sub("", text))


def print_json(model: BaseModel, indent: int | None = 2) -> None:
    """A model exactly as the API has it; escaped to ASCII, so that nothing in it reaches the terminal raw."""
    click.echo(model.model_dump_json(indent=indent, ensure_ascii=True))


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], right: Iterable[str] = ()) -> None:
    """A table on stdout. Off a terminal it is as wide as its content and has no colour."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    terminal = sys.stdout.isatty()
    table = Table(box=None, pad_edge=False, show_edge=False, padding=(0, 2, 0, 0))
    aligned = set(right)
    for column in columns:
        # On a narrow terminal cells fold, but never the name that a row begins with.
        whole = not terminal or column == columns[0]
        table.add_column(column, justify="right" if column in aligned else "left", overflow="fold", no_wrap=whole)
    for row in rows:
        table.add_row(*(Text(clean(cell)) for cell in row))
    console = Console(width=None if terminal else 1000, markup=False, highlight=False, emoji=False)
    with console.capture() as capture:
        console.print(table)
    click.echo("\n".join(line.rstrip() for line in capture.get().rstrip("\n").split("\n")))


def note(text: str, quiet: bool = False) -> None:
    """A line for people, on stderr."""
    if not quiet:
        click.echo(clean(text), err=True)


def size_text(count: float) -> str:
    """Bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} TiB"


def number_text(value: float | None, form: str = ".3g", unit: str = "") -> str:
    """A number, or a dash when it was not measured."""
    return "-" if value is None else f"{value:{form}}{unit}"


def age_text(moment: datetime, now: datetime | None = None) -> str:
    """How long ago, in one unit."""
    seconds = max(0.0, ((now or datetime.now(UTC)) - moment).total_seconds())
    for unit, length in (("d", 86_400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length or (unit == "min" and seconds >= 60):
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s"


def short(identifier: str) -> str:
    """The first twelve digits of a SHA-256; other ids stay whole."""
    return identifier[:12] if re.fullmatch(r"[0-9a-f]{64}", identifier) else identifier

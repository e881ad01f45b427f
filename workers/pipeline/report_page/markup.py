"""HTML elements. What is no ``Markup`` is text and is escaped: whoever wrote the model chose the names in a report."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from pydantic import BaseModel

from enginehouse.targets import Target

_SIDE_BY_SIDE = 4
_VOID = frozenset({"meta"})
NOTHING: tuple[Any, ...] = (None, "", [], {})
"""what a field holds that says nothing"""


class Markup(str):
    """Text that is HTML already."""

    __slots__ = ()


def tag(name: str, /, *children: str, **attributes: object) -> Markup:
    """One element. ``class_`` is the attribute 'class'; ``http_equiv`` is 'http-equiv'."""
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    inside = "".join(child if isinstance(child, Markup) else escape(child) for child in children)
    return Markup(f"<{name}{given}>" if name in _VOID else f"<{name}{given}>{inside}</{name}>")


def joined(parts: Iterable[Markup]) -> Markup:
    """Elements one after the other, each on its line."""
    return Markup("\n".join(parts))


def section(title: str, *children: Markup) -> Markup:
    """A heading with what is under it; nothing where nothing is."""
    inside = [child for child in children if child]
    return tag("section", tag("h2", title), *inside) if inside else Markup("")


def table(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Markup:
    """A table that scrolls in its own box. Numbers stand to the right; the first cell names its row."""
    head = tag("thead", tag("tr", *(tag("th", column, scope="col") for column in columns)))
    body = tag("tbody", *(tag("tr", tag("th", text(first), scope="row"), *map(_cell, rest)) for first, *rest in rows))
    return tag("div", tag("table", head, body), class_="scroll")


def records(rows: Sequence[BaseModel]) -> Markup:
    """A table of things of one kind; fields in which no row says anything are left out.

    A few things stand side by side, a field in each row: that fits on paper.
    """
    if not rows:
        return Markup("")
    names = [name for name in type(rows[0]).model_fields if any(getattr(row, name) not in NOTHING for row in rows)]
    cells = [[getattr(row, name) for name in names] for row in rows]
    if len(rows) > _SIDE_BY_SIDE:
        return table([words(name) for name in names], cells)
    head, *rest = zip(names, *cells, strict=True)
    return table([words(head[0]), *map(text, head[1:])], [[words(name), *values] for name, *values in rest])


def pairs(values: Mapping[str, Any]) -> Markup:
    """A table of names, as report.json has them, and values; nothing where there are none."""
    rows = [tag("tr", tag("th", key, scope="row"), tag("td", text(value))) for key, value in values.items()]
    return tag("div", tag("table", tag("tbody", *rows), class_="pairs"), class_="scroll") if rows else Markup("")


def text(value: Any) -> str:
    """A value for people: a dash for None, six digits, lists with commas."""
    match value:
        case Markup() | str():
            return value
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:.6g}"
        case list() | tuple():
            return ", ".join(map(text, value)) or "-"
        case Target():
            return " ".join([str(value), *(f"{key}={text(item)}" for key, item in value.options.items())])
        case dict():
            return json.dumps(value, ensure_ascii=False)
    return str(value)


def words(name: str) -> str:
    """A field's name for people: 'max_abs_error' is 'max abs error'."""
    return name.replace("_", " ")


def _cell(value: Any) -> Markup:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return tag("td", text(value), class_="number") if number else tag("td", text(value))

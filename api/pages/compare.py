"""Two to five builds side by side: what was asked, where, what was measured, what became of each layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from flask import Response
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.pages import page
from api.pages.words import DASH, ms, size, times
from api.routing import Call, Router
from enginehouse.comparison import Change, Comparison, LayerDiff, MetricRow
from enginehouse.errors import EnginehouseError
from scheduler import compare, job_rows

router = Router("page_compare", pages=True)

MOST = 5
"""More columns than this nobody can read."""

_ROWS = 40
_RECENT = 20


class CompareQuery(BaseModel):
    """Which builds, and how much of them."""

    model_config = ConfigDict(extra="forbid")

    build: list[str] = Field(default_factory=list, max_length=20, description="ids of builds or artifacts")
    all: bool = Field(default=False, description="also what is the same everywhere")


@dataclass(frozen=True)
class Cell:
    """A measured value of one build."""

    text: str
    ratio: str
    best: bool
    within: bool


@dataclass(frozen=True)
class Row:
    """A measured value of every build."""

    name: str
    better: str
    cells: list[Cell]


@router.route("GET", "/compare", Scope.READ, "Builds side by side", produces="text/html")
def show(call: Call, query: CompareQuery) -> Response:
    """The first one is the base of every ratio. What cannot be compared says why."""
    chosen = list(dict.fromkeys(query.build))
    found: Comparison | None = None
    error: EnginehouseError | None = None
    with call.farm.read() as session:
        if 2 <= len(chosen) <= MOST:
            try:
                found = compare.compared(session, call.principal, chosen)
            except EnginehouseError as problem:
                error = problem
        recent = job_rows.rows(session, call.principal, job_rows.Wanted(), _RECENT).items if found is None else []
    return page(
        call,
        "compare/show.html",
        status=error.status if error else 200,
        chosen=chosen,
        most=MOST,
        every=query.all,
        error=error,
        found=found,
        recent=recent,
        **(_values(found, query.all) if found else {}),
    )


def _values(found: Comparison, every: bool) -> dict[str, Any]:
    shown = [row for row in found.metrics if every or len(set(row.values)) > 1]
    grouped: dict[str, list[Row]] = {}
    for row in shown:
        grouped.setdefault(row.group, []).append(_row(row))
    return {
        "metrics": list(grouped.items()),
        "same_metrics": len(found.metrics) - len(shown),
        "layers": [(diff, _layers(diff, every)) for diff in found.layers],
        "rows_at_most": _ROWS,
        "changes": list(Change),
    }


def _layers(diff: LayerDiff, every: bool) -> list[Any]:
    """Those that cost the most difference first; without what is the same, unless everything is asked for."""
    wanted = [change for change in diff.changes if every or change.change is not Change.SAME]
    return sorted(wanted, key=lambda change: -abs(change.delta_us or 0.0))[:_ROWS]


def _row(row: MetricRow) -> Row:
    cells = []
    for index, (value, ratio, within) in enumerate(zip(row.values, row.ratios, row.within, strict=True)):
        factor = "" if index == 0 or ratio is None else f"{'~' if within else ''}{ratio:.3g}x"
        cells.append(Cell(_text(value, row.name, row.unit), factor, row.best == index, within))
    name = row.name.removesuffix("_ms").removesuffix("_mb").replace("_", " ")
    return Row(f"{name} of {row.of}" if row.of else name, row.better.value, cells)


def _text(value: float | None, name: str, unit: str) -> str:
    if value is None:
        return DASH
    if unit == "x":
        return times(value)
    if name == "cosine":
        return f"{value:.6f}"
    if unit == "ms":
        return ms(value)
    if unit == "B":
        return size(value)
    return f"{value:.4g} {unit}".strip()

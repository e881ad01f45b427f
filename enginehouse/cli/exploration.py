"""What ``auto`` tried, as a table under the job's."""

from __future__ import annotations

from typing import TYPE_CHECKING

from enginehouse.cli.output import note, number_text, print_table

if TYPE_CHECKING:
    from enginehouse.exploration import Candidate, Exploration

COLUMNS = ("candidate", "came to be", "ms", "per s", "cosine", "front", "why not")


def print_exploration(table: Exploration) -> None:
    """The ranked candidates on stdout, the reasons for the first on stderr."""
    print_table(COLUMNS, [_row(one) for one in table.candidates], COLUMNS[2:5])
    for reason in table.reasons:
        note(reason)


def _row(one: Candidate) -> list[str]:
    return [
        one.named,
        one.stage.value,
        number_text(one.p50_ms, ".3g"),
        number_text(one.per_s, ".4g"),
        number_text(one.cosine, ".6f"),
        "*" if one.pareto else "",
        one.reason,
    ]

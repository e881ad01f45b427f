"""The layer table in the order that a person asks for, and what each kind of layer costs together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from enginehouse.report import Layer

ORDERS = {"order": "Order", "name": "Layer", "type": "Type", "precision": "Precision", "time": "Time"}
"""What one can sort by, with the column's word."""


@dataclass(frozen=True)
class Kind:
    """All layers of one type."""

    type: str
    count: int
    time_us: float
    share: float


def in_order(layers: Sequence[Layer], sort: str) -> list[Layer]:
    """As executed, by time with the longest first, or by a word."""
    if sort == "time":
        return sorted(layers, key=lambda layer: -(layer.time_us or 0.0))
    if sort in ("name", "type", "precision"):
        return sorted(layers, key=lambda layer: (getattr(layer, sort).lower(), -(layer.time_us or 0.0)))
    return list(layers)


def by_type(layers: Sequence[Layer]) -> list[Kind]:
    """The most expensive kind first; without times, the most frequent."""
    times: dict[str, float] = defaultdict(float)
    counts: dict[str, int] = defaultdict(int)
    for layer in layers:
        times[layer.type] += layer.time_us or 0.0
        counts[layer.type] += 1
    whole = sum(times.values())
    kinds = [Kind(type_, counts[type_], time, time / whole if whole else 0.0) for type_, time in times.items()]
    return sorted(kinds, key=lambda kind: (-kind.time_us, -kind.count, kind.type))

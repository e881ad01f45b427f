"""A measured ratio with its samples, and how it is printed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """Ours beside theirs, sample by sample, in one unit. ``ratio`` is the median of the ratios pair by pair."""

    name: str
    ours: Sequence[float]
    theirs: Sequence[float]
    unit: str
    peer: str
    aim: str = ""
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def ratios(self) -> list[float]:
        """Ours / theirs, pair by pair."""
        return [a / b for a, b in zip(self.ours, self.theirs, strict=True)]

    @property
    def ratio(self) -> float:
        """The median of the ratios."""
        return median(self.ratios)

    def line(self) -> str:
        """One line for people."""
        spread = f"{min(self.ratios):.2f}..{max(self.ratios):.2f}"
        sides = f"{median(self.ours):.3f} {self.unit} against {median(self.theirs):.3f} {self.unit} ({self.peer})"
        aim = f"; aim {self.aim}" if self.aim else ""
        notes = "".join(f"\n    {key}: {value}" for key, value in self.notes.items())
        return f"{self.name}: ratio {self.ratio:.2f} ({spread}, n={len(self.ours)}){aim}\n    {sides}{notes}"

    def data(self) -> dict[str, Any]:
        """Everything, for a file."""
        return {**asdict(self), "ratio": self.ratio}

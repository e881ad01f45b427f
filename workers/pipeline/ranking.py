"""Which class wins, where an output scores classes: over samples that come one at a time.

An output scores classes along its last axis, and every other axis counts cases, when

- it holds *probabilities*: at least two classes, no value below zero, and every row of the source adds up to 1; or
- it holds *logits*: [cases, classes] with at least three classes.

A vector that is no score can have the second form too. So agreement is reported of both, and judged of the first alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from workers.backends.base import Array

_SUM = 1e-2
"""How far from 1 a row of probabilities may add up, as in half precision."""
_FEWEST_LOGITS = 3
_TOP = 5


@dataclass
class Ranking:
    """Rows whose best class is the same.

    ``margins``: by how much the source's best class is ahead, summed up; ``lost``: of those, where another one won.
    """

    rows: int = 0
    first: int = 0
    within: int = 0
    margins: float = 0.0
    lost: float = 0.0
    form: bool = True
    probable: bool = True
    classes: int = 0

    def add(self, mine: Array, true: Array) -> None:
        """One sample's output, float64, finite, of one shape."""
        fits = self.form and true.ndim > 0 and true.size > 0 and true.shape[-1] > 1
        if not fits or (self.classes and self.classes != true.shape[-1]):
            self.give_up()
            return
        self.classes = true.shape[-1]
        scores, source = mine.reshape(-1, self.classes), true.reshape(-1, self.classes)
        self.probable &= bool(source.min() >= -_SUM and np.abs(source.sum(axis=1) - 1).max() <= _SUM)
        if not self.probable and (true.ndim != 2 or self.classes < _FEWEST_LOGITS):
            self.give_up()
            return
        best, own = source.argmax(axis=1), scores.argmax(axis=1)
        row = np.arange(len(source))
        two = np.partition(source, -2, axis=1)[:, -2:]
        margin = two[:, 1] - two[:, 0]
        same = best == own
        self.rows += len(source)
        self.first += int(np.count_nonzero(same))
        # The source's best is within the artifact's first five when fewer than five classes score higher there.
        self.within += int(np.count_nonzero((scores > scores[row, best][:, None]).sum(axis=1) < _TOP))
        self.margins += float(margin.sum())
        self.lost += float(margin[~same].sum())

    def give_up(self) -> None:
        """This output scores no classes, or not with numbers."""
        self.form = self.probable = False

    @property
    def scores(self) -> bool:
        """Whether the output scores classes."""
        return self.form and self.rows > 0

    @property
    def top1(self) -> float:
        """Share of rows with the same best class."""
        return self.first / self.rows

    @property
    def top5(self) -> float | None:
        """Share of rows whose best class is among the artifact's five best; None with five classes and fewer."""
        return self.within / self.rows if self.classes > _TOP else None

    @property
    def decided(self) -> float:
        """The same share, each row weighted by how far ahead its best class is; 1 where none is ahead."""
        return 1.0 - self.lost / self.margins if self.margins > 0 else 1.0

"""How far two sets of outputs are apart, taken in one sample at a time. Pure: arrays in, numbers out.

The rule and its reasons: docs/verification.md.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from enginehouse.report import OutputVerification
from enginehouse.targets import Precision
from workers.backends.base import Array
from workers.pipeline.moments import Moments, decibels
from workers.pipeline.ranking import Ranking

_TINY = 1e-6
_NOTHING = 1e-7
"""Errors below it are what sums of numbers near 1 leave where they cancel out."""
_ALIKE = 1e-12
"""Squared distance from the direction of the source below which the cosine is 1: sums round, too."""


@dataclass(frozen=True)
class Tolerance:
    """When an output agrees, for one precision.

    ``sqnr_db``: least ratio of signal to noise over all samples. ``sample_db``: least of any one sample, against the
    signal of all. ``max_error``: largest error of any element, as a share of the output's range; 0: not looked at.
    ``decided``: least share of the source's decided classes that the artifact decides alike, where the output holds
    probabilities. ``equal_share``: least share of equal elements of integers and booleans. ``rounding``: what writing
    a number in the precision once may move it, relative: never held against an artifact.
    """

    sqnr_db: float
    sample_db: float
    max_error: float
    decided: float
    equal_share: float
    rounding: float

    def as_dict(self) -> dict[str, float]:
        """For the report."""
        return dict(vars(self))


_FP32 = Tolerance(70.0, 60.0, 1e-3, 0.9999, 0.999, 2.0**-20)
_HALF = Tolerance(30.0, 20.0, 1e-1, 0.995, 0.98, 2.0**-9)
_BF16 = Tolerance(17.0, 8.0, 0.0, 0.98, 0.95, 2.0**-6)
_INT8 = Tolerance(10.0, 3.0, 0.0, 0.95, 0.90, 2.0**-6)

_TOLERANCES = {
    # Two FP32 runtimes differ by the order of their sums: 1e-6 to 1e-4 of the output over a deep network.
    Precision.FP32: _FP32,
    # Half precision rounds every weight at 2^-11 = 5e-4; TensorFloat-32 has the same ten bits.
    Precision.TF32: _HALF,
    Precision.FP16: _HALF,
    # bfloat16 rounds at 2^-8 = 4e-3: three bits less, of six decibels each.
    Precision.BF16: _BF16,
    # Eight bits and less round at 2^-8 of a tensor's range: these bounds tell noise from a model that was broken.
    # What accuracy is lost is for labels and a job's own gates to say.
    Precision.INT8: _INT8,
    Precision.FP8: _INT8,
    Precision.INT4: _INT8,
}


def tolerance(precision: Precision) -> Tolerance:
    """The bounds for a precision."""
    return _TOLERANCES[precision]


@dataclass
class Comparison:
    """One output over all samples that were added. Holds sums and extremes, no samples."""

    name: str
    dtype: str = ""
    shape: list[int] = field(default_factory=list)
    floating: bool = True
    count: int = 0
    """elements of the source's outputs"""
    max_abs: float = 0.0
    max_rel: float = 0.0
    cosine: float = 1.0
    equal: int = 0
    nonfinite: int = 0
    """elements that are NaN or Inf in the artifact alone"""
    own_nonfinite: int = 0
    """elements that are NaN or Inf in the artifact"""
    source_nonfinite: int = 0
    differs: str = ""
    signal: Moments = field(default_factory=Moments)
    absolute: float = 0.0
    squared: float = 0.0
    worst: float = 0.0
    """largest mean squared error of a sample"""
    worst_at: int = 0
    """which one, counted from 0"""
    samples: int = 0
    ranking: Ranking = field(default_factory=Ranking)

    def add(self, artifact: Array | None, reference: Array) -> None:
        """Compare one sample's output."""
        self.samples += 1
        if not self.dtype:
            self.dtype = str(reference.dtype)
            self.shape = list(reference.shape)
            self.floating = np.issubdtype(reference.dtype, np.floating)
        if artifact is None:
            self.differs = "the artifact does not give this output"
            return
        if artifact.shape != reference.shape:
            self.differs = f"shape {list(artifact.shape)}, the source model gives {list(reference.shape)}"
            return
        self.count += reference.size
        if not self.floating:
            self.equal += int(np.count_nonzero(artifact == reference))
            return
        mine, true = artifact.astype(np.float64), reference.astype(np.float64)
        known, given = np.isfinite(true), np.isfinite(mine)
        self.own_nonfinite += int(np.count_nonzero(~given))
        self.source_nonfinite += int(np.count_nonzero(~known))
        self.nonfinite += int(np.count_nonzero(known & ~given))
        if not np.array_equal(mine[~known], true[~known], equal_nan=True):
            self.differs = "where the source model gives NaN or Inf, the artifact gives something else"
        both = known & given
        if both.all():
            self.ranking.add(mine, true)
        else:
            self.ranking.give_up()
        self._add(mine[both], true[both])

    def _add(self, mine: Array, true: Array) -> None:
        """Finite elements, flat."""
        if not mine.size:
            return
        error = np.abs(mine - true)
        squared = float(error @ error)
        self.max_abs = max(self.max_abs, float(error.max()))
        self.max_rel = max(self.max_rel, float((error / np.maximum(np.abs(true), _TINY)).max()))
        self.absolute += float(error.sum())
        self.squared += squared
        if squared / mine.size > self.worst:
            self.worst, self.worst_at = squared / mine.size, self.samples - 1
        self.signal.add(true)
        self.cosine = min(self.cosine, _cosine(mine, true))

    @property
    def sqnr_db(self) -> float:
        """Signal to noise over all samples, decibels."""
        return decibels(self.signal.power, self.squared / max(self.signal.count, 1))

    @property
    def sample_db(self) -> float:
        """The signal of all samples to the noise of the worst one, decibels."""
        return decibels(self.signal.power, self.worst)

    def verdict(self, bound: Tolerance) -> OutputVerification:
        """The numbers, and whether they stay within the bounds."""
        number = bool(self.signal.count) and self.floating
        share = self.equal / self.count if self.count and not self.floating else None
        ranks = self.ranking.scores
        missed = self.misses(bound)
        return OutputVerification(
            name=self.name,
            dtype=self.dtype,
            shape=self.shape,
            max_abs_error=self.max_abs if number else None,
            max_rel_error=self.max_rel if number else None,
            mean_abs_error=self.absolute / self.signal.count if number else None,
            cosine=self.cosine if number else None,
            sqnr_db=round(self.sqnr_db, 3) if number else None,
            worst_sample_db=round(self.sample_db, 3) if number else None,
            top1_agreement=self.ranking.top1 if ranks else None,
            top5_agreement=self.ranking.top5 if ranks else None,
            decided_agreement=self.ranking.decided if ranks else None,
            equal_share=share,
            nonfinite=self.nonfinite,
            nonfinite_share=self.own_nonfinite / self.count if self.count and self.floating else None,
            source_nonfinite_share=self.source_nonfinite / self.count if self.count and self.floating else None,
            agrees=not missed,
            missed=missed,
        )

    def misses(self, bound: Tolerance) -> list[str]:
        """What is outside the bounds, in words."""
        found = [self.differs] if self.differs else []
        if not self.floating:
            share = self.equal / self.count if self.count else 1.0
            return found + ([f"equal share {share:.4f} < {bound.equal_share:g}"] if share < bound.equal_share else [])
        if self.nonfinite:
            found.append(f"{self.nonfinite} elements are NaN or Inf")
        if not self.signal.count:
            return found
        # One rounding of each number is nobody's fault; a sum of squares is compared, so it is squared.
        rounding = max(bound.rounding * self.signal.size, _NOTHING)
        rounded = min(rounding * rounding, sys.float_info.max)  # noise beyond the range of numbers is above it
        if self.sqnr_db < bound.sqnr_db and self.squared / self.signal.count > rounded:
            found.append(f"SQNR {self.sqnr_db:.1f} dB < {bound.sqnr_db:g}")
        if self.sample_db < bound.sample_db and self.worst > rounded:
            found.append(f"SQNR of the worst sample {self.sample_db:.1f} dB < {bound.sample_db:g}")
        most = max(bound.max_error * self.signal.span, bound.rounding * self.signal.largest, _NOTHING)
        if bound.max_error and self.max_abs > most:
            found.append(f"largest error {self.max_abs:.3g} > {most:.3g}")
        # Noise within the bound moves two scores past each other that are closer than twice its amplitude: among few
        # rows one such would outweigh the share.
        amplitude = math.sqrt(self.signal.power) * 10 ** (-bound.sqnr_db / 20)
        if self.ranking.probable and self.ranking.lost > (1 - bound.decided) * self.ranking.margins + 2 * amplitude:
            found.append(f"decided classes alike {self.ranking.decided:.4f} < {bound.decided:g}")
        return found


def arrays_of(outputs: Mapping[str, Any]) -> dict[str, Array]:
    """The outputs that are arrays; a sequence of arrays counts element by element."""
    found: dict[str, Array] = {}
    for name, value in outputs.items():
        if isinstance(value, np.ndarray):
            found[name] = value
        elif isinstance(value, Sequence):
            found.update({f"{name}[{i}]": one for i, one in enumerate(value) if isinstance(one, np.ndarray)})
    return found


def _cosine(a: Array, b: Array) -> float:
    """Cosine of two vectors; two zero vectors point the same way."""
    length = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    if length == 0.0:
        return 1.0 if not a.any() and not b.any() else 0.0
    found = float(a @ b) / length
    return 1.0 if abs(1.0 - found) < _ALIKE else max(-1.0, min(1.0, found))

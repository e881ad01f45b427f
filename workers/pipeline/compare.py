"""How far two sets of outputs are apart. Pure: arrays in, numbers out."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from enginehouse.report import OutputVerification
from enginehouse.targets import Precision
from workers.backends.base import Array

_TINY = 1e-6


@dataclass(frozen=True)
class Tolerance:
    """When an output agrees: |a-b| ≤ atol + rtol · max|b| at every element, the cosine at least ``cosine``,
    and for integers and booleans at least ``equal_share`` of the elements equal.

    ``rtol`` is of the output's largest magnitude, not of each element: an element near zero in a large
    output carries the rounding of its large neighbours.
    """

    atol: float
    rtol: float
    cosine: float
    equal_share: float

    def as_dict(self) -> dict[str, float]:
        """For the report."""
        return dict(vars(self))


_FP32 = Tolerance(atol=1e-6, rtol=1e-3, cosine=0.9999, equal_share=0.999)
_FP16 = Tolerance(atol=1e-6, rtol=3e-2, cosine=0.999, equal_share=0.98)
_BF16 = Tolerance(atol=1e-6, rtol=1e-1, cosine=0.99, equal_share=0.95)
_INT8 = Tolerance(atol=1e-6, rtol=3e-1, cosine=0.95, equal_share=0.90)

_TOLERANCES = {
    # Two FP32 runtimes differ by the order of their sums: 1e-6 to 1e-4 of the scale over a deep network.
    Precision.FP32: _FP32,
    # Half precision rounds every weight at 2^-11 = 5e-4; TensorFloat-32 has the same ten bits.
    Precision.TF32: _FP16,
    Precision.FP16: _FP16,
    # bfloat16 rounds at 2^-8 = 4e-3.
    Precision.BF16: _BF16,
    # Eight bits and less round at 2^-8 of a tensor's range: these bounds tell noise from a model that was broken.
    # What accuracy is lost is for a dataset and a job's own gates to say.
    Precision.INT8: _INT8,
    Precision.FP8: _INT8,
    Precision.INT4: _INT8,
}


def tolerance(precision: Precision) -> Tolerance:
    """The bounds for a precision."""
    return _TOLERANCES[precision]


@dataclass
class Comparison:
    """One output, over all samples that were added."""

    name: str
    dtype: str = ""
    shape: list[int] = field(default_factory=list)
    floating: bool = True
    count: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    scale: float = 0.0
    cosine: float = 1.0
    equal: int = 0
    nonfinite: int = 0
    differs: str = ""

    def add(self, artifact: Array | None, reference: Array) -> None:
        """Compare one sample's output."""
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
        mine, true = artifact.astype(np.float64).ravel(), reference.astype(np.float64).ravel()
        known = np.isfinite(true)
        self.nonfinite += int(np.count_nonzero(known & ~np.isfinite(mine)))
        if not np.array_equal(mine[~known], true[~known], equal_nan=True):
            self.differs = "where the source model gives NaN or Inf, the artifact gives something else"
        both = known & np.isfinite(mine)
        mine, true = mine[both], true[both]
        if not mine.size:
            return
        error = np.abs(mine - true)
        self.max_abs = max(self.max_abs, float(error.max()))
        self.max_rel = max(self.max_rel, float((error / np.maximum(np.abs(true), _TINY)).max()))
        self.scale = max(self.scale, float(np.abs(true).max()))
        self.cosine = min(self.cosine, _cosine(mine, true))

    def verdict(self, bound: Tolerance) -> OutputVerification:
        """The numbers, and whether they stay within the bounds."""
        compared = bool(self.count)
        share = self.equal / self.count if compared and not self.floating else None
        if self.floating:
            near = self.max_abs <= bound.atol + bound.rtol * self.scale
            # Only an output whose every element is below atol has no direction; a softmax over thousands has one.
            aligned = self.cosine >= bound.cosine or self.scale <= bound.atol
            agrees = near and aligned and not self.nonfinite
        else:
            agrees = share is None or share >= bound.equal_share
        number = compared and self.floating
        return OutputVerification(
            name=self.name,
            dtype=self.dtype,
            shape=self.shape,
            max_abs_error=self.max_abs if number else None,
            max_rel_error=self.max_rel if number else None,
            cosine=self.cosine if number else None,
            equal_share=share,
            nonfinite=self.nonfinite,
            agrees=agrees and not self.differs,
        )


def _cosine(a: Array, b: Array) -> float:
    """Cosine of two vectors; two zero vectors point the same way."""
    length = math.sqrt(float(a @ a)) * math.sqrt(float(b @ b))
    if length == 0.0:
        return 1.0 if not a.any() and not b.any() else 0.0
    return max(-1.0, min(1.0, float(a @ b) / length))

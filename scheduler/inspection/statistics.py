"""What the values of an input look like: one pass, bounded memory, and no NaN or Inf passed over.

Mean and deviation are put together from pieces by the method of Chan, Golub and LeVeque (1979), which loses no digits
where the mean is large and the deviation small.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from enginehouse.datasets import InputStatistics, shown
from enginehouse.errors import DatasetNotFinite
from samples import Piece

_ORDERED = "biuf"
_FRACTIONS = "fc"


def statistics(name: str, pieces: Iterable[Piece], samples: int) -> InputStatistics:
    """The numbers over all pieces, which are the first ``samples`` samples of the input.

    Raises DatasetNotFinite with the input and the sample. Strings and complex numbers have no order and no numbers.
    """
    count = zeros = 0
    least, most, mean, squares = math.inf, -math.inf, 0.0, 0.0
    with np.errstate(over="ignore", invalid="ignore"):  # values near float64's end: what overflows is left out below
        for piece in pieces:
            values = piece.values
            if values.dtype.kind in _FRACTIONS:
                _check_finite(name, piece)
            if values.dtype.kind not in _ORDERED or not values.size:
                continue
            least, most = min(least, float(values.min())), max(most, float(values.max()))
            zeros += values.size - int(np.count_nonzero(values))
            wide = values.astype(np.float64)
            own_mean = float(wide.mean())
            wide -= own_mean
            both, difference = count + values.size, own_mean - mean
            squares += float(wide @ wide) + difference * difference * count * values.size / both
            mean += difference * values.size / both
            count = both
    if not count:
        return InputStatistics(samples=samples)
    return InputStatistics(
        samples=samples,
        min=_finite(least),
        max=_finite(most),
        mean=_finite(mean),
        std=_finite(math.sqrt(squares / count)),
        zeros=zeros / count,
    )


def _check_finite(name: str, piece: Piece) -> None:
    finite: NDArray[np.bool_] = np.isfinite(piece.values)
    if finite.all():
        return
    at = int(np.argmin(finite))
    what = "NaN" if np.isnan(piece.values[at]) else "Inf"
    sample = piece.sample_of(at)
    raise DatasetNotFinite(f"'{shown(name)}' holds {what} in sample {sample}", input=shown(name), sample=sample)


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None

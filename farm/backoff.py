"""When a part that died is started again. Pure."""

from __future__ import annotations

FIRST_S = 0.2
LONGEST_S = 10.0
STEADY_S = 30.0
"""A part that ran this long starts with a clean record."""


def failures_now(failures: int, ran_s: float) -> int:
    """How many deaths in a row this one is, counting it."""
    return 1 if ran_s >= STEADY_S else failures + 1


def delay_s(failures: int) -> float:
    """Seconds to wait after so many deaths in a row: 0.2, 0.4, 0.8 … 10."""
    if failures <= 0:
        return 0.0
    return float(min(LONGEST_S, FIRST_S * 2 ** min(failures - 1, 10)))

"""When a delivery is tried again, and when it is given up. Pure."""

from __future__ import annotations

WAITS_S = (5.0, 30.0, 120.0, 600.0, 1800.0, 3600.0, 7200.0, 14_400.0, 28_800.0, 28_800.0)
"""Seconds before the second try, the third, and so on: about a day in all."""

MOST_TRIES = len(WAITS_S) + 1
"""A delivery that was refused so often, while others were accepted, is dead."""

PATIENCE = 3
"""Failures of the first in the line before it is asked whether another one is accepted."""

LINE_MOST_S = 3600.0
"""A receiver that is away is asked at least so often."""

JITTER = 0.2
"""The part of a wait that chance adds, so that what failed together does not come back together."""


def wait_s(tries: int, chance: float) -> float:
    """Seconds until a delivery that was put aside is tried again, after so many tries. ``chance``: in [0, 1)."""
    return WAITS_S[max(0, min(tries, len(WAITS_S)) - 1)] * (1 + JITTER * chance)


def line_wait_s(failures: int, chance: float, asked_s: float | None = None) -> float:
    """Seconds until a webhook is tried again, after so many failures in a row. ``asked_s``: its Retry-After."""
    wait = min(WAITS_S[max(0, min(failures, len(WAITS_S)) - 1)], LINE_MOST_S)
    if asked_s is not None:
        wait = max(wait, min(asked_s, LINE_MOST_S))
    return wait * (1 + JITTER * chance)

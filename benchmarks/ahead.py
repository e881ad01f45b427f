"""Ahead of everything else on the machine, where that is permitted: both sides of a ratio of milliseconds need it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def ahead() -> Iterator[bool]:
    """Real-time priority for this thread, the threads and the processes that it starts. Yields whether it was had."""
    policy, parameters = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except PermissionError:
        yield False
        return
    try:
        yield True
    finally:
        os.sched_setscheduler(0, policy, parameters)

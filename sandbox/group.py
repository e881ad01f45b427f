"""A process group: who is in it, how it is stopped, and that nobody is left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from pathlib import Path

_PROC = Path("/proc")
_POLL_S = 0.02


def members(group: int) -> list[int]:
    """Process ids in the group; those that have ended and wait to be collected do not count."""
    found = []
    for name in os.listdir(_PROC):  # noqa: PTH208
        if not name.isdigit():
            continue
        try:
            text = (_PROC / name / "stat").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
        # pid (comm) state ppid pgrp ...; comm may hold spaces and brackets
        fields = text[text.rindex(b")") + 2 :].split(None, 3)
        if int(fields[2]) == group and fields[0] not in b"ZX":
            found.append(int(name))
    return found


def stop(group: int, grace_s: float = 10.0, kill_s: float = 10.0) -> list[int]:
    """TERM to the group, KILL after the grace, then look.

    Returns who is left: nobody, or processes that are stuck in the kernel.
    """
    if _gone(group, signal.SIGTERM, grace_s):
        return []
    _gone(group, signal.SIGKILL, kill_s)
    return members(group)


def _gone(group: int, number: signal.Signals, wait_s: float) -> bool:
    until = time.monotonic() + wait_s
    _signal(group, number)
    while members(group):
        if time.monotonic() >= until:
            return False
        if number == signal.SIGKILL:  # a fork may have slipped in between
            _signal(group, number)
        time.sleep(_POLL_S)
    return True


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)

"""Resident memory of a group of processes."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes(pids: Iterable[int], precise_above: int) -> int:
    """The sum over the processes. Pages that several of them (or the warm parent) map count in proportion.

    The proportional sum is dear to compute, so it is taken only when the plain one exceeds ``precise_above``.
    """
    pids = list(pids)
    plain = sum(_resident(pid) for pid in pids)
    if plain <= precise_above:
        return plain
    return sum(_proportional(pid) for pid in pids)


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * _PAGE
    except (OSError, IndexError):  # it has ended
        return 0


def _proportional(pid: int) -> int:
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_bytes().splitlines()
    except OSError:  # it has ended, or the kernel does not let us look
        return _resident(pid)
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(b"Pss:")), 0)

"""The machine while a benchmark runs: which cores, who else uses them, and how to have them alone."""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

_LOCK_POLL_S = 0.05
_WAIT_TO_WORK_S = 600.0


@dataclass(frozen=True)
class CpuTime:
    """Processor seconds so far, by everybody on our cores and by this process, and the wall clock."""

    all_s: float
    own_s: float
    wall_s: float


def cpu_time(cores: list[int]) -> CpuTime:
    """Read the counters. Work of the hypervisor's other guests (steal) counts as everybody's."""
    tick = os.sysconf("SC_CLK_TCK")
    busy = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
            busy += user + nice + system + irq + softirq + steal
    times = os.times()
    return CpuTime(busy / tick, times.user + times.system, time.monotonic())


def others_share(before: CpuTime, after: CpuTime, cores: int) -> float:
    """The share of the cores' time that went to other processes, 0 to 1."""
    wall = (after.wall_s - before.wall_s) * cores
    others = (after.all_s - before.all_s) - (after.own_s - before.own_s)
    return max(0.0, min(1.0, others / wall)) if wall > 0 else 0.0


class Cores:
    """The worker's cores, shared by the builds of its slots through a lock file. Without a file there is one slot.

    Every build holds the lock shared while it works, and alone while it times.
    """

    def __init__(self, lock: Path | None) -> None:
        self._handle = None if lock is None else os.open(lock, os.O_RDONLY | os.O_CLOEXEC)

    def __enter__(self) -> Cores:
        self._lock(fcntl.LOCK_SH, _WAIT_TO_WORK_S)
        return self

    def __exit__(self, *_: object) -> None:
        if self._handle is not None:
            os.close(self._handle)

    @contextmanager
    def alone(self, wait_s: float) -> Iterator[bool]:
        """Hold the cores alone. Yields whether they were had within the wait."""
        try:
            yield self._lock(fcntl.LOCK_EX, wait_s)
        finally:
            self._lock(fcntl.LOCK_SH, _WAIT_TO_WORK_S)

    def _lock(self, kind: int, wait_s: float) -> bool:
        if self._handle is None:
            return True
        fcntl.flock(self._handle, fcntl.LOCK_UN)  # two builds that wait for each other's share would wait for ever
        until = time.monotonic() + wait_s
        while True:
            try:
                fcntl.flock(self._handle, kind | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= until:
                    return False
                time.sleep(_LOCK_POLL_S)
            else:
                return True

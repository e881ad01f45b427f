"""Who times has the cores to itself: every other build on them is stopped meanwhile.

One lock file per physical core of the machine, which every worker of the machine looks at. The child that times locks
those of its cores; the agents see it within a tenth of a second, and stop (SIGSTOP) their other children until it ends.
Who holds a lock stands in /proc/locks. Where the kernel does not tell, nobody is stopped: timings then only wait for
each other, and the report shows what the other builds did to them.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from workers.lockfile import open_lock
from workers.probe.cpu import siblings

LOOK_S = 0.1
"""how often an agent looks whether somebody times"""
_POLL_S = 0.05
_SETTLE_S = 3 * LOOK_S


def core_files(allowed: Collection[int] | None = None, folder: Path | None = None) -> tuple[Path, ...]:
    """The lock files of the physical cores behind these logical ones (default: this process's), made where need be.

    ``folder``: where they lie; by default the machine's folder for temporary files.
    """
    folder = folder or Path(tempfile.gettempdir())
    found = {min(group) for group in siblings(os.sched_getaffinity(0) if allowed is None else allowed)}
    files = tuple(folder / f"enginehouse-core-{core}.lock" for core in sorted(found))
    for file in files:
        os.close(open_lock(file))
    return files


@contextmanager
def alone(
    files: Sequence[Path],
    wait_s: float,
    *,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[bool]:
    """Have the cores alone; yields whether they were had within ``wait_s``, in which only other timings are waited for.

    Without files there is nobody to share the cores with.
    """
    handles = [open_lock(file) for file in files]
    try:
        until = clock() + wait_s
        had = _lock_all(handles)
        while not had and clock() < until:
            sleep(_POLL_S)
            had = _lock_all(handles)
        if had and handles:
            sleep(_SETTLE_S)
        yield had
    finally:
        for handle in handles:
            os.close(handle)


def taken_from(group: int, files: Sequence[Path], locks: Path = Path("/proc/locks")) -> bool:
    """Whether somebody outside this process group times on one of these cores."""
    held = [file for file in files if _locked(file)]
    if not held:
        return False
    try:
        holders = writers(locks.read_text(), {file.stat().st_ino for file in held})
    except OSError:
        return False
    if any(_of(group, pid) for pid in holders):
        return False
    return bool(holders) or any(_locked(file) for file in held)  # it may have been let go of before the list was read


def writers(locks: str, inodes: Collection[int]) -> set[int]:
    """The processes that hold exclusive flocks on these files, by the text of /proc/locks (proc_locks(5)).

    Those of other namespaces, which are not ours, are not in it.
    """
    found = set()
    for line in locks.splitlines():
        fields = line.split()  # number: FLOCK ADVISORY WRITE pid major:minor:inode start end
        if fields[1:2] == ["FLOCK"] and fields[3] == "WRITE" and int(fields[5].rpartition(":")[2]) in inodes:
            found.add(int(fields[4]))
    return found


def _of(group: int, pid: int) -> bool:
    try:
        return os.getpgid(pid) == group
    except ProcessLookupError:
        return False


def _locked(file: Path) -> bool:
    handle = open_lock(file)
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _lock_all(handles: Sequence[int]) -> bool:
    """All or none: two that each hold a part would wait for each other for ever."""
    for handle in handles:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            for locked in handles:
                fcntl.flock(locked, fcntl.LOCK_UN)
            return False
    return True

"""The disk under a worker's scratch folder, when it is full."""

from __future__ import annotations

import errno
import shutil
from pathlib import Path

LEAST_BYTES = 16 * 2**20
"""With less the worker takes nothing, and does not believe a failure."""

_NO_SPACE = {errno.ENOSPC, errno.EDQUOT}


def is_full(folder: Path) -> bool:
    """Whether hardly anything can be written there."""
    return shutil.disk_usage(folder).free < LEAST_BYTES


def ran_out(error: BaseException) -> bool:
    """Whether an error came from a disk without space, also when another one was raised because of it."""
    seen: set[int] = set()
    at: BaseException | None = error
    while at is not None and id(at) not in seen:
        if isinstance(at, OSError) and at.errno in _NO_SPACE:
            return True
        seen.add(id(at))
        at = at.__cause__ or at.__context__
    return False

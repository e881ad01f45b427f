"""Lock files that every worker of a machine looks at."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path


def open_lock(path: Path) -> int:
    """The lock file's handle; it is made when it is not there. Another user may have made it: reading is enough."""
    flags = os.O_CLOEXEC | os.O_NOFOLLOW
    with contextlib.suppress(FileNotFoundError):
        return os.open(path, os.O_RDONLY | flags)
    try:
        return os.open(path, os.O_RDONLY | os.O_CREAT | flags, 0o644)
    except PermissionError:  # it was made in between, in a folder where only its owner may open it for making
        return os.open(path, os.O_RDONLY | flags)

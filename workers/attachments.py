"""What a failed build left for whoever looks into it. Written by the build's child, so read with care."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

from enginehouse.work import MOST_ATTACHED
from workers.pipeline.reproduce import ATTACHMENTS

_MOST_FILES = 8
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")


def read_attachments(work: Path) -> dict[str, str]:
    """File name to text, cut to what the farm takes. Links, pipes and odd names are passed over."""
    found: dict[str, str] = {}
    try:
        folder = os.open(work / ATTACHMENTS, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return found
    try:
        names = os.listdir(folder)  # noqa: PTH208 - of the folder that was opened, whatever bears its name by now
        for name in sorted(filter(_NAME.fullmatch, names))[:_MOST_FILES]:
            text = _read(folder, name)
            if text is not None:
                found[name] = text
    finally:
        os.close(folder)
    return found


def _read(folder: int, name: str) -> str | None:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    except OSError:
        return None
    with os.fdopen(handle, "rb") as file:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            return None
        return file.read(MOST_ATTACHED).decode("utf-8", "replace").replace("\0", "")

"""What a build's samples decided, kept in its work folder for the script that repeats it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILE = "decided.json"


def keep(work: Path, **decided: Any) -> None:
    """Keep plain values by name."""
    (work / _FILE).write_text(json.dumps({**kept(work), **decided}))


def kept(work: Path) -> dict[str, Any]:
    """What was kept so far: nothing before the build began."""
    path = work / _FILE
    found: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
    return found

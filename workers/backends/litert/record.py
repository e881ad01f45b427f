"""What was decided while building, for the script that repeats it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

_FILE = "decided.json"


def note(work: Path, **decided: Any) -> None:
    """Keep decisions; a later one of the same name counts."""
    (work / _FILE).write_text(json.dumps({**noted(work), **decided}))


def noted(work: Path) -> dict[str, Any]:
    """The decisions so far."""
    path = work / _FILE
    return dict(json.loads(path.read_text())) if path.exists() else {}

"""The script that repeats a build outside the farm."""

from __future__ import annotations

from workers.backends.workpiece import Workpiece


def script(piece: Workpiece, direct: bool) -> str:
    """The build's steps."""
    return f"# {piece.target} {direct}\n"

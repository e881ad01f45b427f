"""Operating-system limits around a process that handles hostile input. A leaf: it imports nothing of ours.

``confine()`` is the whole of it in one call, for a process that is about to read a stranger's model.
Linux on x86_64 and aarch64.
"""

from __future__ import annotations

from sandbox.confine import Confinement, confine
from sandbox.group import members, stop

__all__ = ["Confinement", "confine", "members", "stop"]

"""The embedded farm: every part of a real farm as processes of one machine, under one folder.

SQLite, a private redis-server, artifacts in a folder; the same programs and the same code path as a large farm.
"""

from __future__ import annotations

from farm.embedded import EmbeddedFarm
from farm.errors import HomeBusy, PartFailed, PortBusy, RedisMissing, StartError
from farm.home import DEFAULT_PORT, Home, default_home

__all__ = [
    "DEFAULT_PORT",
    "EmbeddedFarm",
    "Home",
    "HomeBusy",
    "PartFailed",
    "PortBusy",
    "RedisMissing",
    "StartError",
    "default_home",
]

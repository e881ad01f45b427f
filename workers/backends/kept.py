"""What a toolchain keeps from one build to the next, such as kernel timings: files in the build's work folder.

The agent puts there what the farm has before the build, and takes what the build leaves after it: a build itself
has no network.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Kept:
    """The files of one build. Each may be missing."""

    work: Path

    @property
    def farm(self) -> Path:
        """What the farm had when the build began."""
        return self.work / "kept.farm"

    @property
    def own(self) -> Path:
        """What an earlier build of this worker left, and the farm did not take because another worker was quicker."""
        return self.work / "kept.own"

    @property
    def new(self) -> Path:
        """Written by the build: what both hold, and what was learnt."""
        return self.work / "kept.new"

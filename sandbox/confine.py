"""All limits in one call, in the order in which they can be set."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from sandbox.limits import limit
from sandbox.network import refuse_network
from sandbox.privileges import die_with_parent, drop_capabilities
from sandbox.writes import restrict_writes


@dataclass(frozen=True)
class Confinement:
    """What a confined process may use. Sizes in bytes, times in seconds; None: no bound."""

    memory_bytes: int | None = None
    file_bytes: int | None = None
    open_files: int | None = 4096
    cpu_s: int | None = None
    writable: tuple[Path, ...] = ()
    devices: tuple[Path, ...] = (Path("/dev/null"),)


def confine(confinement: Confinement, parent: int | None = None) -> bool:
    """Make the calling process the leader of its own session and group, and bound it for good.

    It dies with ``parent`` (default: the present parent), has no capabilities, no network, cannot leave its group,
    and writes only where it may. Returns whether the write restriction holds (it needs Landlock); the rest
    holds or OSError is raised. Call it while the process has one thread.
    """
    if os.getpid() != os.getpgid(0) or os.getpid() != os.getsid(0):
        os.setsid()
    die_with_parent(os.getppid() if parent is None else parent)
    limit(confinement.memory_bytes, confinement.file_bytes, confinement.open_files, confinement.cpu_s)
    drop_capabilities()
    held = restrict_writes(confinement.writable, confinement.devices)
    refuse_network()
    return held

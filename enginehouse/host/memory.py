"""Memory that this process may use."""

from __future__ import annotations

from pathlib import Path

from enginehouse.host.cpu import cgroup_folders


def memory_mb(
    meminfo: Path = Path("/proc/meminfo"),
    root: Path = Path("/sys/fs/cgroup"),
    own: Path = Path("/proc/self/cgroup"),
) -> int:
    """The machine's memory or the tightest limit of this process's control groups, MiB."""
    lines = meminfo.read_text().splitlines()
    limits = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemTotal")]
    for folder in cgroup_folders("memory", root, own):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                limits.append(int((folder / name).read_text()))
            except (OSError, ValueError):  # not there, or 'max'
                continue
    return min(limits) // 2**20

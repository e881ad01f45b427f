"""The processor: model, vendor, instruction sets, and how many cores this process may use."""

from __future__ import annotations

import math
import os
import platform
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

# Kernel flag to the tag that a target may require. x86 first, then Arm.
ISA_TAGS: Mapping[str, str] = {
    "avx2": "avx2",
    "avx512f": "avx512f",
    "avx512_vnni": "avx512_vnni",
    "avx_vnni": "avx_vnni",
    "avx512_bf16": "avx512_bf16",
    "avx512_fp16": "avx512_fp16",
    "amx_tile": "amx_tile",
    "amx_int8": "amx_int8",
    "amx_bf16": "amx_bf16",
    "amx_fp16": "amx_fp16",
    "asimddp": "asimddp",
    "asimdhp": "asimdhp",
    "bf16": "bf16",
    "i8mm": "i8mm",
    "sve": "sve",
    "sve2": "sve2",
    "sme": "sme",
}

_VENDORS = {"GenuineIntel": "intel", "AuthenticAMD": "amd", "0x41": "arm", "0xc0": "ampere", "0x48": "hisilicon"}
_MACHINES = {"x86_64": "x86_64", "amd64": "x86_64", "aarch64": "aarch64", "arm64": "aarch64"}


@dataclass(frozen=True)
class Cpu:
    """A processor as this process may use it. ``cores`` are logical, ``threads`` physical, both within the quota."""

    model: str
    vendor: str
    machine: str
    isa: tuple[str, ...]
    cores: int
    threads: int


def read_cpu() -> Cpu:
    """Look at this machine."""
    fields = parse_cpuinfo(Path("/proc/cpuinfo").read_text(errors="replace"))
    allowed = os.sched_getaffinity(0)
    quota = cpu_quota()
    cores = min(len(allowed), math.ceil(quota) if quota else len(allowed))
    physical = physical_cores(allowed)
    return Cpu(
        model=fields["model"],
        vendor=fields["vendor"],
        machine=_MACHINES.get(platform.machine(), platform.machine()),
        isa=isa_tags(fields["flags"].split()),
        cores=cores,
        threads=max(1, min(cores, physical)),
    )


def parse_cpuinfo(text: str) -> dict[str, str]:
    """Model, vendor and flags of the first processor of /proc/cpuinfo."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, colon, value = line.partition(":")
        if colon:
            fields.setdefault(name.strip().lower(), value.strip())
    vendor = fields.get("vendor_id") or fields.get("cpu implementer", "")
    model = fields.get("model name") or f"{vendor} {fields.get('cpu part', '')}".strip()
    return {
        "model": re.sub(r"\s+", " ", model) or platform.machine(),
        "vendor": _VENDORS.get(vendor, "other"),
        "flags": fields.get("flags") or fields.get("features", ""),
    }


def isa_tags(flags: Collection[str]) -> tuple[str, ...]:
    """The tags of those instruction sets that a toolchain makes a difference by."""
    return tuple(tag for flag, tag in ISA_TAGS.items() if flag in flags)


def physical_cores(allowed: Collection[int], topology: Path = Path("/sys/devices/system/cpu")) -> int:
    """Physical cores among the allowed logical ones; all of them where the kernel does not tell."""
    return len(siblings(allowed, topology))


def siblings(allowed: Collection[int], topology: Path = Path("/sys/devices/system/cpu")) -> list[tuple[int, ...]]:
    """The logical cores that share a physical one with an allowed one: a group for each, in order.

    A core of which the kernel tells nothing is a group of its own.
    """
    groups = set()
    for core in allowed:
        try:
            text = (topology / f"cpu{core}/topology/thread_siblings_list").read_text()
            groups.add(tuple(core_list(text)))
        except (OSError, ValueError):
            groups.add((core,))
    return sorted(groups)


def core_list(text: str) -> list[int]:
    """The kernel's '0-2,8' as numbers. Raises ValueError."""
    found: list[int] = []
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        found += range(int(first), int(last or first) + 1)
    return found


def cpu_quota(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> float | None:
    """The tightest processor quota of this process's control groups, in cores; None without one."""
    found = []
    for folder in cgroup_folders("cpu", root, own):
        try:
            if (folder / "cpu.max").exists():
                quota, period = (folder / "cpu.max").read_text().split()
            else:
                quota = (folder / "cpu.cfs_quota_us").read_text().strip()
                period = (folder / "cpu.cfs_period_us").read_text().strip()
            if quota not in ("max", "-1"):
                found.append(int(quota) / int(period))
        except (OSError, ValueError):
            continue
    return min(found, default=None)


def cgroup_folders(controller: str, root: Path, own: Path) -> list[Path]:
    """This process's groups for a controller, from its own up to the root; versions 1 and 2."""
    try:
        lines = own.read_text().splitlines()
    except OSError:
        lines = []
    folders: list[Path] = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        names = controllers.split(",")
        if not controllers:
            base = root / "unified" if (root / "unified").exists() else root
        elif controller in names:
            base = root / controllers if (root / controllers).exists() else root / controller
        else:
            continue
        place = base / path.lstrip("/")
        # Inside a container the path may be the host's: what is visible is then the root.
        folders += [place, *[parent for parent in place.parents if parent.is_relative_to(base)]]
        folders.append(base)
    return list(dict.fromkeys(folders)) or [root]

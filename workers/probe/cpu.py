"""The processor, as a host that only has the client package reads it too."""

from __future__ import annotations

from enginehouse.host.cpu import (
    ISA_TAGS,
    Cpu,
    cgroup_folders,
    core_list,
    cpu_quota,
    isa_tags,
    parse_cpuinfo,
    physical_cores,
    read_cpu,
    siblings,
)

__all__ = [
    "ISA_TAGS",
    "Cpu",
    "cgroup_folders",
    "core_list",
    "cpu_quota",
    "isa_tags",
    "parse_cpuinfo",
    "physical_cores",
    "read_cpu",
    "siblings",
]

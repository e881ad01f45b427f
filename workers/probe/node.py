"""The whole node, put together: hardware with its tags and class, capabilities, threads to run with."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from enginehouse.capability import Capability, Hardware
from enginehouse.host.memory import memory_mb
from enginehouse.host.names import hardware_class, tags
from workers.exploration.capability import capability as choosing
from workers.probe.cpu import read_cpu
from workers.probe.nvidia import nvidia_gpus
from workers.probe.toolchains import ask_toolchains


@dataclass(frozen=True)
class Found:
    """What a worker announces, and the threads that its inferences run with."""

    hardware: Hardware
    capabilities: list[Capability]
    threads: int
    missing: Mapping[str, str]


def probe(extra_tags: Collection[str] = ()) -> Found:
    """Look at this node. Takes about a second, most of it in the toolchains' own imports."""
    cpu = read_cpu()
    toolchains = ask_toolchains()
    gpus = [*nvidia_gpus(), *toolchains.accelerators]
    hardware = Hardware(
        hardware_class=hardware_class(cpu, gpus),
        tags=tags(cpu, gpus, extra_tags),
        cpu_model=cpu.model,
        cores=cpu.cores,
        memory_mb=memory_mb(),
        gpus=gpus,
    )
    chooser = choosing(toolchains.capabilities)
    capabilities = [*toolchains.capabilities, *([chooser] if chooser else [])]
    return Found(hardware, capabilities, cpu.threads, toolchains.missing)

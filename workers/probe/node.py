"""The whole node, put together: hardware with its tags and class, capabilities, threads to run with."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from enginehouse.capability import Capability, Gpu, Hardware
from workers.probe.cpu import Cpu, read_cpu
from workers.probe.memory import memory_mb
from workers.probe.nvidia import gpu_tags, model_tag, nvidia_gpus
from workers.probe.toolchains import ask_toolchains

_NOISE = re.compile(r"\((r|tm)\)|\bcpu\b|\bprocessor\b|@.*$|\b\d+-core\b", re.IGNORECASE)


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
    return Found(hardware, toolchains.capabilities, cpu.threads, toolchains.missing)


def tags(cpu: Cpu, gpus: Sequence[Gpu], extra: Collection[str] = ()) -> list[str]:
    """Everything that a target may require of this node, sorted."""
    found = {"cpu", cpu.machine, cpu.vendor, *cpu.isa, *extra}
    for gpu in gpus:
        found.update(gpu_tags(gpu))
    return sorted(found)


def hardware_class(cpu: Cpu, gpus: Sequence[Gpu]) -> str:
    """A stable name for machines that perform alike: model, cores, instruction sets, accelerators.

    'cpu-amd-epyc-2c-avx512_vnni-avx512_bf16': the widest sets only, since the others follow from them.
    """
    model = re.sub(r"[^a-z0-9]+", "-", _NOISE.sub(" ", cpu.model).lower()).strip("-")
    telling = [tag for tag in cpu.isa if tag not in ("avx2", "avx512f", "amx_tile", "asimdhp")]
    if not telling:
        telling = [tag for tag in cpu.isa if tag in ("avx512f", "avx2")][-1:]
    parts = ["cpu", model or cpu.machine, f"{cpu.cores}c", *telling]
    for name, count in sorted(Counter(_gpu_word(gpu) for gpu in gpus).items()):
        parts.append(f"{count}x{name}")
    return "-".join(parts)


def _gpu_word(gpu: Gpu) -> str:
    return model_tag(gpu.name) if gpu.kind == "nvidia" else gpu.kind

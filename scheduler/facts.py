"""The facts of a pool: what constraints ask about, from what its workers announce. Pure.

Gigabytes are of 10^9 bytes, whole, rounded down: a machine that is sold as one of 64 GB, and a GPU of 80 GB, have at
least that many, while in GiB neither would.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enginehouse.capability import Capability, Gpu
from enginehouse.constraints import Fact, package_name
from enginehouse.host.cpu import ISA_TAGS
from enginehouse.versions import RUNTIMES, runtime_of
from enginehouse.work import SignOn


def facts_of(announced: SignOn) -> dict[str, Fact]:
    """What holds for the worker, whatever it builds."""
    hardware = announced.hardware
    found: dict[str, Fact] = {
        "cpu.cores": hardware.cores,
        "cpu.isa": sorted(set(hardware.tags).intersection(ISA_TAGS.values())),
        "cpu.model": hardware.cpu_model,
        "memory_gb": _gigabytes(hardware.memory_mb),
        "pipeline": announced.pipeline,
    }
    return {**found, **_of_gpus(hardware.gpus)}


def of_toolchain(capability: Capability) -> dict[str, Fact]:
    """Package to version; a runtime that comes as a package of another name is also known by its backend's."""
    found: dict[str, Fact] = {package_name(name): version for name, version in capability.toolchain.items()}
    for backend in RUNTIMES:
        runtime = runtime_of(backend, capability.toolchain)
        if runtime is not None:
            found.setdefault(backend, runtime[1])
    return found


def _of_gpus(gpus: Sequence[Gpu]) -> Mapping[str, Fact]:
    """Of the NVIDIA ones, where there are any: builds run on these. A build can come to any of them."""
    shown = [gpu for gpu in gpus if gpu.kind == "nvidia"] or gpus
    if not shown:
        return {}
    several: dict[str, set[int | float | str]] = {
        "gpu.name": {gpu.name for gpu in shown},
        "gpu.compute_capability": {gpu.compute_capability for gpu in shown if gpu.compute_capability},
        "gpu.memory_gb": {_gigabytes(gpu.memory_mb) for gpu in shown if gpu.memory_mb is not None},
        "gpu.driver": {gpu.driver for gpu in shown if gpu.driver},
    }
    told = {name: _one_or_all(values) for name, values in several.items() if values}
    return {"gpu.count": len(shown), **told}


def _one_or_all(values: set[int | float | str]) -> Fact:
    ordered = sorted(values, key=lambda value: (str(type(value)), value))
    return ordered[0] if len(ordered) == 1 else ordered


def _gigabytes(mebibytes: int) -> int:
    return mebibytes * 2**20 // 10**9

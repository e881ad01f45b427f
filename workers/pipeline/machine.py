"""The machine while a benchmark runs: who else uses its cores, how fast and how warm they are."""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enginehouse.report import MachineState

_CPU = Path("/sys/devices/system/cpu")
_THERMAL = Path("/sys/class/thermal")
_CPU_ZONES = ("x86_pkg_temp", "cpu", "soc", "acpitz", "coretemp")
"""beginnings of the names of thermal zones that are a processor's"""


@dataclass(frozen=True)
class CpuTime:
    """Processor seconds so far, by everybody on our cores and by this process, and the wall clock.

    ``steal_s``: by the host's other guests, part of everybody's. ``switches``: times that a thread of this process
    was put off a core before it would have given it up.
    """

    all_s: float
    own_s: float
    wall_s: float
    steal_s: float = 0.0
    switches: int = 0


@dataclass(frozen=True)
class Usage:
    """How the cores' time was shared between two readings: shares from 0 to 1, and a rate."""

    others: float
    steal: float
    switches_per_s: float


def cpu_time(cores: list[int]) -> CpuTime:
    """Read the counters. Work of the hypervisor's other guests (steal) counts as everybody's."""
    tick = os.sysconf("SC_CLK_TCK")
    busy = stolen = 0
    for line in Path("/proc/stat").read_text().splitlines():
        name, *fields = line.split()
        if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores:
            user, nice, system, _idle, _iowait, irq, softirq, steal = (int(field) for field in fields[:8])
            busy += user + nice + system + irq + softirq + steal
            stolen += steal
    own = resource.getrusage(resource.RUSAGE_SELF)
    return CpuTime(busy / tick, own.ru_utime + own.ru_stime, time.monotonic(), stolen / tick, own.ru_nivcsw)


def usage(before: CpuTime, after: CpuTime, cores: int) -> Usage:
    """What happened on the cores between two readings. The kernel counts everybody's time in ticks of 10 ms: the share
    of others is what is more than one tick of each core.
    """
    wall = after.wall_s - before.wall_s
    if wall <= 0:
        return Usage(0.0, 0.0, 0.0)
    others = (after.all_s - before.all_s) - (after.own_s - before.own_s) - cores / os.sysconf("SC_CLK_TCK")
    steal = after.steal_s - before.steal_s
    share = [max(0.0, min(1.0, seconds / (wall * cores))) for seconds in (others, steal)]
    return Usage(share[0], share[1], (after.switches - before.switches) / wall)


def state(cores: Iterable[int], gpu: str | None = None) -> MachineState:
    """Load, clocks and temperatures now. ``gpu``: the UUID of the GPU that the build holds."""
    clock, warmth = _gpu(gpu) if gpu is not None else (None, None)
    return MachineState(
        load=os.getloadavg()[0],
        clock_mhz=clock_mhz(cores),
        temperature_c=temperature_c(),
        gpu_clock_mhz=clock,
        gpu_temperature_c=warmth,
    )


def clock_mhz(cores: Iterable[int], cpu: Path = _CPU, cpuinfo: Path = Path("/proc/cpuinfo")) -> float | None:
    """The cores' mean clock: what cpufreq says, else /proc/cpuinfo, which on a virtual machine is the nominal one."""
    wanted = set(cores)
    found = []
    for core in wanted:
        with suppress(OSError, ValueError):
            found.append(int((cpu / f"cpu{core}/cpufreq/scaling_cur_freq").read_text()) / 1e3)
    if not found:
        core = -1
        for line in cpuinfo.read_text(errors="replace").splitlines():
            name, _, value = (part.strip() for part in line.partition(":"))
            if name == "processor":
                core = int(value)
            elif name == "cpu MHz" and core in wanted:
                found.append(float(value))
    return round(sum(found) / len(found), 1) if found else None


def governor(cores: Iterable[int], cpu: Path = _CPU) -> str | None:
    """How the kernel sets the cores' clock ('performance', 'schedutil'); None where it does not, as on most guests."""
    found = set()
    for core in cores:
        with suppress(OSError):
            found.add((cpu / f"cpu{core}/cpufreq/scaling_governor").read_text().strip())
    return ", ".join(sorted(found)) or None


def temperature_c(thermal: Path = _THERMAL) -> float | None:
    """The hottest zone of a processor."""
    found = []
    for zone in thermal.glob("thermal_zone*"):
        with suppress(OSError, ValueError):
            if (zone / "type").read_text().strip().lower().startswith(_CPU_ZONES):
                found.append(int((zone / "temp").read_text()) / 1e3)
    return max(found, default=None)


def _gpu(uuid: str) -> tuple[float | None, float | None]:
    """The clock of a GPU's multiprocessors, and its temperature."""
    try:
        import pynvml
    except ImportError:
        return None, None
    values: list[float | None] = [None, None]
    nvml: Any = pynvml
    with suppress(nvml.NVMLError):
        nvml.nvmlInit()
        try:
            handle = nvml.nvmlDeviceGetHandleByUUID(uuid)
            with suppress(nvml.NVMLError):
                values[0] = float(nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM))
            with suppress(nvml.NVMLError):
                values[1] = float(nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU))
        finally:
            nvml.nvmlShutdown()
    return values[0], values[1]

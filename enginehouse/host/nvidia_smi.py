"""NVIDIA GPUs by the driver's own tool, for hosts that have no Python binding to it."""

from __future__ import annotations

import csv
import os
import subprocess
from collections.abc import Sequence

from enginehouse.capability import Gpu

_QUERY = ("name", "uuid", "memory.total", "compute_cap", "driver_version")
_TIMEOUT_S = 20


def nvidia_gpus() -> list[Gpu]:
    """As many as CUDA may use here; empty where there is no driver or its tool does not answer."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_QUERY)}", "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_TIMEOUT_S, check=True)
    except (OSError, subprocess.SubprocessError):
        return []
    listed = parse(done.stdout)
    return [listed[index][0] for index in usable([uuid for _, uuid in listed], os.environ.get("CUDA_VISIBLE_DEVICES"))]


def parse(text: str) -> list[tuple[Gpu, str]]:
    """The tool's CSV, a line for each GPU, '[N/A]' for what it does not know: the GPUs with their UUIDs."""
    found = []
    for row in csv.reader(text.splitlines(), skipinitialspace=True):
        if len(row) != len(_QUERY):
            continue
        name, uuid, memory, capability, driver = (cell.strip() for cell in row)
        gpu = Gpu(
            name=name,
            kind="nvidia",
            memory_mb=int(memory) if memory.isdecimal() else None,
            compute_capability=capability if capability.replace(".", "").isdecimal() else None,
            driver=driver if driver[:1].isdecimal() else None,
        )
        found.append((gpu, uuid))
    return found


def usable(uuids: Sequence[str], allowed: str | None) -> list[int]:
    """Indexes of the GPUs that CUDA_VISIBLE_DEVICES names, by index or by the beginning of a UUID; None: all of them.

    As CUDA has it, names after one that does not exist are not looked at.
    """
    if allowed is None:
        return list(range(len(uuids)))
    kept: list[int] = []
    for name in (part.strip() for part in allowed.split(",")):
        named = [
            index
            for index, uuid in enumerate(uuids)
            if name == str(index) or (name.startswith("GPU-") and uuid.startswith(name))
        ]
        if len(named) != 1:
            break
        kept += named
    return kept

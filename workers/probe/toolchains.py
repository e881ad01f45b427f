"""Which backends import here, and which devices OpenVINO sees. Asked in a throw-away process.

Importing is the only proof that a toolchain is whole, and asking OpenVINO for its devices starts its runtime:
the worker itself, whose children are forked, must do neither.
"""

from __future__ import annotations

import importlib
import importlib.metadata
import json
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from enginehouse.capability import Capability, Gpu
from workers.backends import all_backends
from workers.backends.base import first_line
from workers.child.environment import clean_environment

_TIMEOUT_S = 120
_KINDS = {"GPU": "intel-gpu", "NPU": "intel-npu"}


@dataclass(frozen=True)
class Toolchains:
    """What was found. ``missing``: backend to why it is not offered."""

    capabilities: list[Capability]
    accelerators: list[Gpu]
    missing: Mapping[str, str]


def ask_toolchains() -> Toolchains:
    """Start the throw-away process and read its answer."""
    root = Path(__file__).resolve().parents[2]
    with clean_environment():
        done = subprocess.run(
            [sys.executable, "-m", "workers.probe.toolchains"],
            cwd=root,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    try:
        answer = json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        why = f"asking for it ended with code {done.returncode}: {done.stderr.decode(errors='replace')[-300:]}"
        return Toolchains([], [], {backend.name: why for backend in all_backends()})
    return Toolchains(
        [backend.capability() for backend in all_backends() if backend.name in answer["offered"]],
        [Gpu.model_validate(gpu) for gpu in answer["accelerators"]],
        answer["missing"],
    )


def look() -> dict[str, object]:
    """Runs in the throw-away process: import everything, ask for devices."""
    import workers.child.quiet  # noqa: F401 - before any toolchain

    offered, missing = [], {}
    for backend in all_backends():
        try:
            for module in backend.modules:
                importlib.import_module(module)
            backend.toolchain()
            lacks = backend.machine_lacks()
        except (ImportError, OSError, importlib.metadata.PackageNotFoundError) as error:
            missing[backend.name] = first_line(error)
        else:
            if lacks is None:
                offered.append(backend.name)
            else:
                missing[backend.name] = lacks
    accelerators = intel_accelerators() if "openvino" in offered else []
    return {
        "offered": offered,
        "missing": missing,
        "accelerators": [gpu.model_dump(mode="json") for gpu in accelerators],
    }


def intel_accelerators() -> list[Gpu]:
    """Intel GPUs and NPUs, as OpenVINO sees them."""
    import openvino

    core = openvino.Core()
    found = []
    for device in core.available_devices:
        kind = _KINDS.get(device.split(".")[0])
        if kind is not None:
            found.append(Gpu(name=str(core.get_property(device, "FULL_DEVICE_NAME")), kind=kind))
    return found


if __name__ == "__main__":
    sys.stdout.write(json.dumps(look()) + "\n")

"""A host's fingerprint: what decides which artifacts can run on it. Read with the standard library alone."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from enginehouse.capability import Hardware
from enginehouse.errors import RequestError
from enginehouse.host.cpu import read_cpu
from enginehouse.host.memory import memory_mb
from enginehouse.host.names import hardware_class, tags
from enginehouse.host.nvidia_smi import nvidia_gpus
from enginehouse.versions import RUNTIMES

Word = Annotated[str, Field(min_length=1, max_length=100)]
_MOST = 256


class Fingerprint(BaseModel):
    """What a host is and which runtimes it has."""

    model_config = ConfigDict(extra="forbid")

    hardware: Hardware
    os: str = Field(default="linux", max_length=32, description="as Python's sys.platform names it")
    runtimes: dict[Word, Word] = Field(
        default_factory=dict,
        max_length=64,
        description="runtime to version, by the names of the Python packages also where it is none",
        examples=[{"openvino": "2026.4.1", "onnxruntime": "1.31.1"}],
    )

    @model_validator(mode="after")
    def _of_a_size(self) -> Self:
        if len(self.hardware.tags) > _MOST or len(self.hardware.gpus) > _MOST:
            raise ValueError(f"no host has more than {_MOST} tags or GPUs")
        return self


def this_host() -> Fingerprint:
    """Look at this machine. Raises RequestError where it cannot be read."""
    if sys.platform != "linux":
        raise RequestError(
            f"a fingerprint is read on Linux, and this is {sys.platform}",
            advice="Write the file by hand; docs/resolve.md shows one.",
        )
    cpu, gpus = read_cpu(), nvidia_gpus()
    hardware = Hardware(
        hardware_class=hardware_class(cpu, gpus),
        tags=tags(cpu, gpus),
        cpu_model=cpu.model,
        cores=cpu.cores,
        memory_mb=memory_mb(),
        gpus=gpus,
    )
    return Fingerprint(hardware=hardware, os=sys.platform, runtimes=runtimes())


def runtimes() -> dict[str, str]:
    """The versions of the runtimes that are installed for this Python, without importing any."""
    found = {}
    for package in (name for packages in RUNTIMES.values() for name in packages):
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found

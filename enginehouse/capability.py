"""What a worker is and can do: its hardware, and per backend the versions, precisions, formats and options."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from enginehouse.targets import Precision


class Gpu(BaseModel):
    """One accelerator as its driver shows it."""

    name: str
    kind: str = Field(description="'nvidia', 'intel-gpu' or 'intel-npu'")
    memory_mb: int | None = None
    compute_capability: str | None = Field(default=None, examples=["9.0"])
    driver: str | None = None


class Hardware(BaseModel):
    """A node's hardware. ``hardware_class`` names machines on which one artifact performs alike."""

    hardware_class: str = Field(examples=["cpu-amd-epyc-2c-avx512_vnni"])
    tags: list[str] = Field(description="sorted; what a target may require", examples=[["cpu", "x86_64", "avx2"]])
    cpu_model: str
    cores: int = Field(description="logical processors that the worker may use")
    memory_mb: int
    gpus: list[Gpu] = Field(default_factory=list)


class Capability(BaseModel):
    """One backend on one worker."""

    backend: str
    toolchain: dict[str, str] = Field(description="package to version; part of the cache key")
    precisions: list[Precision]
    formats: list[str] = Field(description="model formats that it takes", examples=[["onnx"]])
    options_schema: dict[str, Any] = Field(description="JSON schema of the target's options")
    tags: list[str] = Field(default_factory=list, description="hardware tags without which it does not run")
    bounds: bool = Field(default=False, description="dynamic dimensions need shapes or profiles")

"""What the builder is told, from a target's precision and options. Pure: names and numbers, no TensorRT."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from enginehouse.targets import Precision
from workers.backends.tensorrt.options import TensorRtOptions

_MIB = 2**20


class Flag(StrEnum):
    """The builder flags that we set or clear. None of them is a precision: that is in the graph."""

    TF32 = "TF32"
    SPARSE_WEIGHTS = "SPARSE_WEIGHTS"
    VERSION_COMPATIBLE = "VERSION_COMPATIBLE"
    STRIP_PLAN = "STRIP_PLAN"
    REFIT = "REFIT"
    REFIT_IDENTICAL = "REFIT_IDENTICAL"
    GPU_FALLBACK = "GPU_FALLBACK"
    DISABLE_TIMING_CACHE = "DISABLE_TIMING_CACHE"


@dataclass(frozen=True)
class Plan:
    """Settings of one build. ``None`` leaves TensorRT's own default."""

    flags: frozenset[Flag]
    """these are set, every other one of ours is cleared"""
    optimization_level: int
    workspace_bytes: int | None
    aux_streams: int | None
    hardware_compatibility: str
    dla_core: int | None

    @property
    def refittable(self) -> bool:
        """Whether the engine's weights can be replaced."""
        return bool(self.flags & {Flag.REFIT, Flag.REFIT_IDENTICAL, Flag.STRIP_PLAN})

    @property
    def stripped(self) -> bool:
        """Whether the engine comes without its weights."""
        return Flag.STRIP_PLAN in self.flags

    @property
    def version_compatible(self) -> bool:
        """Whether newer TensorRT versions load the engine."""
        return Flag.VERSION_COMPATIBLE in self.flags

    def as_dict(self) -> dict[str, Any]:
        """For the report."""
        return {
            "builder_flags": ",".join(sorted(self.flags)),
            "optimization_level": self.optimization_level,
            "workspace_bytes": self.workspace_bytes,
            "max_aux_streams": self.aux_streams,
            "hardware_compatibility": self.hardware_compatibility,
            "dla_core": self.dla_core,
        }


def plan_of(precision: Precision, options: TensorRtOptions) -> Plan:
    """The plan of a target.

    TF32 is on by default in TensorRT and is therefore named in every case: only ``tf32`` allows it.
    """
    flags: set[Flag] = set()
    if precision is Precision.TF32:
        flags.add(Flag.TF32)
    if options.sparsity:
        flags.add(Flag.SPARSE_WEIGHTS)
    if options.version_compatible:
        flags.add(Flag.VERSION_COMPATIBLE)
    if options.strip_plan:
        flags |= {Flag.STRIP_PLAN, Flag.REFIT if options.refit == "any" else Flag.REFIT_IDENTICAL}
    elif options.refit != "none":
        flags.add(Flag.REFIT if options.refit == "any" else Flag.REFIT_IDENTICAL)
    if options.dla_core is not None:
        flags.add(Flag.GPU_FALLBACK)
    if not options.timing_cache:
        flags.add(Flag.DISABLE_TIMING_CACHE)
    return Plan(
        flags=frozenset(flags),
        optimization_level=options.optimization_level,
        workspace_bytes=None if options.workspace_mb is None else options.workspace_mb * _MIB,
        aux_streams=options.aux_streams,
        hardware_compatibility=options.hardware_compatibility,
        dla_core=options.dla_core,
    )

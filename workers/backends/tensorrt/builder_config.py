"""The plan given to TensorRT's builder configuration, and read back from it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import tensorrt as trt

from enginehouse.errors import InvalidOption, PrecisionNotKept
from enginehouse.shapes import Profile
from workers.backends.tensorrt.plan import Flag, Plan

FLAGS = {
    Flag.TF32: trt.BuilderFlag.TF32,
    Flag.SPARSE_WEIGHTS: trt.BuilderFlag.SPARSE_WEIGHTS,
    Flag.VERSION_COMPATIBLE: trt.BuilderFlag.VERSION_COMPATIBLE,
    Flag.STRIP_PLAN: trt.BuilderFlag.STRIP_PLAN,
    Flag.REFIT: trt.BuilderFlag.REFIT,
    Flag.REFIT_IDENTICAL: trt.BuilderFlag.REFIT_IDENTICAL,
    Flag.GPU_FALLBACK: trt.BuilderFlag.GPU_FALLBACK,
    Flag.DISABLE_TIMING_CACHE: trt.BuilderFlag.DISABLE_TIMING_CACHE,
}

LEVELS = {
    "none": trt.HardwareCompatibilityLevel.NONE,
    "ampere_plus": trt.HardwareCompatibilityLevel.AMPERE_PLUS,
    "same_compute_capability": trt.HardwareCompatibilityLevel.SAME_COMPUTE_CAPABILITY,
}


def apply(plan: Plan, builder: Any, config: Any) -> None:
    """Set every flag and number of the plan. Raises InvalidOption, or PrecisionNotKept for one that is not taken.

    ``builder``: trt.Builder. ``config``: trt.IBuilderConfig.
    """
    for ours, theirs in FLAGS.items():
        if ours in plan.flags:
            config.set_flag(theirs)
        else:
            config.clear_flag(theirs)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.builder_optimization_level = plan.optimization_level
    config.hardware_compatibility_level = LEVELS[plan.hardware_compatibility]
    if plan.workspace_bytes is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, plan.workspace_bytes)
    if plan.aux_streams is not None:
        config.max_aux_streams = plan.aux_streams
    if plan.dla_core is not None:
        cores = builder.num_DLA_cores
        if plan.dla_core >= cores:
            raise InvalidOption(f"tensorrt, option 'dla_core': this machine has {cores} DLA cores", option="dla_core")
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = plan.dla_core
    if untaken := _untaken(plan, config):
        raise PrecisionNotKept(f"TensorRT {trt.__version__} did not take {', '.join(untaken)}", settings=untaken)


def add_profiles(profiles: Sequence[Profile], values: dict[str, Any], builder: Any, config: Any) -> None:
    """Optimisation profiles. ``values``: shape-tensor input to its (smallest, usual, largest) values, flat lists.

    Raises ValueError (TensorRT's own) for ranges that it refuses.
    """
    for ranges in profiles or ([{}] if values else []):
        profile = builder.create_optimization_profile()
        for name, one in ranges.items():
            profile.set_shape(name, one.min, one.opt, one.max)
        for name, (smallest, usual, largest) in values.items():
            profile.set_shape_input(name, smallest, usual, largest)
        if config.add_optimization_profile(profile) < 0:
            raise ValueError(f"TensorRT refuses the optimisation profile {ranges}")


def _untaken(plan: Plan, config: Any) -> list[str]:
    """What the configuration says now, where it is not what was set."""
    found = [str(ours) for ours, theirs in FLAGS.items() if config.get_flag(theirs) != (ours in plan.flags)]
    if config.hardware_compatibility_level != LEVELS[plan.hardware_compatibility]:
        found.append("hardware_compatibility")
    if config.builder_optimization_level != plan.optimization_level:
        found.append("optimization_level")
    if plan.aux_streams is not None and config.max_aux_streams != plan.aux_streams:
        found.append("aux_streams")
    return found

"""Why an artifact is not the one for a host: published codes, in the order in which they are looked at."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """The later a reason stands, the nearer the artifact came."""

    NOT_BUILT = "resolve.not_built"
    """the project has no artifact of this model"""
    NOT_WANTED = "resolve.not_wanted"
    """the request leaves out its backend or precision"""
    NOT_PROVEN = "resolve.not_proven"
    """its outputs were never compared with the source model's"""
    DISAGREES = "resolve.disagrees"
    """its outputs disagree with the source model's"""
    NOT_PROMOTED = "resolve.not_promoted"
    """it missed the gates of every job that built it, and is kept as evidence"""
    RUNTIME_MISSING = "resolve.runtime_missing"
    """the host does not have its runtime"""
    RUNTIME_VERSION = "resolve.runtime_version"
    """the host's runtime is of a version that does not load it"""
    PLATFORM = "resolve.platform"
    """it is bound to another operating system or machine"""
    GPU_MISSING = "resolve.gpu_missing"
    """the host has no GPU that it could run on"""
    GPU_ARCHITECTURE = "resolve.gpu_architecture"
    """it was built for GPUs of another architecture"""
    DRIVER = "resolve.driver"
    """the host's GPU driver is too old for it"""
    INSTRUCTION_SET = "resolve.instruction_set"
    """the host's CPU lacks instructions that its speed or its proof depends on"""
    SHAPES = "resolve.shapes"
    """it was not made for the shapes that the request names"""
    BOUND_MISSED = "resolve.bound_missed"
    """it misses a bound of the request"""

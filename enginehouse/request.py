"""A submission: one model, one or more targets, gates, limits, a priority."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.gates import Gates
from enginehouse.shapes import Profile, Shapes
from enginehouse.states import Priority
from enginehouse.targets import Target, TargetLike

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Limits(BaseModel):
    """What a build may use before it is stopped."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    time_s: int = Field(default=3600, ge=1, le=86_400, description="seconds from claim to published artifact")
    memory_mb: int = Field(
        default=8192, ge=64, le=1_048_576, description="resident memory of all the build's processes"
    )


class Recipe(BaseModel):
    """Everything about a build that its artifact and report depend on, but for the place where it is built.

    It is part of the cache key; what is not in here (gates, priority, limits, names) cannot change the bytes.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: Sha256
    dataset: Sha256 | None = None
    target: Target
    verify: bool = True
    benchmark: bool = True
    seed: int = 0
    shapes: Shapes = Field(default_factory=dict)
    profiles: tuple[Profile, ...] = ()


class JobRequest(BaseModel):
    """The body of ``POST /v1/jobs``."""

    model_config = ConfigDict(extra="forbid")

    model: Sha256 = Field(description="model id")
    targets: list[TargetLike] = Field(min_length=1, max_length=64)
    dataset: str | None = Field(
        default=None, description="dataset id (SHA-256), NAME (its newest version) or NAME@VERSION"
    )
    gates: Gates = Field(default_factory=Gates)
    limits: Limits = Field(default_factory=Limits)
    priority: Priority = Priority.NORMAL
    verify: bool = Field(default=True, description="compare with the source model; without it nothing is proven")
    benchmark: bool = Field(default=True, description="time it, interleaved with the baseline")
    seed: int = Field(default=0, ge=0, lt=2**32, description="seed of the generated inputs, where there is no dataset")
    shapes: Shapes = Field(
        default_factory=dict, description="input name to the shape to feed, for inputs with dynamic dimensions"
    )
    profiles: list[Profile] = Field(
        default_factory=list,
        max_length=16,
        description="input name to its smallest, usual and largest shape; several where an engine serves several uses",
    )
    observed_shapes: list[Shapes] = Field(
        default_factory=list,
        max_length=10_000,
        description="shapes seen in production, from which one profile is derived; instead of 'profiles'",
    )
    name: str = Field(default="", max_length=200, description="for people")

"""What a target ``auto`` may ask for."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.exploration import Goal
from enginehouse.gates import Gates
from enginehouse.targets import Precision


class AutoOptions(BaseModel):
    """What is looked for, among what, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    goal: Goal = Field(
        default="latency", description="the shortest time of one inference, or the most inferences per second"
    )
    budget_s: float = Field(
        default=300, ge=5, le=86_400, description="seconds for trying; the full build of the best comes after them"
    )
    candidates: int = Field(default=24, ge=1, le=200, description="conversions that are tried at most")
    backends: tuple[str, ...] = Field(default=(), description="only these; default: all that the worker has")
    precisions: tuple[Precision, ...] = Field(default=(), description="only these; default: all")
    calibration: Literal["dataset", "generated"] = Field(
        default="dataset",
        description="samples for the ranges of int8 and fp8: the job's dataset (without one they are not tried), or "
        "made-up inputs (the report says so)",
    )
    gates: Gates | None = Field(
        default=None, description="bounds on accuracy and size; default: those of the job's gates for this target"
    )
    calibration_samples: int = Field(default=300, ge=2, le=100_000, description="samples taken at most")

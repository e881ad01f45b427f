"""Options that several backends share. A target's options are checked against the backend's class of them."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Options(BaseModel):
    """A target's options. A subclass per backend; a field that is not there is refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prune: Literal["none", "2:4", "magnitude"] = Field(
        default="none",
        description="set weights to zero before anything is compiled: two of every four neighbours, or the smallest",
    )
    prune_share: float = Field(
        default=0.5, gt=0, lt=1, description="share of each weight tensor that magnitude pruning sets to zero"
    )


class Calibrated(Options):
    """What every backend that quantises is told in the same words."""

    calibration: Literal["dataset", "generated"] = Field(
        default="dataset",
        description="samples for the ranges of int8 and fp8: the job's dataset, or made-up inputs (the report says so)",
    )
    calibration_samples: int = Field(default=300, ge=2, le=100_000, description="samples taken at most")

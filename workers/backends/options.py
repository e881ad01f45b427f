"""Options that several backends share. A target's options are checked against the backend's class of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

_Streams = Annotated[int, Field(ge=1, le=256)]
_Batch = Annotated[int, Field(ge=1, le=4096)]


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
    throughput_streams: tuple[_Streams, ...] = Field(
        default=(),
        max_length=16,
        description="the benchmark's numbers of inferences side by side; default: 1, and one per thread",
    )
    throughput_batches: tuple[_Batch, ...] = Field(
        default=(), max_length=16, description="the benchmark's batches, where the model takes them; default: its own"
    )


class Calibrated(Options):
    """What every backend that quantises is told in the same words."""

    calibration: Literal["dataset", "generated"] = Field(
        default="dataset",
        description="samples for the ranges of int8 and fp8: the job's dataset, or made-up inputs (the report says so)",
    )
    calibration_samples: int = Field(default=300, ge=2, le=100_000, description="samples taken at most")
    keep_float: tuple[str, ...] = Field(
        default=(), max_length=10_000, description="names of the source model's nodes that stay in float"
    )
    mixed: bool = Field(
        default=False,
        description="build it again with the layers that lose most precision kept in float, and a second time with "
        "more of them where it disagrees",
    )

"""What a target of this backend may ask for."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from workers.backends.options import Calibrated

Reshape = Literal["auto", "dynamic", "static"]


class LiteRtOptions(Calibrated):
    """How the file is quantised, which shapes it takes, and how it is run."""

    quantization: Literal["static", "dynamic", "weights"] | None = Field(
        default=None,
        description="int8: weights and activations with ranges from samples (the default); weights ahead and "
        "activations while it runs; or the weights alone, computed in float",
    )
    io: Literal["float", "int8"] = Field(
        default="float", description="element type of inputs and outputs of a statically quantised model"
    )
    ranges: Literal["minmax", "average"] = Field(
        default="minmax",
        description="static: a tensor's range over all samples, or the moving average of each sample's own",
    )
    reshape: Reshape = Field(
        default="auto",
        description="dynamic: as many open dimensions as the source; static: fixed to the job's shapes, else the "
        "first profile's usual ones, else those of the first sample; auto: dynamic where the model converts so, else "
        "static in the job's shapes or profiles, with a batch of 1 where neither says more",
    )
    xnnpack: bool = Field(default=True, description="run by the XNNPACK kernels; without it by the built-in ones")
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="threads of the interpreter; default: physical cores"
    )

    @model_validator(mode="after")
    def _integers_are_static(self) -> Self:
        if self.io == "int8" and self.quantization not in (None, "static"):
            raise ValueError("io=int8 needs quantization=static: only it has ranges for inputs and outputs")
        return self

"""What a target may ask of TensorRT beyond its precision."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from workers.backends.options import Calibrated

HardwareCompatibility = Literal["none", "ampere_plus", "same_compute_capability"]
Refit = Literal["none", "identical", "any"]
FloatType = Literal["fp32", "fp16", "bf16"]


class TensorRtOptions(Calibrated):
    """How the engine is built. Shapes and optimisation profiles come from the job."""

    quantization: Literal["static"] | None = Field(
        default=None, description="how int8 and fp8 come about: ranges of weights and activations from calibration"
    )
    float_type: FloatType = Field(
        default="fp16", description="int8 and fp8: the type of what is not quantised (other precisions take no notice)"
    )
    method: Literal["MinMax", "Entropy", "Percentile"] = Field(
        default="MinMax", description="int8 and fp8: how a tensor's range comes from what the samples show of it"
    )
    percentile: float = Field(
        default=99.99, gt=50, le=100, description="method Percentile: the share of values that the range holds, percent"
    )
    keep_float_types: tuple[str, ...] = Field(
        default=(), max_length=200, description="ONNX operator types that stay in float32"
    )
    workspace_mb: int | None = Field(
        default=None, ge=1, le=2**21, description="most GPU memory for scratch space, MiB; default: all of the GPU's"
    )
    optimization_level: int = Field(
        default=3,
        ge=0,
        le=5,
        description="builder optimisation level: 0 builds fastest (and uses no timing cache), 5 searches longest",
    )
    aux_streams: int | None = Field(
        default=None, ge=0, le=64, description="most auxiliary streams; 0: one stream; default: TensorRT decides"
    )
    sparsity: bool = Field(
        default=False, description="let weights with two zeros in every four run on sparse kernels (see prune='2:4')"
    )
    version_compatible: bool = Field(
        default=False, description="an engine that newer TensorRT versions load too; it can be slower"
    )
    hardware_compatibility: HardwareCompatibility = Field(
        default="none", description="which other GPUs run the engine: none, Ampere and newer, or the same capability"
    )
    strip_plan: bool = Field(
        default=False, description="leave the weights out of the engine; the ONNX file that holds them lies beside it"
    )
    refit: Refit = Field(
        default="none", description="whether weights can be replaced later: by the same ones only, or by any"
    )
    dla_core: int | None = Field(
        default=None, ge=0, le=15, description="run on this deep-learning accelerator, the rest on the GPU"
    )
    timing_cache: bool = Field(
        default=True, description="use the farm's kernel timings for this GPU, TensorRT and CUDA, and add to them"
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="CPU threads of the baseline; the engine runs on the GPU"
    )

    @model_validator(mode="after")
    def _together(self) -> Self:
        if self.version_compatible and (self.strip_plan or self.refit != "none"):
            raise ValueError("a version-compatible engine runs in the lean runtime, which cannot refit or be stripped")
        return self

"""The report of a build: verification, benchmark, layer table, environment. Its JSON schema is published."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from enginehouse.states import Phase

SCHEMA_VERSION = 1


class OutputVerification(BaseModel):
    """One output against the source model's, over all samples.

    Errors are over float outputs as float64; an integer or boolean output has ``equal_share`` instead.
    """

    name: str
    dtype: str
    shape: list[int]
    max_abs_error: float | None = None
    max_rel_error: float | None = Field(default=None, description="|a-b| / max(|b|, 1e-6), largest")
    cosine: float | None = None
    equal_share: float | None = Field(default=None, description="share of equal elements (integer and boolean outputs)")
    nonfinite: int = Field(default=0, description="NaN or Inf in the artifact's output where the source has none")
    agrees: bool
    note: str = Field(default="", description="what a reader of a disagreement should know")


class Verification(BaseModel):
    """How far the artifact is from the source model run by the reference."""

    reference: str = Field(examples=["onnxruntime 1.31.1 fp32 cpu"])
    inputs: str = Field(description="'dataset NAME@VERSION' or 'seeded'")
    seed: int | None = None
    samples: int
    shapes: dict[str, list[int]] = Field(description="input name to the shape that was fed")
    tolerance: dict[str, float] = Field(description="the bounds behind 'agrees'")
    outputs: list[OutputVerification]
    agrees: bool


class Timing(BaseModel):
    """Latencies of single inferences, milliseconds."""

    name: str
    count: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    load_ms: float = Field(description="from file to ready to run")
    first_ms: float = Field(description="the first inference")


class Benchmark(BaseModel):
    """Artifact and baseline, interleaved in one process on the same cores."""

    artifact: Timing
    baseline: Timing
    speedup: float = Field(description="baseline p50 / artifact p50")
    warmup: int
    shapes: dict[str, list[int]]
    threads: int
    affinity: list[int]
    settings: dict[str, Any] = Field(description="the runtime settings that change speed, as they were read back")
    load_before: float = Field(description="1-minute load average of the machine")
    load_after: float
    disturbed: bool = Field(description="other processes used the cores meanwhile, or halves differ too much")
    disturbance: str = ""


class Layer(BaseModel):
    """One executed layer of the artifact."""

    name: str
    type: str
    precision: str = ""
    fused: list[str] = Field(default_factory=list, description="names of the source nodes that it stands for")
    time_us: float | None = None
    share: float | None = Field(default=None, description="of the time of all layers, 0 to 1")


class Calibration(BaseModel):
    """Where the ranges of a quantised artifact come from."""

    origin: str = Field(description="'dataset NAME@VERSION', or 'generated': ranges of made-up inputs prove nothing")
    samples: int
    method: str = Field(examples=["MinMax"])


class PrunedLayer(BaseModel):
    """One weight tensor that was pruned."""

    name: str
    zeroed: float = Field(description="share of its weights that are zero now, 0 to 1")


class Pruning(BaseModel):
    """Weights that were set to zero before anything was compiled."""

    pattern: str = Field(description="'2:4' or 'magnitude'")
    zeroed: float = Field(description="share of all weights of the model that are zero now, 0 to 1")
    layers: list[PrunedLayer]
    skipped: list[str] = Field(default_factory=list, description="weights whose shape the pattern does not fit")


class PhaseTiming(BaseModel):
    """How long a phase took, seconds."""

    phase: Phase
    seconds: float


class Report(BaseModel):
    """All that is known about an artifact, with the conditions of every number."""

    schema_version: int = SCHEMA_VERSION
    model: str = Field(description="model id")
    target: str
    size: int = Field(description="bytes of the model files in the bundle")
    verification: Verification | None = None
    benchmark: Benchmark | None = None
    layers: list[Layer] = Field(default_factory=list)
    removed: list[str] = Field(default_factory=list, description="source nodes that no executed layer stands for")
    route: list[str] = Field(default_factory=list, description="the forms that the model went through")
    intermediate: Verification | None = Field(
        default=None, description="the ONNX that the model went through, against the source framework"
    )
    calibration: Calibration | None = None
    pruning: Pruning | None = None
    kept_float: list[str] = Field(
        default_factory=list, description="nodes that stayed in float32, or were put back to it, for accuracy"
    )
    notes: list[str] = Field(default_factory=list, description="what a reader should know, in sentences")
    environment: dict[str, Any] = Field(default_factory=dict, description="hardware, versions, settings")
    phases: list[PhaseTiming] = Field(default_factory=list)

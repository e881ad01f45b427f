"""The report of a build: verification, benchmark, layer table, environment. Its JSON schema is published."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, Field

from enginehouse.exploration import Exploration
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
    mean_abs_error: float | None = None
    cosine: float | None = Field(default=None, description="least of any sample")
    sqnr_db: float | None = Field(
        default=None, description="signal (variation about the mean) to noise over all samples, decibels; 200: equal"
    )
    worst_sample_db: float | None = Field(default=None, description="the same with the noise of the worst sample")
    top1_agreement: float | None = Field(
        default=None, description="share of rows with the source's best class, where the output scores classes"
    )
    top5_agreement: float | None = Field(
        default=None, description="share of rows with the source's best class among the five best"
    )
    decided_agreement: float | None = Field(
        default=None, description="top1_agreement, each row weighted by the source's margin between its two best"
    )
    equal_share: float | None = Field(default=None, description="share of equal elements (integer and boolean outputs)")
    nonfinite: int = Field(default=0, description="NaN or Inf in the artifact's output where the source has none")
    nonfinite_share: float | None = Field(default=None, description="of the artifact's elements, 0 to 1")
    source_nonfinite_share: float | None = Field(default=None, description="of the source's elements, 0 to 1")
    agrees: bool
    missed: list[str] = Field(default_factory=list, description="the bounds that were missed, in words")
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


class TaskMetric(BaseModel):
    """What the model is for, in a number: source model and artifact on the same labelled samples."""

    name: str = Field(examples=["top1", "top5"], description="'top1', 'top5', or the name of the job's own metric")
    source: float = Field(description="of the source model")
    artifact: float
    loss: float = Field(description="how much worse the artifact is; negative where it is better")
    relative_loss: float | None = Field(description="loss / |source|; None where the source's is 0")
    samples: int
    higher_is_better: bool = True


class LossyLayer(BaseModel):
    """A node of the source's graph whose result is much worse in the artifact than what it was computed from."""

    node: str
    type: str
    sqnr_db: float = Field(description="of the node's result against the source model's")
    cosine: float
    drop: float = Field(description="decibels by which it is worse than the worst of the node's own inputs")


class Timing(BaseModel):
    """Latencies of single inferences, milliseconds. Intervals are those of ``Benchmark.confidence``."""

    name: str
    count: int
    p50_ms: float
    p50_low_ms: float | None = Field(default=None, description="lower end of the median's confidence interval")
    p50_high_ms: float | None = Field(default=None, description="its upper end")
    p90_ms: float
    p99_ms: float
    mean_ms: float
    min_ms: float
    load_ms: float = Field(description="from file to ready to run")
    first_ms: float = Field(description="the first inference")
    warmup: int | None = Field(default=None, description="inferences before the timed ones")
    steady: bool | None = Field(default=None, description="whether the warm-up ended because latencies were steady")
    size: int | None = Field(default=None, description="bytes of the model's files")
    memory_mb: float | None = Field(
        default=None,
        description="MiB by which a fresh process's resident memory peaked above what the imported runtime held, "
        "while it loaded the model and ran it; memory on a GPU does not count",
    )


class Throughput(BaseModel):
    """Inferences that run side by side, from as many threads as there are streams."""

    side: Literal["artifact", "baseline"]
    streams: int
    threads: int = Field(description="of all streams together")
    batch: int = Field(description="items of one inference: its inputs' first dimension")
    count: int = Field(description="inferences that were counted")
    per_s: float = Field(description="inferences a second; times 'batch': items a second")


class MachineState(BaseModel):
    """What the machine shows at one moment; None where it does not tell."""

    load: float = Field(description="1-minute load average")
    clock_mhz: float | None = Field(default=None, description="mean clock of our cores")
    temperature_c: float | None = Field(default=None, description="the hottest thermal zone of a processor")
    gpu_clock_mhz: float | None = None
    gpu_temperature_c: float | None = None


class Conditions(BaseModel):
    """What a benchmark's numbers were taken under."""

    before: MachineState
    after: MachineState
    alone: bool = Field(description="whether the farm's other builds kept off the cores")
    siblings: list[list[int]] = Field(description="logical cores that share a physical one with one of ours")
    governor: str | None = Field(default=None, description="how the kernel sets the clock")
    others_share: float = Field(description="of the cores' time that went to other processes and guests, 0 to 1")
    steal_share: float = Field(description="of the cores' time that went to the host's other guests, 0 to 1")
    switches_per_s: float = Field(description="times a second that one of our threads was put off a core")


class OtherBaseline(BaseModel):
    """The artifact beside another target of the same model, measured as it is beside its source model."""

    name: str = Field(description="the target's short form", examples=["openvino:fp32"])
    artifact_p50_ms: float | None = Field(default=None, description="of the artifact, in turns with this baseline")
    p50_ms: float | None = Field(default=None, description="of the baseline")
    speedup: float | None = Field(default=None, description="baseline p50 / artifact p50; None where not measured")
    speedup_low: float | None = Field(default=None, description="lower end of the speed-up's confidence interval")
    speedup_high: float | None = Field(default=None, description="its upper end")
    pairs: int | None = Field(default=None, description="pairs of blocks, one of each side")
    tries: int | None = Field(default=None, description="how often the timing was taken")
    disturbed: bool = False
    disturbance: str = ""
    reason: str = Field(default="", description="why it was not measured")
    toolchain: dict[str, str] = Field(default_factory=dict, description="package to version, of its backend")
    settings: dict[str, Any] = Field(
        default_factory=dict, description="its runtime settings that change speed, as they were read back"
    )


class Benchmark(BaseModel):
    """Artifact and baseline, interleaved in one process on the same cores."""

    artifact: Timing
    baseline: Timing
    speedup: float = Field(description="baseline p50 / artifact p50")
    speedup_low: float | None = Field(default=None, description="lower end of the speed-up's confidence interval")
    speedup_high: float | None = Field(default=None, description="its upper end")
    confidence: float = Field(default=0.95, description="of every interval: bootstrap over pairs of blocks")
    pairs: int | None = Field(default=None, description="pairs of blocks, one of each side")
    warmup: int = Field(description="inferences before the timed ones, the larger of both sides")
    steady: bool | None = Field(default=None, description="whether both sides' warm-ups ended in steady latencies")
    throughput: list[Throughput] = Field(default_factory=list)
    others: list[OtherBaseline] = Field(
        default_factory=list, description="the other baselines that the job named, each beside the artifact"
    )
    shapes: dict[str, list[int]]
    threads: int
    affinity: list[int]
    settings: dict[str, Any] = Field(description="the runtime settings that change speed, as they were read back")
    conditions: Conditions | None = None
    load_before: float = Field(description="1-minute load average of the machine")
    load_after: float
    tries: int = Field(default=1, description="how often the timing was taken: again when it was disturbed")
    disturbed: bool = Field(description="other work used the cores in every try, or halves differ too much")
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
    metrics: list[TaskMetric] = Field(
        default_factory=list, description="on a labelled dataset, or by the job's own metric"
    )
    benchmark: Benchmark | None = None
    layers: list[Layer] = Field(default_factory=list)
    removed: list[str] = Field(default_factory=list, description="source nodes that no executed layer stands for")
    route: list[str] = Field(default_factory=list, description="the forms that the model went through")
    intermediate: Verification | None = Field(
        default=None, description="the ONNX that the model went through, against the source framework"
    )
    lossy_layers: list[LossyLayer] = Field(
        default_factory=list, description="where an artifact that disagrees loses its precision, the worst first"
    )
    exploration: Exploration | None = Field(default=None, description="what 'auto' chose it from")
    calibration: Calibration | None = None
    pruning: Pruning | None = None
    kept_float: list[str] = Field(
        default_factory=list, description="nodes that stayed in float32, or were put back to it, for accuracy"
    )
    notes: list[str] = Field(default_factory=list, description="what a reader should know, in sentences")
    environment: dict[str, Any] = Field(default_factory=dict, description="hardware, versions, settings")
    phases: list[PhaseTiming] = Field(default_factory=list)

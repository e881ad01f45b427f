"""Gates: what a build must meet to be promoted. Pure: a report in, the missed bounds out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from enginehouse.baselines import SOURCE, named
from enginehouse.errors import Failure, GateMissed, OutputsDisagree
from enginehouse.report import Benchmark, OtherBaseline, OutputVerification, Report
from enginehouse.targets import Target

Loss = Annotated[float, Field(ge=0)]
Speedup = Annotated[float, Field(gt=0)]

NAMED = ("max_metric_loss", "max_relative_metric_loss")
"""Bounds that may be given for one metric by its name, instead of for all."""


class Gates(BaseModel):
    """Bounds on a build; a bound that is not given is not looked at. Of several outputs, the worst counts."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    max_abs_error: float | None = Field(default=None, ge=0, description="largest absolute error of any output")
    max_rel_error: float | None = Field(default=None, ge=0, description="largest relative error of any output")
    min_cosine: float | None = Field(default=None, ge=-1, le=1, description="least cosine of any output")
    min_sqnr_db: float | None = Field(
        default=None, description="least signal-to-quantization-noise ratio of any output, decibels"
    )
    min_top1_agreement: float | None = Field(
        default=None, ge=0, le=1, description="least share of samples with the source model's top-1 class"
    )
    max_metric_loss: Loss | dict[str, Loss] | None = Field(
        default=None,
        description="largest loss of the task's metrics against the source model; or metric name to largest loss",
    )
    max_relative_metric_loss: Loss | dict[str, Loss] | None = Field(
        default=None, description="the same as a share of the source model's metric; or metric name to largest share"
    )
    min_speedup: Speedup | dict[str, Speedup] | None = Field(
        default=None,
        description="least speed-up over the source model, by the lower end of its confidence interval; or baseline "
        "('source', or a target in its short form, which is then measured too) to least speed-up",
        examples=[{"source": 1.5, "openvino:fp32": 1.2}],
    )
    max_p50_ms: float | None = Field(default=None, gt=0, description="largest median latency, milliseconds")
    max_p90_ms: float | None = Field(default=None, gt=0, description="largest 90th-percentile latency, milliseconds")
    max_p99_ms: float | None = Field(default=None, gt=0, description="largest 99th-percentile latency, milliseconds")
    min_throughput: float | None = Field(
        default=None, gt=0, description="least items per second, at the best of the measured streams and batches"
    )
    max_memory_mb: float | None = Field(
        default=None, gt=0, description="largest peak memory of loading and running it, above the runtime's own, MiB"
    )
    max_bytes: int | None = Field(default=None, gt=0, description="largest size of the bundle's model files, bytes")

    @field_validator("min_speedup")
    @classmethod
    def _baselines_by_their_names(cls, given: float | dict[str, float] | None) -> float | dict[str, float] | None:
        if not isinstance(given, dict):
            return given
        found: dict[str, float] = {}
        for text, bound in given.items():
            name = SOURCE if text.strip().lower() == SOURCE else str(named(text))
            if name in found:
                raise ValueError(f"the baseline {name} is given twice")
            found[name] = bound
        return found

    def baselines(self) -> tuple[Target, ...]:
        """Those that ``min_speedup`` names, besides the source model."""
        bounds = self.min_speedup if isinstance(self.min_speedup, dict) else {}
        return tuple(named(name) for name in bounds if name != SOURCE)

    def over_source_alone(self) -> Gates:
        """Without bounds on the speed-up over other baselines, for where these are not measured."""
        if not isinstance(self.min_speedup, dict):
            return self
        return self.model_copy(update={"min_speedup": self.min_speedup.get(SOURCE)})

    def given(self) -> bool:
        """Whether any bound was given."""
        return any(value is not None for value in self.model_dump().values())

    def about_accuracy(self) -> bool:
        """Whether the job says itself which accuracy it accepts."""
        return any(getattr(self, gate) is not None for gate in (*_OF_OUTPUTS, *NAMED))

    def about_the_model(self) -> Gates:
        """Those that no machine has a part in: accuracy and size."""
        named = (*_OF_OUTPUTS, *NAMED, "max_bytes")
        return Gates.model_validate({name: getattr(self, name) for name in named})

    def with_own(self, own: Gates) -> Gates:
        """These with a target's own: a bound of its own takes the place of the one for all."""
        return Gates.model_validate(self.model_dump(exclude_none=True) | own.model_dump(exclude_none=True))

    def speak_of(self, output: OutputVerification) -> bool:
        """Whether a bound says what this output may be. A metric is about all of them; no bound allows NaN or Inf."""
        by_number = any(
            getattr(self, gate) is not None and getattr(output, field) is not None
            for gate, field in _OF_OUTPUTS.items()
        )
        by_metric = any(getattr(self, gate) is not None for gate in NAMED)
        return not output.nonfinite and (by_number or by_metric)


class Missed(BaseModel):
    """One bound that was not met. ``measured`` is None when the value was never measured."""

    gate: str
    bound: float
    measured: float | None
    of: str = Field(default="", description="the output, metric or baseline that the value belongs to")

    def __str__(self) -> str:
        of = f" ({self.of})" if self.of else ""
        if self.measured is None:
            return f"{self.gate} {self.bound:g}, not measured{of}"
        close = f"{self.bound:g}" == f"{self.measured:g}"  # a miss by a hair shows the hair
        bound, measured = (repr(value) if close else f"{value:g}" for value in (self.bound, self.measured))
        return f"{self.gate} {bound}, measured {measured}{of}"


Value = tuple[str, float | None]
"""What a value belongs to, and the value; None where it was not measured."""

Values = list[tuple[str, float]]
"""Those of one kind that were measured."""


def judge(gates: Gates, report: Report) -> Failure | None:
    """Why an artifact may not be promoted, or None.

    An output outside the tolerance is refused, unless the gates say themselves what it may be.
    """
    verification = report.verification
    if verification is not None and not verification.agrees:
        worst = [output for output in verification.outputs if not output.agrees and not gates.speak_of(output)]
        if worst or not gates.about_accuracy():
            detail = "; ".join(output.name + (f" ({output.note})" if output.note else "") for output in worst[:5])
            names = [output.name for output in worst]
            return OutputsDisagree(f"outside the tolerance: {detail}", outputs=names).failure()
    if bounds := missed(gates, report):
        measured = [bound.model_dump() for bound in bounds]
        return GateMissed("; ".join(str(bound) for bound in bounds), missed=measured).failure()
    return None


def missed(gates: Gates, report: Report) -> list[Missed]:
    """The bounds that the report does not meet. What was not measured is missed: no number, no promotion."""
    found = []
    for gate, given in gates.model_dump(exclude_none=True).items():
        for name, bound in given.items() if isinstance(given, dict) else ((None, given),):
            if gate == "min_speedup" and _is_itself(name, report):
                continue
            of, value = _measured(gate, name, report)
            if value is None or not (value >= bound if gate.startswith("min_") else value <= bound):
                found.append(Missed(gate=gate, bound=bound, measured=value, of=of))
    return found


def _is_itself(name: str | None, report: Report) -> bool:
    """Whether a bound is on the speed-up over the artifact's own target, over which there is none."""
    others = report.benchmark.others if report.benchmark else []
    return name == report.target.partition("@")[0] and name not in [one.name for one in others]


def _measured(gate: str, name: str | None, report: Report) -> Value:
    """The value that decides. ``name``: the metric or baseline that the bound is for; None: all, or the source."""
    if gate == "min_speedup":
        return _speedup(report, name or SOURCE)
    values = _MEASURED[gate](report)
    concerned = values if name is None else [one for one in values if one[0] == name]
    return _worst(gate, concerned) or (name or "", None)


def _worst(gate: str, values: Values) -> tuple[str, float] | None:
    """The value that decides; a NaN is worse than any number."""
    ascending = gate.startswith("min_")
    return min(values, key=lambda one: (one[1] == one[1], one[1] if ascending else -one[1]), default=None)


def _known(values: Iterable[tuple[str, Any]]) -> Values:
    return [(of, float(value)) for of, value in values if value is not None]


def _of_outputs(field: str) -> Callable[[Report], Values]:
    def values(report: Report) -> Values:
        outputs = report.verification.outputs if report.verification else []
        return _known((output.name, getattr(output, field)) for output in outputs)

    return values


def _of_metrics(field: str) -> Callable[[Report], Values]:
    def values(report: Report) -> Values:
        return _known((metric.name, getattr(metric, field)) for metric in report.metrics)

    return values


def _of_timing(field: str) -> Callable[[Report], Values]:
    def values(report: Report) -> Values:
        timing = report.benchmark.artifact if report.benchmark else None
        return _known([("", getattr(timing, field))] if timing else [])

    return values


def _speedup(report: Report, baseline: str) -> Value:
    """The lower end of the interval; a report from before there were intervals has the speed-up alone."""
    benchmark = report.benchmark
    found: Benchmark | OtherBaseline | None = benchmark
    over = f"over {benchmark.baseline.name}" if benchmark else ""
    if baseline != SOURCE:
        found = next((one for one in benchmark.others if one.name == baseline), None) if benchmark else None
        over = f"over {baseline}" + (f": {found.reason}" if found and found.reason else "")
    if found is None or found.speedup is None:
        return over, None
    if found.speedup_low is None:
        return over, found.speedup
    return f"lower end of the confidence interval of {found.speedup:.4g}, {over}", found.speedup_low


def _throughput(report: Report) -> Values:
    rows = report.benchmark.throughput if report.benchmark else []
    found = [
        (f"{row.streams} side by side, batch {row.batch}", row.per_s * row.batch)
        for row in rows
        if row.side == "artifact"
    ]
    return [max(found, key=lambda one: one[1])] if found else []


_OF_OUTPUTS = {
    "max_abs_error": "max_abs_error",
    "max_rel_error": "max_rel_error",
    "min_cosine": "cosine",
    "min_sqnr_db": "sqnr_db",
    "min_top1_agreement": "top1_agreement",
}
"""Gate to the field of an output's verification."""

_MEASURED: dict[str, Callable[[Report], Values]] = {
    **{gate: _of_outputs(field) for gate, field in _OF_OUTPUTS.items()},
    "max_metric_loss": _of_metrics("loss"),
    "max_relative_metric_loss": _of_metrics("relative_loss"),
    "max_p50_ms": _of_timing("p50_ms"),
    "max_p90_ms": _of_timing("p90_ms"),
    "max_p99_ms": _of_timing("p99_ms"),
    "min_throughput": _throughput,
    "max_memory_mb": _of_timing("memory_mb"),
    "max_bytes": lambda report: [("", float(report.size))],
}

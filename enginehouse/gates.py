"""Gates: what a build must meet to be promoted. Pure: a report in, the missed bounds out."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.errors import Failure, GateMissed, OutputsDisagree
from enginehouse.report import OutputVerification, Report

Loss = Annotated[float, Field(ge=0)]

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
    min_speedup: float | None = Field(
        default=None,
        gt=0,
        description="least speed-up over the benchmark's baseline, by the lower end of its confidence interval",
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


Values = list[tuple[str, float]]
"""What a value belongs to, and the value."""


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
        values = _MEASURED[gate](report)
        for metric, bound in given.items() if isinstance(given, dict) else ((None, given),):
            concerned = values if metric is None else [(of, value) for of, value in values if of == metric]
            of, value = _worst(gate, concerned) or (metric or "", None)
            if value is None or not (value >= bound if gate.startswith("min_") else value <= bound):
                found.append(Missed(gate=gate, bound=bound, measured=value, of=of))
    return found


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


def _speedup(report: Report) -> Values:
    """The lower end of the interval; a report from before there were intervals has the speed-up alone."""
    benchmark = report.benchmark
    if benchmark is None:
        return []
    over = f"over {benchmark.baseline.name}"
    if benchmark.speedup_low is None:
        return [(over, benchmark.speedup)]
    return [(f"lower end of the confidence interval of {benchmark.speedup:.4g}, {over}", benchmark.speedup_low)]


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
    "min_speedup": _speedup,
    "max_p50_ms": _of_timing("p50_ms"),
    "max_p90_ms": _of_timing("p90_ms"),
    "max_p99_ms": _of_timing("p99_ms"),
    "min_throughput": _throughput,
    "max_memory_mb": _of_timing("memory_mb"),
    "max_bytes": lambda report: [("", float(report.size))],
}

"""Gates: what a build must meet to be promoted. Pure: a report in, the missed bounds out."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.report import Report


class Gates(BaseModel):
    """Bounds on a build; a bound that is not given is not looked at."""

    model_config = ConfigDict(extra="forbid")

    max_abs_error: float | None = Field(default=None, ge=0, description="largest absolute error of any output")
    min_cosine: float | None = Field(default=None, ge=-1, le=1, description="least cosine of any output")
    min_speedup: float | None = Field(default=None, gt=0, description="least speed-up over the baseline, at the median")
    max_p50_ms: float | None = Field(default=None, gt=0, description="largest median latency, milliseconds")
    max_p90_ms: float | None = Field(default=None, gt=0, description="largest 90th-percentile latency, milliseconds")
    max_bytes: int | None = Field(default=None, gt=0, description="largest size of the bundle's model files, bytes")

    def given(self) -> bool:
        """Whether any bound was given."""
        return any(value is not None for value in self.model_dump().values())

    def about_accuracy(self) -> bool:
        """Whether the job says itself which accuracy it accepts."""
        return self.max_abs_error is not None or self.min_cosine is not None


class Missed(BaseModel):
    """One bound that was not met. ``measured`` is None when the value was never measured."""

    gate: str
    bound: float
    measured: float | None

    def __str__(self) -> str:
        measured = "not measured" if self.measured is None else f"{self.measured:g}"
        return f"{self.gate} {self.bound:g}, measured {measured}"


def missed(gates: Gates, report: Report) -> list[Missed]:
    """The bounds that the report does not meet. What was not measured is missed: no number, no promotion."""
    outputs = report.verification.outputs if report.verification else []
    errors = [o.max_abs_error for o in outputs if o.max_abs_error is not None]
    cosines = [o.cosine for o in outputs if o.cosine is not None]
    benchmark = report.benchmark
    measured: dict[str, float | None] = {
        "max_abs_error": max(errors, default=None),
        "min_cosine": min(cosines, default=None),
        "min_speedup": benchmark.speedup if benchmark else None,
        "max_p50_ms": benchmark.artifact.p50_ms if benchmark else None,
        "max_p90_ms": benchmark.artifact.p90_ms if benchmark else None,
        "max_bytes": report.size,
    }
    found = []
    for gate, bound in gates.model_dump(exclude_none=True).items():
        value = measured[gate]
        fails = value is None or value != value or (value < bound if gate.startswith("min_") else value > bound)
        if fails:
            found.append(Missed(gate=gate, bound=bound, measured=value))
    return found

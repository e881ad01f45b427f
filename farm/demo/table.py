"""What came out, as rows: proven, measured, and where it came from. Pure but for the drawing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from rich.table import Table

from enginehouse.report import Report
from enginehouse.states import BuildState, Origin
from enginehouse.views import ArtifactView, BuildView

HEADINGS = ("target", "state", "size", "largest error", "cosine", "p50 ms", "p90 ms", "speed-up", "SHA-256")
_NOTHING = "-"
_ORIGINS = {Origin.CACHE: "cached", Origin.BUILT: "built", Origin.JOINED: "joined"}


@dataclass(frozen=True)
class Row:
    """One build, in the order of the headings."""

    cells: tuple[str, ...]
    good: bool


def rows(builds: Sequence[BuildView], artifacts: Mapping[str, ArtifactView]) -> list[Row]:
    """A row for each build; ``artifacts`` by id."""
    return [_row(build, artifacts.get(build.artifact or "")) for build in builds]


def _row(build: BuildView, artifact: ArtifactView | None) -> Row:
    good = build.state == BuildState.SUCCEEDED
    state = _ORIGINS.get(build.origin, str(build.state)) if good and build.origin else str(build.state)
    if artifact is None:
        return Row((str(build.target), state, *[_NOTHING] * (len(HEADINGS) - 2)), good)
    return Row((str(build.target), state, *_numbers(artifact.report), artifact.id[:12]), good)


def _numbers(report: Report) -> tuple[str, ...]:
    outputs = report.verification.outputs if report.verification else []
    error = max((one.max_abs_error for one in outputs if one.max_abs_error is not None), default=None)
    cosine = min((one.cosine for one in outputs if one.cosine is not None), default=None)
    size = f"{report.size / 1e6:.1f} MB"
    proof = (_number(error, ".2e"), _number(cosine, ".7f"))
    timed = report.benchmark
    if timed is None:
        return (size, *proof, _NOTHING, _NOTHING, _NOTHING)
    speedup = f"{timed.speedup:.2f}x" + ("*" if timed.disturbed else "")
    return (size, *proof, f"{timed.artifact.p50_ms:.2f}", f"{timed.artifact.p90_ms:.2f}", speedup)


def _number(value: float | None, form: str) -> str:
    return _NOTHING if value is None else format(value, form)


def conditions(reports: Sequence[Report]) -> str:
    """Under what the numbers were taken, in a line. Empty when nothing was timed or compared."""
    words = []
    verified = [report.verification for report in reports if report.verification]
    if verified:
        shapes = ", ".join(f"{name} {'x'.join(map(str, shape))}" for name, shape in verified[0].shapes.items())
        words.append(f"errors against {verified[0].reference} over {verified[0].samples} samples of {shapes}")
    timed = [report.benchmark for report in reports if report.benchmark]
    if timed:
        first = timed[0]
        threads = f"{first.threads} thread{'s' if first.threads != 1 else ''}"
        words.append(f"speed-up over {first.baseline.name}, interleaved, {threads}, {first.artifact.count} runs each")
    if any(one.disturbed for one in timed):
        words.append("* disturbed: other processes used the cores meanwhile")
    return "; ".join(words)


def table(found: Sequence[Row]) -> Table:
    """The rows as people see them."""
    drawn = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for heading in HEADINGS:
        left = heading in {"target", "state", "SHA-256"}
        drawn.add_column(heading, justify="left" if left else "right", no_wrap=True)
    for row in found:
        drawn.add_row(*row.cells, style=None if row.good else "red")
    return drawn


def origin(builds: Sequence[BuildView]) -> str:
    """Whether the farm had to build, in words."""
    cached = sum(build.origin == Origin.CACHE for build in builds)
    built = sum(build.origin == Origin.BUILT for build in builds)
    if cached == len(builds):
        return f"All {cached} builds were served from the cache: these bytes were built for these targets before."
    if cached:
        return f"{built} built, {cached} served from the cache."
    return f"{built} built. Run it again: the cache will answer."

"""The page: sections of a report in the order in which a reader asks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from enginehouse.comparison.differences import flat
from enginehouse.exploration import Exploration
from enginehouse.report import Benchmark, Layer, OtherBaseline, Report, Verification
from enginehouse.request import Recipe
from workers.pipeline.report_page.charts import latency_chart, layer_chart, operator_chart
from workers.pipeline.report_page.markup import NOTHING, Markup, joined, pairs, records, section, tag

MOST_ROWS = 2000
"""layers in the table; report.json has all of them"""
_STYLE = Path(__file__).with_name("style.css")
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def render(report: Report, recipe: Recipe) -> str:
    """A whole HTML document. Parts that the report does not have are left out, or said to be missing."""
    title = f"{report.target} of {report.model[:12]}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", Markup(_STYLE.read_text(encoding="utf-8"))),
    )
    body = tag("body", tag("main", tag("h1", title), joined(part for part in _sections(report, recipe) if part)))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _sections(report: Report, recipe: Recipe) -> Iterator[Markup]:
    yield _summary(report)
    yield section("Notes", *[tag("p", note) for note in report.notes])
    yield section("Verification", *_verification(report.verification, "The artifact was not verified."))
    if report.intermediate:
        yield section("Intermediate ONNX", *_verification(report.intermediate, ""))
    yield section("Layers that lose precision", records(report.lossy_layers))
    yield section("Task metrics", records(report.metrics))
    yield section("Latency", *_benchmark(report.benchmark))
    yield section("Layers", layer_chart(report.layers), operator_chart(report.layers))
    if report.exploration:
        yield section("What it was chosen from", *_exploration(report.exploration))
    yield section("How it was made", pairs(_making(report)))
    yield section("Request", pairs(flat(recipe.model_dump(mode="json", exclude_none=True))))
    yield section("Environment", pairs(flat(report.environment)))
    yield section("Layer table", *_layers(report.layers))


def _summary(report: Report) -> Markup:
    proof, benchmark = report.verification, report.benchmark
    facts = [
        tag("li", "not verified", class_="unknown")
        if proof is None
        else tag("li", "agrees with the source model", class_="good")
        if proof.agrees
        else tag("li", "disagrees with the source model", class_="bad")
    ]
    if benchmark:
        facts.append(tag("li", f"{_times(benchmark)} the speed of {benchmark.baseline.name}"))
        facts.append(tag("li", f"{benchmark.artifact.p50_ms:.4g} ms at the median"))
        if benchmark.disturbed:
            facts.append(tag("li", "the benchmark was disturbed", class_="bad"))
        facts += map(_beside, benchmark.others)
    facts.append(tag("li", f"{report.size:,} bytes"))
    return tag("ul", *facts, class_="facts")


def _times(one: Benchmark | OtherBaseline) -> str:
    """The speed-up with its interval."""
    low, high = one.speedup_low, one.speedup_high
    return f"{one.speedup:.2f}x" + ("" if low is None or high is None else f" ({low:.2f} to {high:.2f})")


def _beside(one: OtherBaseline) -> Markup:
    if one.speedup is None:
        return tag("li", f"not measured against {one.name}", class_="unknown")
    return tag("li", f"{_times(one)} the speed of {one.name}" + (", disturbed" if one.disturbed else ""))


def _verification(proof: Verification | None, missing: str) -> Iterator[Markup]:
    if proof is None:
        yield tag("p", missing)
        return
    yield records(proof.outputs)
    yield pairs(_rest(proof, "outputs", "agrees"))


def _benchmark(benchmark: Benchmark | None) -> Iterator[Markup]:
    if benchmark is None:
        yield tag("p", "The artifact was not timed.")
        return
    yield latency_chart(benchmark)
    yield records([benchmark.artifact, benchmark.baseline])
    yield records(benchmark.others)
    yield records(benchmark.throughput)
    yield pairs(_rest(benchmark, "artifact", "baseline", "others", "throughput"))


def _exploration(exploration: Exploration) -> Iterator[Markup]:
    yield joined(tag("p", reason) for reason in exploration.reasons)
    yield records(exploration.candidates)
    yield pairs(_rest(exploration, "candidates", "reasons"))


def _making(report: Report) -> dict[str, Any]:
    """What was done to the model on its way."""
    found: dict[str, Any] = {"route": " → ".join(report.route)} if report.route else {}
    if report.calibration:
        found |= flat({"calibration": report.calibration.model_dump()})
    if report.pruning:
        found |= flat({"pruning": report.pruning.model_dump(exclude={"layers"})})
        found["pruning.layers"] = [f"{layer.name} {layer.zeroed:.1%}" for layer in report.pruning.layers]
    if report.kept_float:
        found["kept in float"] = report.kept_float
    if report.removed:
        found["folded away"] = report.removed
    return found | {f"seconds in {phase.phase}": phase.seconds for phase in report.phases}


def _layers(layers: Sequence[Layer]) -> Iterator[Markup]:
    if not layers:
        return
    yield records(layers[:MOST_ROWS])
    if len(layers) > MOST_ROWS:
        yield tag("p", f"The first {MOST_ROWS} of {len(layers)} layers; report.json has all of them.")


def _rest(part: BaseModel, *without: str) -> dict[str, Any]:
    """A part's other fields, by dotted path; what says nothing is left out."""
    values = flat(part.model_dump(mode="json", exclude=set(without)))
    return {name: value for name, value in values.items() if value not in NOTHING}

"""Charts as tables with a bar in each row: readable without colours, by a screen reader, and on paper."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from enginehouse.report import Benchmark, Layer
from workers.pipeline.report_page.markup import Markup, tag

MOST_LAYERS = 20
MOST_TYPES = 12
_LONGEST_LABEL = 60
_PERCENTILES = ("p50", "p90", "p99")


class Bar(NamedTuple):
    """One bar: ``size`` in any unit, ``says`` what stands beside it, ``kind`` its colour."""

    label: str
    size: float
    says: str
    kind: str = "artifact"


def bars(caption: str, given: Sequence[Bar]) -> Markup:
    """Bars over one scale that begins at 0; nothing where there are none."""
    longest = max((bar.size for bar in given), default=0.0)
    if longest <= 0:
        return Markup("")
    rows = [
        tag(
            "tr",
            tag("th", _shortened(bar.label), scope="row", title=bar.label),
            tag("td", _drawn(100 * bar.size / longest, bar.kind), class_="bar"),
            tag("td", bar.says, class_="number"),
        )
        for bar in given
    ]
    return tag("table", tag("caption", caption), tag("tbody", *rows), class_="chart")


def latency_chart(benchmark: Benchmark) -> Markup:
    """Artifact and baseline, percentile by percentile."""
    sides = (("artifact", benchmark.artifact), ("baseline", benchmark.baseline))
    return bars(
        f"Latency of one inference, milliseconds: {benchmark.artifact.name} and {benchmark.baseline.name}",
        [
            Bar(f"{name} {side}", value, f"{value:.4g}", side)
            for name in _PERCENTILES
            for side, timing in sides
            for value in [float(getattr(timing, f"{name}_ms"))]
        ],
    )


def layer_chart(layers: Sequence[Layer]) -> Markup:
    """The layers that take longest."""
    timed = sorted(((layer.time_us, layer) for layer in layers if layer.time_us), key=lambda one: -one[0])
    shown = timed[:MOST_LAYERS]
    which = "" if len(shown) == len(timed) else f", the {len(shown)} longest of {len(timed)}"
    return bars(
        f"Time per layer, microseconds{which}",
        [Bar(f"{layer.name} ({layer.type})", time, f"{time:.4g}{_share(layer.share)}") for time, layer in shown],
    )


def operator_chart(layers: Sequence[Layer]) -> Markup:
    """The share of time that each type of operator takes."""
    times: dict[str, float] = {}
    for layer in layers:
        if layer.time_us:
            times[layer.type] = times.get(layer.type, 0.0) + layer.time_us
    whole = sum(times.values())
    ordered = sorted(times.items(), key=lambda item: -item[1])
    shown, rest = ordered[:MOST_TYPES], sum(time for _, time in ordered[MOST_TYPES:])
    if rest:
        shown.append((f"{len(ordered) - MOST_TYPES} other types", rest))
    return bars(
        "Share of time per operator type", [Bar(name, time / whole, f"{time / whole:.1%}") for name, time in shown]
    )


def _share(share: float | None) -> str:
    return "" if share is None else f" ({share:.1%})"


def _shortened(label: str) -> str:
    """The end of a long label: that is where names of layers differ."""
    return label if len(label) <= _LONGEST_LABEL else "…" + label[1 - _LONGEST_LABEL :]


def _drawn(percent: float, kind: str) -> Markup:
    bar = tag("rect", width=f"{percent:.2f}", height=10, class_=kind)
    return tag("svg", bar, viewBox="0 0 100 10", preserveAspectRatio="none", aria_hidden="true")

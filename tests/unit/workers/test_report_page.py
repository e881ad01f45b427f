"""report.html: whole without scripts and other files, with every part missing, and whatever a model calls its nodes."""

from __future__ import annotations

from html.parser import HTMLParser
from typing import Any

import pytest

from enginehouse.exploration import Candidate, Exploration, Stage
from enginehouse.report import (
    Benchmark,
    Calibration,
    Layer,
    LossyLayer,
    OtherBaseline,
    OutputVerification,
    PhaseTiming,
    PrunedLayer,
    Pruning,
    Report,
    TaskMetric,
    Throughput,
    Timing,
    Verification,
)
from enginehouse.request import Recipe
from enginehouse.states import Phase
from enginehouse.targets import Target, parse_target
from workers.pipeline.report_page import render
from workers.pipeline.report_page.charts import MOST_LAYERS, MOST_TYPES
from workers.pipeline.report_page.page import MOST_ROWS

TAGS = {
    "html", "head", "meta", "title", "style", "body", "main", "section", "h1", "h2", "p", "ul", "li", "div", "table",
    "caption", "thead", "tbody", "tr", "th", "td", "svg", "rect",
}  # fmt: skip
ATTRIBUTES = {
    "lang", "charset", "http-equiv", "content", "name", "class", "scope", "title", "viewbox", "preserveaspectratio",
    "aria-hidden", "width", "height",
}  # fmt: skip
HOSTILE = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style></title></td><svg onload=alert(1)>",
    "'onmouseover='alert(1)",
    "&lt;b&gt;&amp;",
    "<!--",
    "]]>",
]


class Page(HTMLParser):
    """Reads a page and insists that every element is closed in its order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.attributes: dict[str, list[str | None]] = {}
        self.texts: list[str] = []
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            self.attributes.setdefault(name, []).append(value)
        if tag != "meta":
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.texts.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")

    @property
    def text(self) -> str:
        return "\n".join(self.texts)


def recipe(**more: Any) -> Recipe:
    return Recipe(**({"model": "a" * 64, "target": parse_target("openvino:int8")} | more))


def bare(**more: Any) -> Report:
    return Report(**({"model": "a" * 64, "target": "openvino:int8", "size": 1234567} | more))


def verification(name: str = "y", agrees: bool = True) -> Verification:
    output = OutputVerification(
        name=name, dtype="float32", shape=[1], max_abs_error=0.5, cosine=0.9, agrees=agrees, note="" if agrees else name
    )
    shapes = {name: [1, 4]}
    return Verification(
        reference=name,
        inputs=name,
        samples=4,
        shapes=shapes,
        tolerance={"cosine": 0.99},
        outputs=[output],
        agrees=agrees,
    )


def benchmark(name: str = "runtime", **more: Any) -> Benchmark:
    numbers = {"count": 9, "p50_ms": 1.25, "p90_ms": 2.0, "p99_ms": 3.0, "mean_ms": 1.5, "min_ms": 0.5}
    timing = Timing(name=name, load_ms=7.0, first_ms=8.0, **numbers)
    given = {
        "artifact": timing, "baseline": timing, "speedup": 2.0, "warmup": 3, "shapes": {name: [1]}, "threads": 2,
        "affinity": [0], "settings": {name: name}, "load_before": 0.1, "load_after": 0.2, "disturbed": False,
    }  # fmt: skip
    return Benchmark(**(given | more))


def full(name: str) -> Report:
    """A report in which everything that a stranger can name has this name."""
    target = Target(backend="openvino", precision="int8", options={name: name})
    side = Throughput(side="artifact", streams=2, threads=2, batch=4, count=9, per_s=10.0)
    return bare(
        target=name,
        verification=verification(name),
        intermediate=verification(name, agrees=False),
        metrics=[TaskMetric(name=name, source=1, artifact=0.9, loss=0.1, relative_loss=0.1, samples=5)],
        benchmark=benchmark(
            name, throughput=[side], disturbed=True, disturbance=name,
            others=[OtherBaseline(name=name, reason=name), OtherBaseline(name=name, speedup=1.0, disturbance=name)],
        ),
        layers=[Layer(name=name, type=name, precision=name, fused=[name, name], time_us=3.0, share=1.0)],
        lossy_layers=[LossyLayer(node=name, type=name, sqnr_db=1.0, cosine=0.5, drop=40.0)],
        exploration=Exploration(
            goal="latency", budget_s=1, spent_s=1, samples=1, reasons=[name],
            candidates=[Candidate(target=target, stage=Stage.RECOMMENDED, reason=name)],
        ),
        removed=[name], route=[name], kept_float=[name], notes=[name],
        calibration=Calibration(origin=name, samples=1, method=name),
        pruning=Pruning(pattern=name, zeroed=0.5, layers=[PrunedLayer(name=name, zeroed=0.5)], skipped=[name]),
        environment={name: {name: [name, {name: name}]}},
        phases=[PhaseTiming(phase=Phase.IMPORT, seconds=1.0)],
    )  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_given_any_name_i_expect_it_as_text_and_nothing_else(name: str) -> None:
    target = Target(backend="openvino", precision="int8", options={name: name})
    page = Page(render(full(name), recipe(target=target, shapes={name: (1, 4)})))
    assert page.tags <= TAGS
    assert set(page.attributes) <= ATTRIBUTES
    assert page.text.count(name) >= 25, "it stands in the page as it is"
    assert f"{name} ({name})" in page.attributes["title"], "as an attribute too"


def test_it_needs_nothing_but_itself_and_runs_nothing() -> None:
    page = Page(render(full("x"), recipe()))
    assert not page.tags & {"script", "link", "img", "iframe", "object", "a"}
    assert page.attributes["content"][0] == "default-src 'none'; style-src 'unsafe-inline'"
    (style,) = [text for text in page.texts if "color-scheme" in text]
    assert not any(word in style for word in ("url(", "@import", "<"))
    assert "prefers-color-scheme: dark" in style
    assert "@media print" in style


def test_a_conversion_alone_has_a_page_that_says_what_is_missing() -> None:
    text = Page(render(bare(), recipe())).text
    assert "not verified" in text
    assert "The artifact was not verified." in text
    assert "The artifact was not timed." in text
    assert "1,234,567 bytes" in text
    assert "Layer table" not in text
    assert "Intermediate" not in text


def test_the_speed_up_stands_with_its_confidence_interval() -> None:
    text = Page(render(bare(benchmark=benchmark(speedup_low=1.9, speedup_high=2.25)), recipe())).text
    assert "2.00x (1.90 to 2.25) the speed of runtime" in text
    assert "2.00x the speed of runtime" in Page(render(bare(benchmark=benchmark()), recipe())).text


def test_every_other_baseline_stands_with_its_speed_up_or_why_there_is_none() -> None:
    others = [
        OtherBaseline(name="openvino:fp32", p50_ms=1.5, speedup=1.2, speedup_low=1.125, speedup_high=1.25),
        OtherBaseline(name="onnxruntime:fp32", speedup=3.0, disturbed=True, disturbance="a noisy neighbour"),
        OtherBaseline(name="litert:fp32", reason="it knows no such operator"),
    ]
    text = Page(render(bare(benchmark=benchmark(others=others)), recipe())).text
    assert "1.20x (1.12 to 1.25) the speed of openvino:fp32" in text
    assert "3.00x the speed of onnxruntime:fp32, disturbed" in text
    assert "a noisy neighbour" in text
    assert "not measured against litert:fp32" in text
    assert "it knows no such operator" in text


def test_a_failed_verification_is_said_first() -> None:
    text = Page(render(bare(verification=verification("logits", agrees=False)), recipe())).text
    assert text.index("disagrees with the source model") < text.index("Verification")
    assert "agrees with the source model" not in text.replace("disagrees with the source model", "")
    assert "0.9" in text
    assert "cosine" in text


def test_the_charts_show_the_longest_layers_and_the_share_of_each_type() -> None:
    layers = [Layer(name=f"layer{n}", type=f"Type{n % 20}", time_us=float(n + 1), share=0.01) for n in range(40)]
    layers.append(Layer(name="untimed", type="Other"))
    page = Page(render(bare(layers=layers, benchmark=benchmark()), recipe()))
    assert f"Time per layer, microseconds, the {MOST_LAYERS} longest of 40" in page.text
    assert f"{20 - MOST_TYPES} other types" in page.text
    widths = [float(width or "nan") for width in page.attributes["width"]]
    assert len(widths) == 6 + MOST_LAYERS + MOST_TYPES + 1
    assert all(0 < width <= 100 for width in widths)
    assert page.text.index("layer39 (Type19)") < page.text.index("layer38 (Type18)")
    assert "untimed" in page.text, "the layer table has it all the same"


def test_without_times_there_is_no_chart_of_layers() -> None:
    page = Page(
        render(bare(layers=[Layer(name="a", type="Conv"), Layer(name="b", type="Conv", time_us=0.0)]), recipe())
    )
    assert "svg" not in page.tags
    assert "Time per layer" not in page.text


def test_a_model_of_very_many_layers_has_a_page_of_bounded_length() -> None:
    layers = [Layer(name=f"n{n}", type="Conv", time_us=1.0) for n in range(MOST_ROWS + 5)]
    text = render(bare(layers=layers), recipe())
    assert f"The first {MOST_ROWS} of {MOST_ROWS + 5} layers" in text
    assert text.count(">n1999<") == 1
    assert ">n2000<" not in text


def test_names_of_inputs_are_not_altered() -> None:
    page = Page(render(bare(verification=verification("input_ids")), recipe(shapes={"input_ids": (1, 8)})))
    assert page.text.count("shapes.input_ids") == 2


def test_the_same_report_makes_the_same_page() -> None:
    assert render(full("x"), recipe()) == render(full("x"), recipe())

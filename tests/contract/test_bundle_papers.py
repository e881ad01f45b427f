"""What a real bundle holds beside the model: the report as JSON and as a page, and the request."""

from __future__ import annotations

import json

import pytest
from contract.backends_models import GOOD, order, write
from jsonschema import Draft202012Validator

import workers.child.quiet  # noqa: F401 - before any toolchain
from enginehouse.bundle import canonical_json
from enginehouse.comparison import Change, Subject, compare
from enginehouse.report_schema import render
from enginehouse.request import JobRequest, Recipe, fields_of
from scheduler.cachekey import request_key
from workers.pipeline import run
from workers.pipeline.order import Order
from workers.pipeline.run import Result

TARGETS = ("openvino:fp32", "openvino:fp16", "onnxruntime:fp32")


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Order, Result]]:
    folder = tmp_path_factory.mktemp("papers")
    path = write(GOOD["convolution"](), folder / "in")
    orders = {target: order(path, target, folder / target.replace(":", "-"), seed=7) for target in TARGETS}
    return {target: (one, run(one, lambda _: None)) for target, one in orders.items()}


@pytest.mark.parametrize("target", TARGETS)
def test_report_page_and_request_are_in_the_bundle(built: dict[str, tuple[Order, Result]], target: str) -> None:
    told, result = built[target]
    roles = {file.path: file.role for file in result.manifest.files}
    assert {
        name: roles[name] for name in ("report.json", "report.html", "request.json", "reproduce.py")
    } == dict.fromkeys(("report.json", "report.html", "request.json", "reproduce.py"), "report")
    Draft202012Validator(json.loads(render())).validate(json.loads((told.bundle / "report.json").read_bytes()))
    page = (told.bundle / "report.html").read_text(encoding="utf-8")
    assert result.report.verification is not None
    assert result.report.verification.outputs[0].name in page
    assert result.report.layers[0].name in page
    assert page.count("<svg") > 6


@pytest.mark.parametrize("target", TARGETS)
def test_the_request_in_the_bundle_asks_for_the_same_build(built: dict[str, tuple[Order, Result]], target: str) -> None:
    told, _ = built[target]
    data = (told.bundle / "request.json").read_bytes()
    recipe = Recipe.model_validate_json(data)
    assert recipe == told.recipe
    assert data == canonical_json(told.recipe.model_dump(mode="json")), "the same request has the same bytes"
    again = JobRequest.model_validate(fields_of(recipe))
    common = again.model_dump(include=set(Recipe.model_fields) - {"target"})
    (wanted,) = again.targets
    assert request_key(Recipe(target=wanted, **common)) == request_key(told.recipe)


def test_real_builds_are_compared_by_the_nodes_of_their_source(built: dict[str, tuple[Order, Result]]) -> None:
    subjects = [
        Subject(f"build_{n}", result.manifest.digest(), told.recipe, result.manifest, result.report)
        for n, (told, result) in enumerate(built.values())
    ]
    found = compare(subjects)
    assert {row.field for row in found.request} == {"target.backend", "target.precision"}
    assert "toolchain.onnxruntime" in {row.field for row in found.environment}
    assert (found.same_hardware, found.accuracy_caveats) == (True, [])
    rows = {metric.name: metric for metric in found.metrics}
    assert rows["size"].best is not None
    assert None not in rows["p50_ms"].values + rows["speedup"].values + rows["cosine"].values
    halved, other = found.layers
    assert halved.counts[Change.SAME] + halved.counts[Change.PRECISION] > len(halved.changes) / 2
    shared = [change for change in other.changes if change.base and change.other]
    assert any(
        base.name != mine.name for change in shared for base, mine in zip(change.base, change.other, strict=False)
    )

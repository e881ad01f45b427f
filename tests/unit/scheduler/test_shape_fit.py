"""Which shapes an artifact is known to take."""

from __future__ import annotations

from typing import Any

import pytest

from enginehouse.reasons import Reason
from enginehouse.report import Report, Verification
from enginehouse.request import Recipe
from enginehouse.shapes import ShapeRange, Shapes
from enginehouse.signature import TensorSpec
from enginehouse.targets import parse_target
from scheduler.shape_fit import shape_refusal

INPUTS = [
    TensorSpec(name="x", dtype="float32", shape=["N", 3]),
    TensorSpec(name="fixed", dtype="float32", shape=[1, 3]),
]
PROFILE = {"x": ShapeRange(min=(1, 3), opt=(4, 3), max=(8, 3))}


def takes(target: str, asked: Shapes, fed: dict[str, list[int]] | None = None, **more: Any) -> bool:
    parsed = parse_target(target).model_copy(update={"options": more.pop("options", {})})
    verification = Verification(
        reference="r", inputs="seeded", samples=1, shapes=fed or {}, tolerance={}, outputs=[], agrees=True
    )
    report = Report(model="0" * 64, target=target, size=1, verification=verification)
    refusal = shape_refusal(parsed, Recipe(model="0" * 64, target=parsed, **more), report, INPUTS, asked)
    assert refusal is None or (refusal.reason is Reason.SHAPES and "x [9, 3]" in refusal.text)
    return refusal is None


@pytest.mark.parametrize(
    ("target", "options", "any_shape"),
    [
        ("openvino:fp32", {}, True), ("openvino:fp32", {"reshape": "static"}, False),
        ("openvino:fp32", {"reshape": "bounded"}, False), ("onnxruntime:fp32", {}, True),
        ("litert:fp32", {}, False), ("litert:fp32", {"reshape": "dynamic"}, True), ("tensorrt:fp32", {}, False),
    ],
)  # fmt: skip
def test_open_dimensions_take_any_shape_and_others_what_they_were_fed(
    target: str, options: dict[str, Any], any_shape: bool
) -> None:
    assert takes(target, {"x": (9, 3)}, options=options) is any_shape
    assert takes(target, {"x": (9, 3)}, fed={"x": [9, 3]}, options=options)
    assert takes(target, {"x": (9, 3)}, shapes={"x": (9, 3)}, options=options)
    assert takes(target, {}, options=options)
    assert takes(target, {"fixed": (1, 3)}, options=options), "the model's own fixed shape"


@pytest.mark.parametrize(
    ("target", "options", "bounded"),
    [("tensorrt:fp16", {}, True), ("openvino:fp16", {"reshape": "bounded"}, True), ("litert:fp16", {}, False)],
)
def test_a_profile_bounds_what_is_made_for_it(target: str, options: dict[str, Any], bounded: bool) -> None:
    assert takes(target, {"x": (9, 3)}, profiles=(PROFILE,), options=options) is False
    larger = {"x": ShapeRange(min=(9, 3), opt=(9, 3), max=(9, 3))}
    assert takes(target, {"x": (9, 3)}, profiles=(PROFILE, larger), options=options) is bounded

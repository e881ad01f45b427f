"""Whether an artifact takes the shapes that a host will feed. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from enginehouse.reasons import Reason
from enginehouse.report import Report
from enginehouse.request import Recipe
from enginehouse.rules import Finding
from enginehouse.shapes import Profile, Shape, Shapes
from enginehouse.signature import TensorSpec
from enginehouse.targets import Target


def shape_refusal(
    target: Target, recipe: Recipe, report: Report, inputs: Sequence[TensorSpec], shapes: Shapes
) -> Finding | None:
    """A refusal where it is not known to take these shapes of the model's dynamic inputs.

    What it was verified, timed or built with it takes; an artifact that keeps the source's open dimensions takes any.
    ``target``: what it is, which the recipe of an ``auto`` does not say.
    """
    asked = {spec.name: shapes[spec.name] for spec in inputs if spec.is_dynamic() and spec.name in shapes}
    fed: list[Mapping[str, Sequence[int]]] = [recipe.shapes]
    fed += [part.shapes for part in (report.verification, report.benchmark) if part is not None]
    if not asked or any(_same(asked, one) for one in fed) or _open(target):
        return None
    if _bounded(target) and any(_within(asked, profile) for profile in recipe.profiles):
        return None
    told = ", ".join(f"{name} {list(shape)}" for name, shape in asked.items())
    return Finding(
        Reason.SHAPES, f"it is not known to take {told}", "Build it with these shapes, or with a profile that has them."
    )


def _open(target: Target) -> bool:
    """Whether open dimensions of the source stay open."""
    if target.backend == "openvino":
        return str(target.options.get("reshape", "dynamic")) == "dynamic"
    return target.backend == "onnxruntime" or (
        target.backend == "litert" and target.options.get("reshape") == "dynamic"
    )


def _bounded(target: Target) -> bool:
    return target.backend == "tensorrt" or target.options.get("reshape") == "bounded"


def _same(asked: Shapes, fed: Mapping[str, Sequence[int]]) -> bool:
    return all(list(fed.get(name, ())) == list(shape) for name, shape in asked.items())


def _within(asked: Shapes, profile: Profile) -> bool:
    return all(name in profile and _between(shape, profile, name) for name, shape in asked.items())


def _between(shape: Shape, profile: Profile, name: str) -> bool:
    low, high = profile[name].min, profile[name].max
    return len(shape) == len(low) and all(a <= b <= c for a, b, c in zip(low, shape, high, strict=True))

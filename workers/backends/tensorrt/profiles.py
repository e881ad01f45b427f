"""Optimisation profiles: which shapes an engine takes, and which of its profiles an inference runs in. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from enginehouse.errors import BoundsRequired, CompileFailed
from enginehouse.shapes import Profile, ShapeRange, unbounded
from enginehouse.signature import TensorSpec

Shape = tuple[int, ...]


def profiles_of(
    inputs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]], asked: Sequence[Profile]
) -> tuple[Profile, ...]:
    """One range per dynamic input and profile; none where every input is static.

    Given shapes without profiles become one profile that takes these shapes alone. Raises BoundsRequired, which
    names the dimensions that nothing bounds.
    """
    dynamic = [spec for spec in inputs if spec.is_dynamic()]
    if not dynamic:
        return ()
    found = []
    for profile in asked or [{}]:
        if names := unbounded(inputs, shapes, [profile]):
            raise BoundsRequired(f"TensorRT needs bounds for {', '.join(names)}", field="profiles", dimensions=names)
        found.append({spec.name: profile.get(spec.name) or _only(shapes[spec.name]) for spec in dynamic})
    return tuple(found)


def takes(profiles: Sequence[Profile], shapes: Mapping[str, Shape]) -> bool:
    """Whether any profile takes these shapes; without profiles every input is static."""
    return not profiles or any(not _misfits(profile, shapes) for profile in profiles)


def choose(profiles: Sequence[Profile], shapes: Mapping[str, Shape], active: int = 0) -> int:
    """The profile to run these shapes in: the one tuned for a size nearest to them; the active one where it is as near.

    Raises CompileFailed, which names the input and the ranges, where none takes them.
    """
    if not profiles:
        return active
    fitting = [index for index, profile in enumerate(profiles) if not _misfits(profile, shapes)]
    if not fitting:
        misfit = _misfits(profiles[0], shapes)[0]
        ranges = " or ".join(_range(profile[misfit]) for profile in profiles if misfit in profile)
        given = list(shapes[misfit]) if misfit in shapes else "nothing"
        raise CompileFailed(
            f"no optimisation profile takes '{misfit}' as {given}: the engine was built for {ranges}",
            advice="Build with a profile that holds this shape.",
            input=misfit,
        )
    return min(fitting, key=lambda index: (_distance(profiles[index], shapes), index != active))


def _only(shape: Sequence[int]) -> ShapeRange:
    fixed = tuple(shape)
    return ShapeRange(min=fixed, opt=fixed, max=fixed)


def _misfits(profile: Profile, shapes: Mapping[str, Shape]) -> list[str]:
    return [name for name, one in profile.items() if name not in shapes or not _within(one, shapes[name])]


def _within(one: ShapeRange, shape: Shape) -> bool:
    return len(shape) == len(one.opt) and all(
        low <= size <= high for low, size, high in zip(one.min, shape, one.max, strict=True)
    )


def _distance(profile: Profile, shapes: Mapping[str, Shape]) -> float:
    """How far the shapes are from those that the profile was tuned for: the ratios of sizes, summed as logarithms."""
    return sum(
        abs(math.log(max(size, 1) / max(usual, 1)))
        for name, one in profile.items()
        for size, usual in zip(shapes[name], one.opt, strict=True)
    )


def _range(one: ShapeRange) -> str:
    return f"{list(one.min)} to {list(one.max)}"

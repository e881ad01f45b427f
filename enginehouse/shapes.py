"""Shapes that a request gives for inputs with dynamic dimensions: ranges, profiles, and what may be wrong with them.

Pure: signatures and numbers in, profiles or an error out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.errors import InvalidShapes
from enginehouse.signature import TensorSpec

Size = Annotated[int, Field(ge=1, le=2**31 - 1)]
Shape = tuple[Size, ...]
Shapes = dict[str, Shape]
"""Input name to a full shape."""


class ShapeRange(BaseModel):
    """The smallest, the usual and the largest shape of one input. An engine is tuned for the usual one."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    min: Shape
    opt: Shape
    max: Shape


Profile = dict[str, ShapeRange]
"""Input name to its range. Every input with dynamic dimensions is in it."""


def has_rank(spec: TensorSpec) -> bool:
    """Whether the number of dimensions is known. TorchScript and a few ONNX files do not say it."""
    return spec.shape != [None]


def check_shape(spec: TensorSpec, shape: Sequence[int], field: str) -> None:
    """Raise InvalidShapes unless the input takes this shape."""
    if not has_rank(spec):
        return
    fits = len(shape) == len(spec.shape) and all(
        not isinstance(dim, int) or dim < 1 or dim == size for dim, size in zip(spec.shape, shape, strict=True)
    )
    if not fits:
        raise InvalidShapes(f"{field}: '{spec.name}' takes {spec.shape}, not {list(shape)}", field=field)


def check_shapes(inputs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]], field: str = "shapes") -> None:
    """Raise InvalidShapes for a name that is no input, or a shape that does not fit."""
    specs = {spec.name: spec for spec in inputs}
    for name, shape in shapes.items():
        if name not in specs:
            known = ", ".join(specs)
            raise InvalidShapes(f"{field}: the model has no input '{name}'; it has {known}", field=f"{field}.{name}")
        check_shape(specs[name], shape, f"{field}.{name}")


def check_profile(inputs: Sequence[TensorSpec], profile: Profile, field: str) -> None:
    """Raise InvalidShapes unless min ≤ opt ≤ max everywhere, every shape fits, and no dynamic input is left out."""
    for bound in ("min", "opt", "max"):
        check_shapes(inputs, {name: getattr(one, bound) for name, one in profile.items()}, f"{field}.{bound}")
    for name, one in profile.items():
        ordered = len(one.min) == len(one.opt) == len(one.max) and all(
            low <= usual <= high for low, usual, high in zip(one.min, one.opt, one.max, strict=True)
        )
        if not ordered:
            raise InvalidShapes(
                f"{field}: '{name}' needs min ≤ opt ≤ max in every dimension; "
                f"it has {list(one.min)}, {list(one.opt)}, {list(one.max)}",
                field=f"{field}.{name}",
            )
    missing = [spec.name for spec in inputs if spec.is_dynamic() and spec.name not in profile]
    if missing:
        raise InvalidShapes(
            f"{field}: no range for the dynamic input {', '.join(missing)}", field=field, inputs=missing
        )


def profile_of(observed: Sequence[Shapes]) -> Profile:
    """The profile that observed shapes lie in: smallest and largest size of each dimension, and the commonest shape.

    Raises InvalidShapes when the observations are of different inputs or ranks.
    """
    names = list(observed[0])
    found: Profile = {}
    for name in names:
        shapes = [one.get(name, ()) for one in observed]
        if len({len(shape) for shape in shapes}) > 1:
            raise InvalidShapes(
                f"observed_shapes: '{name}' has different ranks, or is left out", field="observed_shapes"
            )
        usual = Counter(shapes).most_common(1)[0][0]
        columns = list(zip(*shapes, strict=True))
        found[name] = ShapeRange(
            min=tuple(min(column) for column in columns), opt=usual, max=tuple(max(column) for column in columns)
        )
    return found


def unbounded(
    inputs: Sequence[TensorSpec], shapes: Mapping[str, Sequence[int]], profiles: Sequence[Profile]
) -> list[str]:
    """Names ('input[axis] symbol') of the dynamic dimensions that neither a given shape nor a profile bounds."""
    given = set(shapes) | {name for profile in profiles for name in profile}
    found = []
    for spec in inputs:
        if spec.name in given:
            continue
        for axis, dim in enumerate(spec.shape):
            if not isinstance(dim, int) or dim < 1:
                found.append(f"{spec.name}[{axis}]" + (f" {dim}" if isinstance(dim, str) else ""))
    return found

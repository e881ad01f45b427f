"""The shapes that an artifact takes: as dynamic as the source, fixed, or between bounds."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import openvino

from enginehouse.errors import InvalidShapes
from enginehouse.shapes import Profile
from workers.backends.base import first_line
from workers.backends.openvino.failures import telling_line
from workers.backends.workpiece import Workpiece

_FILE = "shapes.json"

Bounds = dict[str, list[tuple[int, int]]]
"""Input name to the smallest and largest size of each dimension."""


def reshape(piece: Workpiece, model: Any) -> None:
    """Change ``model``'s input shapes as the option says, and note it. Raises InvalidShapes."""
    kind = piece.options.reshape
    if kind == "dynamic":
        return
    moving = [name(port) for port in model.inputs if port.get_partial_shape().is_dynamic]
    if not moving:
        return
    wanted = bounded(piece.profiles) if kind == "bounded" else fixed(piece, moving)
    missing = [one for one in moving if one not in wanted]
    if missing:
        raise InvalidShapes(f"reshape={kind}: no shape for the dynamic input {', '.join(missing)}", inputs=missing)
    shapes = {one: openvino.PartialShape([openvino.Dimension(*pair) for pair in wanted[one]]) for one in moving}
    text = ", ".join(f"{one} {shape}" for one, shape in shapes.items())
    try:
        model.reshape(shapes)
    except RuntimeError as error:
        reason = telling_line(str(error)) or first_line(error)
        raise InvalidShapes(f"the model does not take the shapes {text}: {reason}", field="shapes") from error
    (piece.work / _FILE).write_text(json.dumps({one: str(shape) for one, shape in shapes.items()}))
    piece.notes.say(f"{'fixed' if kind == 'static' else 'bounded'} shapes: {text}")


def found_shapes(work: Path) -> dict[str, str]:
    """What ``reshape`` made in this folder: input name to '[1..4,3,224,224]'; empty where it made nothing."""
    path = work / _FILE
    return dict(json.loads(path.read_text())) if path.exists() else {}


def name(port: Any) -> str:
    """The port's one name."""
    return str(port.get_any_name())


def bounded(profiles: Sequence[Profile]) -> Bounds:
    """From the smallest to the largest size over all profiles. Raises InvalidShapes without profiles."""
    if not profiles:
        raise InvalidShapes(
            "reshape=bounded takes its bounds from profiles, and the job has none",
            advice="Give 'profiles' (min, opt, max per input) or 'observed_shapes'.",
            field="profiles",
        )
    found: Bounds = {}
    for profile in profiles:
        for one, range_ in profile.items():
            pairs = list(zip(range_.min, range_.max, strict=True))
            known = found.get(one, pairs)
            found[one] = [(min(a, c), max(b, d)) for (a, b), (c, d) in zip(known, pairs, strict=True)]
    return found


def fixed(piece: Workpiece, moving: Sequence[str]) -> Bounds:
    """The job's shapes, else the first profile's usual ones, else those of the first sample that the source runs on."""
    shapes: dict[str, Sequence[int]] = dict(piece.shapes)
    if piece.profiles:
        shapes = {one: range_.opt for one, range_ in piece.profiles[0].items()} | shapes
    if not all(one in shapes for one in moving):
        first: Mapping[str, Any] = piece.samples.typical()[0]
        shapes = {one: array.shape for one, array in first.items()} | shapes
    return {one: [(size, size) for size in shape] for one, shape in shapes.items()}

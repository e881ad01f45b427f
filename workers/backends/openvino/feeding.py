"""The same sample twice: as an artifact with pre-processing takes it, and as the source model does.

The artifact's own pre-processing is OpenVINO's; this is NumPy alone, so that one proves the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from workers.backends.base import Array, Arrays
from workers.backends.openvino.options import Preprocess
from workers.backends.openvino.resize import resized

_TYPES = {"u8": ("uint8", 255), "u16": ("uint16", 65535), "f32": ("float32", None)}
"""Element type to NumPy's name for it, and the largest value of an integer."""

_LARGER = (1.25, 1.5)
"""Height and width of a picture that is made up for a resize from any size, in the model's own."""


def fed(feeds: Arrays, wanted: Mapping[str, Preprocess]) -> tuple[dict[str, Array], dict[str, Array]]:
    """A sample as the artifact takes it, and the model's own input that follows from it.

    The first is as near to the given sample as its element type allows; the second is what the source is run on.
    """
    mine, theirs = dict(feeds), dict(feeds)
    for name, one in wanted.items():
        mine[name] = raw(feeds[name], one)
        theirs[name] = processed(mine[name], one, feeds[name].shape).astype(feeds[name].dtype)
    return mine, theirs


def raw(array: Array, one: Preprocess) -> Array:
    """What the artifact would make about ``array`` of."""
    values = np.asarray(array, np.float64) * _spread(one.scale, one, 1.0) + _spread(one.mean, one, 0.0)
    values = _turned(values, one)
    if one.resize != "none":
        values = _resized(values, one.model_layout, one.size or _larger(values.shape, one.model_layout), "nearest")
    values = values.transpose([one.model_layout.index(axis) for axis in one.layout])
    kind, largest = _TYPES[one.element_type]
    if largest:
        values = np.clip(np.rint(values), 0, largest)
    return np.ascontiguousarray(values.astype(kind))


def processed(array: Array, one: Preprocess, shape: Sequence[int]) -> Array:
    """The model's input, float32 of ``shape``, from what the artifact is fed with."""
    values = array.astype(np.float64).transpose([one.layout.index(axis) for axis in one.model_layout])
    values = _turned(values, one)
    if one.resize != "none":
        size = shape[one.model_layout.index("h")], shape[one.model_layout.index("w")]
        values = _resized(values, one.model_layout, size, one.resize)
    values = (values - _spread(one.mean, one, 0.0)) / _spread(one.scale, one, 1.0)
    return values.astype(np.float32)


def _spread(numbers: Sequence[float], one: Preprocess, neutral: float) -> Array:
    """Numbers per channel along the model input's channel axis."""
    if len(numbers) < 2:
        return np.asarray(numbers[0] if numbers else neutral)
    shape = [1] * len(one.model_layout)
    shape[one.model_layout.index("c")] = len(numbers)
    return np.asarray(numbers).reshape(shape)


def _turned(values: Array, one: Preprocess) -> Array:
    return values if one.color == "keep" else np.flip(values, one.model_layout.index("c"))


def _larger(shape: Sequence[int], layout: str) -> tuple[int, int]:
    return round(shape[layout.index("h")] * _LARGER[0]), round(shape[layout.index("w")] * _LARGER[1])


def _resized(values: Array, layout: str, size: tuple[int, int], how: str) -> Array:
    for axis, length in zip("hw", size, strict=True):
        values = resized(values, layout.index(axis), length, how)
    return values

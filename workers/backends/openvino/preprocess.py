"""Pre-processing inside the artifact: it is fed with a camera's bytes, and makes the model's input itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import openvino
from openvino.preprocess import ColorFormat, PrePostProcessor, ResizeAlgorithm

from enginehouse.errors import InvalidOption
from workers.backends.openvino.options import Preprocess

_COLORS = {"bgr-to-rgb": (ColorFormat.BGR, ColorFormat.RGB), "rgb-to-bgr": (ColorFormat.RGB, ColorFormat.BGR)}
_RESIZES = {
    "linear": ResizeAlgorithm.RESIZE_LINEAR,
    "cubic": ResizeAlgorithm.RESIZE_CUBIC,
    "nearest": ResizeAlgorithm.RESIZE_NEAREST,
}


def check(model: Any, wanted: Mapping[str, Preprocess]) -> None:
    """Raise InvalidOption for what does not fit the model's inputs."""
    ports = {str(port.get_any_name()): port for port in model.inputs}
    for name, one in wanted.items():
        if name not in ports:
            raise _wrong(name, f"the model has no such input; it has {', '.join(ports)}")
        _check(name, one, ports[name])


def embed(model: Any, wanted: Mapping[str, Preprocess]) -> Any:
    """``model`` taking what the options say. Raises InvalidOption for a resize to a size that is not fixed."""
    ports = {str(port.get_any_name()): port for port in model.inputs}
    steps = PrePostProcessor(model)
    for name, one in wanted.items():
        shape = ports[name].get_partial_shape()
        if one.resize != "none" and any(shape[one.model_layout.index(axis)].is_dynamic for axis in "hw"):
            raise _wrong(name, f"a resize needs a fixed height and width; the shape is {shape}. Set reshape=static")
        _describe(steps.input(name), one, shape)
    return steps.build()


def _check(name: str, one: Preprocess, port: Any) -> None:
    shape = port.get_partial_shape()
    if not port.get_element_type().is_real():
        raise _wrong(name, f"only a float input can be made from something else; this one is {port.get_element_type()}")
    if shape.rank.is_dynamic or len(shape) != len(one.model_layout):
        raise _wrong(name, f"model_layout '{one.model_layout}' does not fit the shape {shape}")
    if "c" in one.model_layout:
        channels = shape[one.model_layout.index("c")]
        for what, given in (("mean", one.mean), ("scale", one.scale)):
            if len(given) > 1 and not (channels.is_static and channels.get_length() == len(given)):
                raise _wrong(name, f"{what} has {len(given)} numbers, the axis 'c' is {channels}")
        if one.color != "keep" and not (channels.is_static and channels.get_length() == 3):
            raise _wrong(name, f"colours can be turned where the axis 'c' is 3; it is {channels}")


def _wrong(name: str, why: str) -> InvalidOption:
    return InvalidOption(f"preprocess, '{name}': {why}", option="preprocess", input=name)


def _describe(step: Any, one: Preprocess, shape: Any) -> None:
    tensor = (
        step.tensor().set_element_type(getattr(openvino.Type, one.element_type)).set_layout(openvino.Layout(one.layout))
    )
    order = _COLORS.get(one.color)
    if order:
        tensor.set_color_format(order[0])
    if one.resize != "none" and one.size:
        sides = dict(zip("hw", one.size, strict=True))
        tensor.set_shape(
            openvino.PartialShape([sides.get(axis, shape[one.model_layout.index(axis)]) for axis in one.layout])
        )
    elif one.resize != "none":
        tensor.set_spatial_dynamic_shape()
    steps = step.preprocess().convert_element_type(openvino.Type.f32)
    if order:
        steps.convert_color(order[1])
    if one.resize != "none":
        steps.resize(_RESIZES[one.resize])
    if one.mean:
        steps.mean(list(one.mean) if len(one.mean) > 1 else one.mean[0])
    if one.scale:
        steps.scale(list(one.scale) if len(one.scale) > 1 else one.scale[0])
    step.model().set_layout(openvino.Layout(one.model_layout))

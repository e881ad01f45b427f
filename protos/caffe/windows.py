"""Where the windows of convolutions and poolings lie, as Caffe rounds and clips them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from protos.caffe.errors import CaffeError, UnknownLayer
from protos.caffe.net import Layer, Shape


@dataclass(frozen=True)
class Window:
    """Per spatial axis: sizes of the window, its steps, the padding before and after, and the number of places."""

    kernel: Shape
    stride: Shape
    pad: Shape
    end: Shape
    dilation: Shape
    out: Shape

    def overhang(self) -> bool:
        """Whether the last windows reach beyond an even padding, where rounding up put them."""
        return any(end > pad for pad, end in zip(self.pad, self.end, strict=True))


def convolution(layer: Layer, bottom: Shape, *, transposed: bool = False) -> Window:
    """The window of a Convolution, or of a Deconvolution. Raises CaffeError."""
    param = layer.param.convolution_param
    if param.axis != 1 or len(bottom) < 3:
        raise UnknownLayer(
            f"{layer.where}: axis {param.axis} of a {len(bottom)}-dimensional blob is no channel axis known here",
            layer=layer.name,
            type=layer.type,
            hint="Give the layer a blob (batch, channels, spatial axes …) and leave convolution_param.axis out.",
        )
    spatial = bottom[2:]
    kernel = _each(layer, param, "kernel_size", "kernel", None, len(spatial))
    stride = _each(layer, param, "stride", "stride", 1, len(spatial))
    pad = _each(layer, param, "pad", "pad", 0, len(spatial))
    dilation = _repeated(layer, "dilation", param.dilation, 1, len(spatial))
    out = []
    for size, window, step, margin, spread in zip(spatial, kernel, stride, pad, dilation, strict=True):
        extent = spread * (window - 1) + 1
        out.append(step * (size - 1) + extent - 2 * margin if transposed else (size + 2 * margin - extent) // step + 1)
    if min(out) < 1:
        raise CaffeError(f"{layer.where}: the window {list(kernel)} does not fit {list(bottom)}", layer=layer.name)
    return Window(kernel, stride, pad, pad, dilation, tuple(out))


def pooling(layer: Layer, bottom: Shape) -> Window:
    """The window of a Pooling (Caffe's PoolingLayer::Reshape): places are rounded up, and then clipped if padded."""
    param = layer.param.pooling_param
    if len(bottom) != 4:
        raise CaffeError(f"{layer.where}: takes 4 dimensions, not {list(bottom)}", layer=layer.name)
    if param.global_pooling:
        return Window(bottom[2:], (1, 1), (0, 0), (0, 0), (1, 1), (1, 1))
    kernel = _pair(param, "kernel_size", "kernel", 0)
    stride = _pair(param, "stride", "stride", 1)
    pad = _pair(param, "pad", "pad", 0)
    if min(kernel) < 1 or min(stride) < 1 or any(p >= k for p, k in zip(pad, kernel, strict=True)):
        raise CaffeError(
            f"{layer.where}: kernel {list(kernel)}, stride {list(stride)} and pad {list(pad)} are no pooling window",
            layer=layer.name,
        )
    up = param.round_mode == 0 and param.ceil_mode
    out, ends = [], []
    for size, window, step, margin in zip(bottom[2:], kernel, stride, pad, strict=True):
        room = size + 2 * margin - window
        places = (-(-room // step) if up else room // step) + 1
        if any(pad) and (places - 1) * step >= size + margin:
            places -= 1
        if places < 1 or (places - 1) * step >= size + margin:
            raise CaffeError(
                f"{layer.where}: a pooling window {list(kernel)} lies outside {list(bottom)}", layer=layer.name
            )
        out.append(places)
        ends.append(max(0, (places - 1) * step + window - size - margin))
    return Window(kernel, stride, pad, tuple(ends), (1, 1), tuple(out))


def _each(layer: Layer, param: Any, repeated: str, prefix: str, default: int | None, count: int) -> Shape:
    """A size per spatial axis, written once, once per axis, or as _h and _w."""
    high, wide = f"{prefix}_h", f"{prefix}_w"
    if param.HasField(high) or param.HasField(wide):
        if count != 2 or getattr(param, repeated):
            raise CaffeError(f"{layer.where}: {high} and {wide} do not go with {repeated}", layer=layer.name)
        values: Shape = (getattr(param, high), getattr(param, wide))
    else:
        values = _repeated(layer, repeated, getattr(param, repeated), default, count)
    if min(values) < (0 if prefix == "pad" else 1):
        raise CaffeError(f"{layer.where}: {repeated} {list(values)} is not possible", layer=layer.name)
    return values


def _repeated(layer: Layer, name: str, values: Any, default: int | None, count: int) -> Shape:
    found = tuple(values) or (() if default is None else (default,))
    if len(found) not in {1, count} or (name == "dilation" and min(found) < 1):
        raise CaffeError(f"{layer.where}: {name} is given {len(values)} times for {count} axes", layer=layer.name)
    return found * count if len(found) == 1 else found


def _pair(param: Any, both: str, prefix: str, default: int) -> Shape:
    if param.HasField(f"{prefix}_h") or param.HasField(f"{prefix}_w"):
        return getattr(param, f"{prefix}_h") or default, getattr(param, f"{prefix}_w") or default
    return (getattr(param, both) or default,) * 2

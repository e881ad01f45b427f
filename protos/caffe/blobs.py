"""Which weights each layer must have, and that it has them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from protos.caffe import windows
from protos.caffe.errors import CaffeError, UnknownLayer
from protos.caffe.net import Layer, Net, Shape
from protos.caffe.shapes import axis_of
from protos.caffe.weights import Blob, Weights


def check_weights(net: Net, shapes: Mapping[str, Shape], weights: Weights) -> dict[str, list[tuple[Blob, Shape]]]:
    """Layer name to its blobs, each with the shape that the layer wants it in; layers of known shapes only.

    Blobs that several layers share by a parameter's name are found at any of them. Raises CaffeError.
    """
    shared: dict[str, Blob] = {}
    found: dict[str, list[tuple[Blob, Shape]]] = {}
    for layer in net.layers:
        own = weights.get(layer.name, [])
        for spec, one in zip(layer.param.param, own, strict=False):
            if spec.name:
                shared.setdefault(spec.name, one)
    for layer in net.layers:
        wanted = wanted_blobs(layer, shapes)
        if not wanted:
            continue
        if layer.name in found:
            raise CaffeError(f"{layer.where}: another layer with weights has the same name", layer=layer.name)
        own = weights.get(layer.name, [])
        specs = list(layer.param.param)
        blobs = []
        for index, shape in enumerate(wanted):
            name = specs[index].name if index < len(specs) else ""
            blob: Blob | None = own[index] if index < len(own) else shared.get(name)
            if blob is None:
                have = f"{len(own)} of its {len(wanted)} blobs" if own else "no weights"
                raise CaffeError(f"{layer.where}: the .caffemodel has {have} for it", layer=layer.name)
            if not _fits(blob.shape, shape):
                raise CaffeError(
                    f"{layer.where}: takes weights of the shape {list(shape)}, the .caffemodel has {list(blob.shape)}",
                    layer=layer.name,
                )
            blobs.append((blob, shape))
        if len(own) > len(wanted):
            raise CaffeError(
                f"{layer.where}: takes {len(wanted)} blobs of weights, the .caffemodel has {len(own)}", layer=layer.name
            )
        found[layer.name] = blobs
    return found


def wanted_blobs(layer: Layer, shapes: Mapping[str, Shape]) -> list[Shape]:
    """The shapes of a layer's blobs; none where it has none, or where what it takes is not known."""
    rule = _RULES.get(layer.type)
    bottoms = [shapes[value] for value in layer.bottoms if value in shapes]
    if rule is None or len(bottoms) != len(layer.bottoms):
        return []
    try:
        return rule(layer, bottoms)
    except UnknownLayer:
        return []


def _fits(have: Shape, want: Shape) -> bool:
    """Whether a blob may be taken in the wanted shape: legacy blobs have ones before it (Blob::ShapeEquals)."""
    if math.prod(have) != math.prod(want):
        return False
    if len(want) <= 1:
        return True
    have, want = _without_ones(have), _without_ones(want)
    # Fully connected weights that were made of a convolution's, or the other way round, keep their rows.
    return have == want or (have[:1] == want[:1] and min(len(have), len(want)) == 2)


def _without_ones(shape: Shape) -> Shape:
    """The shape from its first size above one on."""
    return next((shape[index:] for index, size in enumerate(shape) if size != 1), ())


def _convolution(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    param = layer.param.convolution_param
    transposed = layer.type == "Deconvolution"
    window = windows.convolution(layer, bottoms[0], transposed=transposed)
    rows, columns = (bottoms[0][1], param.num_output) if transposed else (param.num_output, bottoms[0][1])
    return [(rows, columns // param.group, *window.kernel), *([(param.num_output,)] if param.bias_term else [])]


def _inner_product(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    param = layer.param.inner_product_param
    inner = math.prod(bottoms[0][axis_of(layer, param.axis, bottoms[0]) :])
    weights = (inner, param.num_output) if param.transpose else (param.num_output, inner)
    return [weights, *([(param.num_output,)] if param.bias_term else [])]


def _batch_norm(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    channels = (bottoms[0][1] if len(bottoms[0]) > 1 else 1,)
    return [channels, channels, (1,), *([channels, channels] if layer.param.batch_norm_param.scale_bias else [])]


def _affine(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    """Scale and Bias: a blob over some axes of the first bottom, unless a second bottom brings it."""
    scale = layer.type == "Scale"
    param = layer.param.scale_param if scale else layer.param.bias_param
    bias = scale and param.bias_term
    if len(bottoms) > 1:
        return [bottoms[1]] if bias else []
    first = axis_of(layer, param.axis, bottoms[0]) if param.num_axes else 0
    last = len(bottoms[0]) if param.num_axes == -1 else first + param.num_axes
    if param.num_axes < -1 or last > len(bottoms[0]):
        raise CaffeError(f"{layer.where}: {param.num_axes} axes from {first} on are not in the blob", layer=layer.name)
    return [bottoms[0][first:last]] * (2 if bias else 1)


def _prelu(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    return [() if layer.param.prelu_param.channel_shared else bottoms[0][1:2]]


def _normalize(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    return [() if layer.param.norm_param.channel_shared else bottoms[0][1:2]]


_RULES: dict[str, Callable[[Layer, Sequence[Shape]], list[Shape]]] = {
    "BatchNorm": _batch_norm,
    "Bias": _affine,
    "Convolution": _convolution,
    "Deconvolution": _convolution,
    "InnerProduct": _inner_product,
    "Normalize": _normalize,
    "PReLU": _prelu,
    "Scale": _affine,
}

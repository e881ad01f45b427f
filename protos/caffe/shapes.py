"""The shape of every value, by the rules of Caffe's layers (their Reshape methods)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

from protos.caffe import windows
from protos.caffe.errors import CaffeError, UnknownLayer
from protos.caffe.net import Layer, Net, Shape

_MOST_ELEMENTS = 2**31 - 1
_MAX_RANK = 32

Rule = Callable[[Layer, Sequence[Shape]], list[Shape]]


def infer(net: Net, inputs: Mapping[str, Shape]) -> dict[str, Shape]:
    """Value to shape, for all that follow from the inputs that are given; unknown layers end the chain.

    Raises CaffeError where a layer cannot take what it is given.
    """
    known = dict(inputs)
    for layer in net.layers:
        bottoms = [known[value] for value in layer.bottoms if value in known]
        rule = RULES.get(layer.type)
        if rule is None or len(bottoms) != len(layer.bottoms):
            continue
        try:
            shapes = rule(layer, bottoms)
        except UnknownLayer:
            continue
        if len(shapes) != len(layer.tops):
            raise CaffeError(f"{layer.where}: makes {len(shapes)} blobs, not {len(layer.tops)}", layer=layer.name)
        for value, shape in zip(layer.tops, shapes, strict=True):
            if len(shape) > _MAX_RANK or any(size < 1 for size in shape) or math.prod(shape) > _MOST_ELEMENTS:
                raise CaffeError(f"{layer.where}: its blob would have the shape {list(shape)[:40]}", layer=layer.name)
            known[value] = shape
    return known


def axis_of(layer: Layer, axis: int, shape: Shape) -> int:
    """An axis counted from the front. Raises CaffeError where the blob has none such."""
    if not -len(shape) <= axis < len(shape):
        raise CaffeError(f"{layer.where}: there is no axis {axis} in {list(shape)}", layer=layer.name)
    return axis % len(shape)


def concat_axis(layer: Layer, shape: Shape) -> int:
    """The axis that a Concat joins."""
    param = layer.param.concat_param
    return axis_of(layer, param.concat_dim if param.HasField("concat_dim") else param.axis, shape)


def slice_axis(layer: Layer, shape: Shape) -> int:
    """The axis that a Slice cuts."""
    param = layer.param.slice_param
    return axis_of(layer, param.slice_dim if param.HasField("slice_dim") else param.axis, shape)


def permutation(layer: Layer, rank: int) -> Shape:
    """The order of axes of a Permute: those that are not named follow in their own order."""
    order = list(layer.param.permute_param.order)
    if len(set(order)) < len(order) or any(axis >= rank for axis in order):
        raise CaffeError(f"{layer.where}: {order} is no order of {rank} axes", layer=layer.name)
    return (*order, *(axis for axis in range(rank) if axis not in order))


def crop_offsets(layer: Layer, bottom: Shape) -> list[tuple[int, int]]:
    """(axis, offset) of each axis that a Crop cuts."""
    param = layer.param.crop_param
    first = axis_of(layer, param.axis, bottom)
    offsets = list(param.offset) or [0]
    count = len(bottom) - first
    if len(offsets) not in {1, count}:
        raise CaffeError(f"{layer.where}: has {len(offsets)} offsets for {count} axes", layer=layer.name)
    return list(zip(range(first, len(bottom)), offsets * count if len(offsets) == 1 else offsets, strict=True))


def _same(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    if not bottoms:
        raise CaffeError(f"{layer.where}: has no bottom", layer=layer.name)
    return [bottoms[0]]


def _split(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    return _same(layer, bottoms) * len(layer.tops)


def _alike(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    if len(bottoms) < 2 or any(shape != bottoms[0] for shape in bottoms):
        raise CaffeError(
            f"{layer.where}: its bottoms are not alike: {[list(one) for one in bottoms]}", layer=layer.name
        )
    return [bottoms[0]]


def _axpy(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    if len(bottoms) != 3 or bottoms[1] != bottoms[2] or math.prod(bottoms[0]) != math.prod(bottoms[1][:2]):
        raise CaffeError(f"{layer.where}: cannot take {[list(one) for one in bottoms]}", layer=layer.name)
    return [bottoms[1]]


def _convolution(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    transposed = layer.type == "Deconvolution"
    param = layer.param.convolution_param
    _same(layer, bottoms)
    found = []
    for bottom in bottoms:
        if not param.num_output or not param.group or bottom[1] % param.group or param.num_output % param.group:
            raise CaffeError(
                f"{layer.where}: {param.num_output} outputs of {bottom[1]} channels in {param.group} groups",
                layer=layer.name,
            )
        found.append((bottom[0], param.num_output, *windows.convolution(layer, bottom, transposed=transposed).out))
    return found


def _pooling(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _same(layer, bottoms)[0]
    return [(*bottom[:2], *windows.pooling(layer, bottom).out)] * len(layer.tops)


def _inner_product(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    param = layer.param.inner_product_param
    bottom = _same(layer, bottoms)[0]
    return [(*bottom[: axis_of(layer, param.axis, bottom)], param.num_output)]


def _concat(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    first = _same(layer, bottoms)[0]
    axis = concat_axis(layer, first)
    if any(
        len(one) != len(first) or one[:axis] != first[:axis] or one[axis + 1 :] != first[axis + 1 :] for one in bottoms
    ):
        raise CaffeError(f"{layer.where}: cannot join {[list(one) for one in bottoms]}", layer=layer.name)
    return [(*first[:axis], sum(one[axis] for one in bottoms), *first[axis + 1 :])]


def _slice(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _same(layer, bottoms)[0]
    axis, count = slice_axis(layer, bottom), len(layer.tops)
    points = list(layer.param.slice_param.slice_point)
    if not points and count and bottom[axis] % count == 0:
        points = [bottom[axis] // count * index for index in range(1, count)]
    edges = [0, *points, bottom[axis]]
    sizes = [after - before for before, after in pairwise(edges)]
    if len(sizes) != count or min(sizes) < 1:
        raise CaffeError(f"{layer.where}: cannot cut {bottom[axis]} at {points} for {count} tops", layer=layer.name)
    return [(*bottom[:axis], size, *bottom[axis + 1 :]) for size in sizes]


def _flatten(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _same(layer, bottoms)[0]
    param = layer.param.flatten_param
    first, last = axis_of(layer, param.axis, bottom), axis_of(layer, param.end_axis, bottom)
    return [(*bottom[:first], math.prod(bottom[first : last + 1]), *bottom[last + 1 :])]


def _reshape(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _same(layer, bottoms)[0]
    param = layer.param.reshape_param
    wanted: list[int] = list(param.shape.dim)
    start = param.axis if param.axis >= 0 else len(bottom) + param.axis + 1
    end = len(bottom) if param.num_axes == -1 else start + param.num_axes
    error = CaffeError(f"{layer.where}: cannot make {wanted[:40]} of {list(bottom)}", layer=layer.name)
    if not 0 <= start <= end <= len(bottom) or wanted.count(-1) > 1 or any(size < -1 for size in wanted):
        raise error
    for index, size in enumerate(wanted):
        if size == 0:
            if start + index >= len(bottom):
                raise error
            wanted[index] = bottom[start + index]
    kept = (*bottom[:start], *bottom[end:])
    if -1 in wanted:
        rest = -math.prod(wanted) * math.prod(kept)
        if rest < 1 or math.prod(bottom) % rest:
            raise error
        wanted[wanted.index(-1)] = math.prod(bottom) // rest
    if math.prod(wanted) * math.prod(kept) != math.prod(bottom):
        raise error
    return [(*bottom[:start], *wanted, *bottom[end:])]


def _permute(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _same(layer, bottoms)[0]
    return [tuple(bottom[axis] for axis in permutation(layer, len(bottom)))]


def _crop(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    if len(bottoms) != 2 or len(bottoms[0]) != len(bottoms[1]):
        raise CaffeError(f"{layer.where}: needs two bottoms of the same rank", layer=layer.name)
    sizes = list(bottoms[0])
    for axis, offset in crop_offsets(layer, bottoms[0]):
        if offset + bottoms[1][axis] > bottoms[0][axis]:
            raise CaffeError(f"{layer.where}: axis {axis} is cut beyond its end", layer=layer.name)
        sizes[axis] = bottoms[1][axis]
    return [tuple(sizes)]


def _argmax(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _same(layer, bottoms)[0]
    param = layer.param.argmax_param
    if param.HasField("axis"):
        axis = axis_of(layer, param.axis, bottom)
        found, most = [*bottom[:axis], param.top_k, *bottom[axis + 1 :]], bottom[axis]
    else:
        found, most = [1] * max(3, len(bottom)), math.prod(bottom[1:])
        found[0], found[1], found[2] = bottom[0], 2 if param.out_max_val else 1, param.top_k
    if not 1 <= param.top_k <= most:
        raise CaffeError(f"{layer.where}: top_k {param.top_k} of {most}", layer=layer.name)
    return [tuple(found)]


def _reduction(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _same(layer, bottoms)[0]
    return [bottom[: axis_of(layer, layer.param.reduction_param.axis, bottom)]]


def _tile(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _same(layer, bottoms)[0]
    axis = axis_of(layer, layer.param.tile_param.axis, bottom)
    return [(*bottom[:axis], bottom[axis] * layer.param.tile_param.tiles, *bottom[axis + 1 :])]


def _upsample(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _spatial(layer, bottoms)
    return [(*bottom[:2], *(size * layer.param.upsample_param.scale for size in bottom[2:]))]


def _interp(layer: Layer, bottoms: Sequence[Shape]) -> list[Shape]:
    bottom = _spatial(layer, bottoms)
    param = layer.param.interp_param
    if param.pad_beg or param.pad_end or param.shrink_factor < 1 or param.zoom_factor < 1:
        raise CaffeError(f"{layer.where}: its pads or factors are not possible here", layer=layer.name)
    if param.height and param.width:
        return [(*bottom[:2], param.height, param.width)]
    shrunk = [(size - 1) // param.shrink_factor + 1 for size in bottom[2:]]
    return [(*bottom[:2], *(size + (size - 1) * (param.zoom_factor - 1) for size in shrunk))]


def _spatial(layer: Layer, bottoms: Sequence[Shape]) -> Shape:
    if len(bottoms) != 1 or len(bottoms[0]) != 4:
        raise UnknownLayer(
            f"{layer.where}: takes one blob of 4 dimensions here",
            layer=layer.name,
            type=layer.type,
            hint="Replace the layer by a Deconvolution with bilinear weights.",
        )
    return bottoms[0]


RULES: dict[str, Any] = {
    **dict.fromkeys(
        ("AbsVal", "BatchNorm", "Bias", "BNLL", "Clip", "Dropout", "ELU", "Exp", "Log", "LRN", "MVN"), _same
    ),
    **dict.fromkeys(("Normalize", "Power", "PReLU", "ReLU", "ReLU6", "Scale", "ShuffleChannel", "Sigmoid"), _same),
    **dict.fromkeys(("Softmax", "Swish", "TanH", "Threshold"), _same),
    **dict.fromkeys(("Convolution", "Deconvolution"), _convolution),
    "ArgMax": _argmax,
    "Axpy": _axpy,
    "Concat": _concat,
    "Crop": _crop,
    "Eltwise": _alike,
    "Flatten": _flatten,
    "InnerProduct": _inner_product,
    "Interp": _interp,
    "Permute": _permute,
    "Pooling": _pooling,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "Slice": _slice,
    "Split": _split,
    "Tile": _tile,
    "Upsample": _upsample,
}
"""Layer type to its rule. A type that is not here is not known to the farm."""

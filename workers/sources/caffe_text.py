"""What OpenCV is given to read: the file as it is, or, where OpenCV would read it otherwise than Caffe, what it means.

OpenCV knows neither phases nor data layers, counts the tops of a layer by their use, and ignores some parameters
without a word. Layers that it lacks, or computes otherwise, are run by NumPy inside it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]

from enginehouse.errors import ReferenceFailed
from protos.caffe import MESSAGES, CaffeError, Layer, Net, Shape, infer
from protos.caffe.shapes import permutation, slice_axis
from protos.caffe.windows import convolution

_NUMPY: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(("ArgMax", "Axpy", "Bias", "Clip", "Reduction", "Threshold", "Tile", "Upsample"), lambda _: True),
    "BatchNorm": lambda param: _per_batch(param.batch_norm_param),
    "InnerProduct": lambda param: bool(param.inner_product_param.transpose),
    "LRN": lambda param: param.lrn_param.norm_region == 0 and param.lrn_param.k != 1,
    "Log": lambda param: bool(param.log_param.ListFields()),
    "MVN": lambda param: param.mvn_param.normalize_variance and param.mvn_param.eps > 1e-7,
}
"""Type to whether, with these parameters, OpenCV lacks the layer or computes it otherwise than Caffe."""

_NUMBERS = count()
"""OpenCV takes a type's name once in a process."""


@dataclass(frozen=True)
class Plan:
    """How OpenCV runs the network.

    ``text``: what it reads instead of the file, None where it reads the file. ``makers``: each output's layer, by the
    name that OpenCV knows, and which of its tops it is. ``numpy``: a type's name to the layer that NumPy runs under it.
    """

    text: str | None
    makers: dict[str, tuple[str, int]]
    numpy: dict[str, Layer]


def plan(net: Net, *, rewrite: bool = False) -> Plan:
    """See Plan. ``rewrite``: give a text even where the file's would do. Raises ReferenceFailed."""
    message = MESSAGES["NetParameter"](name=net.name, input=list(net.inputs))
    sizes = {name: tuple(size for size in shape if size is not None) for name, shape in net.inputs.items()}
    known = {name: shape for name, shape in sizes.items() if shape and len(shape) == len(net.inputs[name])}
    if len(known) == len(net.inputs):
        for shape in known.values():
            message.input_shape.add(dim=shape)
    try:
        shapes = infer(net, known)
    except CaffeError:
        shapes = {}  # the conversion says what is wrong
    makers: dict[str, tuple[str, int]] = {}
    numpy: dict[str, Layer] = {}
    seen: Counter[str] = Counter()
    changed = rewrite
    for layer in net.layers:
        _check(layer)
        seen[layer.name] += 1
        name = layer.name if seen[layer.name] == 1 else f"{layer.name}#{seen[layer.name]}"
        own = _NUMPY.get(layer.type, lambda _: False)(layer.param)
        for index, made in enumerate(_rewritten(layer, shapes)):
            made.name = name if not index else f"{name}#top{index}"
            if own:
                made = MESSAGES["LayerParameter"](name=name, bottom=made.bottom, top=made.top)
                made.type = f"NumPy{layer.type}{next(_NUMBERS)}"
                numpy[made.type] = layer
            changed |= made != layer.param
            message.layer.append(made)
            makers.update({layer.tops[index + top]: (made.name, top) for top in range(len(made.top))})
    text = None if net.as_written and not changed else text_format.MessageToString(message)
    return Plan(text, {value: makers[value] for value in net.outputs}, numpy)


def _per_batch(param: Any) -> bool:
    return bool(param.HasField("use_global_stats") and not param.use_global_stats)


def _check(layer: Layer) -> None:
    """Raise ReferenceFailed for what OpenCV would compute otherwise, and NumPy does not do here."""
    lacks = ""
    if layer.type in {"Convolution", "Deconvolution"} and len(layer.bottoms) > 1:
        lacks = "several bottoms"
    elif layer.type == "Deconvolution" and any(size > 1 for size in layer.param.convolution_param.dilation):
        lacks = "dilation"
    if lacks:
        raise ReferenceFailed(
            f"{layer.where} has {lacks}, with which OpenCV, the reference for Caffe, does not run it",
            advice="Submit the network as ONNX, or take the named layer out.",
            operators=[layer.type],
            nodes=[layer.name],
        )


def _rewritten(layer: Layer, shapes: dict[str, Shape]) -> list[Any]:
    """The layer as OpenCV reads it right; a Split becomes one layer a top."""
    made = MESSAGES["LayerParameter"]()
    made.CopyFrom(layer.param)
    made.ClearField("include")
    made.ClearField("exclude")
    bottom = shapes.get(layer.bottoms[0]) if layer.bottoms else None
    if layer.type == "Pooling" and made.pooling_param.HasField("round_mode"):
        made.pooling_param.ceil_mode = made.pooling_param.ceil_mode and made.pooling_param.round_mode == 0
        made.pooling_param.ClearField("round_mode")
    elif layer.type == "Convolution" and bottom and len(bottom) > 4:
        window = convolution(layer, bottom)
        for name, values in (("kernel_size", window.kernel), ("stride", window.stride), ("pad", window.pad)):
            getattr(made.convolution_param, name)[:] = values
        made.convolution_param.dilation[:] = window.dilation
    elif layer.type == "Interp" and layer.tops[0] in shapes:
        made.interp_param.Clear()
        made.interp_param.height, made.interp_param.width = shapes[layer.tops[0]][2:]
    elif layer.type == "Permute" and bottom:
        made.permute_param.order[:] = permutation(layer, len(bottom))
    elif layer.type == "Slice" and len(layer.tops) == 1:
        made.type = "Split"
        made.ClearField("slice_param")
    elif layer.type == "Slice" and bottom:
        _slice(layer, made.slice_param, bottom)
    elif layer.type == "Concat" and made.concat_param.HasField("concat_dim"):
        made.concat_param.axis = made.concat_param.concat_dim
        made.concat_param.ClearField("concat_dim")
    elif layer.type == "Reshape" and made.reshape_param.ListFields()[1:] and layer.tops[0] in shapes:
        made.reshape_param.Clear()  # an axis, or a number of axes
        made.reshape_param.shape.dim.extend(shapes[layer.tops[0]])
    elif layer.type == "Split" and len(layer.tops) > 1:
        return [MESSAGES["LayerParameter"](type="Split", bottom=made.bottom, top=[top]) for top in made.top]
    return [made]


def _slice(layer: Layer, param: Any, bottom: Shape) -> None:
    """Every cut, and the axis by its present name."""
    axis = slice_axis(layer, bottom)
    if param.HasField("slice_dim"):
        param.ClearField("slice_dim")
        param.axis = axis
    if not param.slice_point:
        part = bottom[axis] // len(layer.tops)
        param.slice_point.extend(part * index for index in range(1, len(layer.tops)))

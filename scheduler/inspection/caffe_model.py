"""The signature of a Caffe model: the network's text and its weights. Shapes come by Caffe's own rules."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from enginehouse.errors import ExternalDataMissing, ModelUnreadable, TooLarge
from enginehouse.formats import Format
from enginehouse.signature import ModelSignature, TensorSpec
from protos.caffe import CaffeError, Layer, Net, Shape, check_weights, infer, read_net, read_weights, weights_beside
from protos.caffe.text import MAX_BYTES as MAX_TEXT
from protos.caffe.weights import MAX_BYTES as MAX_WEIGHTS
from scheduler.inspection.text import clean

_MAX_LISTED = 10_000
_MULTIPLIES = {"Convolution", "Deconvolution", "InnerProduct"}
_ADVICE = (
    "Push the .prototxt for inference (deploy) with the .caffemodel that was trained with it; Caffe itself must be "
    "able to load the two."
)


def read(files: Sequence[tuple[str, Path]]) -> ModelSignature:
    """The signature. ``files``: path in the upload and where it lies now; the first is the .prototxt.

    Raises ModelUnreadable or one of its kinds, and TooLarge.
    """
    name, path = files[0]
    places = dict(files[1:])
    chosen = weights_beside(name, list(places))
    if chosen is None:
        raise ExternalDataMissing(
            f"of the files with {clean(name)}, none, or more than one, may be its .caffemodel",
            advice="Push the .prototxt with one .caffemodel, or with the one of the same name.",
        )
    for file, limit, what in ((path, MAX_TEXT, ".prototxt"), (places[chosen], MAX_WEIGHTS, ".caffemodel")):
        if file.stat().st_size > limit:
            raise TooLarge(f"the {what} has {file.stat().st_size} bytes; one ends at {limit}")
    try:
        net = read_net(path.read_bytes())
        known = {input_: sizes for input_, shape in net.inputs.items() if (sizes := _sizes(shape))}
        shapes = infer(net, known)
        weights = read_weights(places[chosen])
        check_weights(net, shapes, weights)
    except CaffeError as error:
        where = {"layer": clean(error.layer)} if error.layer else {}
        raise ModelUnreadable(clean(str(error), 600), advice=_ADVICE, **where) from None
    if len(net.inputs) > _MAX_LISTED or len(net.outputs) > _MAX_LISTED or len(net.counted) > _MAX_LISTED:
        raise ModelUnreadable(f"the network has more inputs, outputs or types of layers than {_MAX_LISTED}")
    return ModelSignature(
        format=str(Format.CAFFE),
        producer=clean(f"caffe {net.name}").strip(),
        inputs=[_spec(input_, list(shape) or [None], "input") for input_, shape in net.inputs.items()],
        outputs=[_spec(value, list(shapes.get(value, (None,))), "output") for value in net.outputs],
        operators=dict(
            sorted(((clean(kind), count) for kind, count in net.counted.items()), key=lambda one: (-one[1], one[0]))
        ),
        parameters=sum(blob.size for layer in {one.name for one in net.layers} for blob in weights.get(layer, ())),
        flops=flops(net, shapes),
    )


def flops(net: Net, shapes: Mapping[str, Shape]) -> int | None:
    """Floating-point operations of one inference, two for each multiply-add of convolutions and inner products.

    None where a shape is not known, or where there are none.
    """
    total = 0
    for layer in net.layers:
        if layer.type not in _MULTIPLIES:
            continue
        if not all(value in shapes for value in (*layer.bottoms, *layer.tops)):
            return None
        total += _flops(layer, shapes)
    return total or None


def _flops(layer: Layer, shapes: Mapping[str, Shape]) -> int:
    total = 0
    for bottom, top in zip(layer.bottoms, layer.tops, strict=True):
        taken, made = shapes[bottom], shapes[top]
        if layer.type == "InnerProduct":
            outputs = layer.param.inner_product_param.num_output
            total += 2 * math.prod(made) * (math.prod(taken) // max(1, math.prod(made) // outputs))
            continue
        param = layer.param.convolution_param
        kernel = [*param.kernel_size] or [param.kernel_h, param.kernel_w]
        window = math.prod(kernel) if len(kernel) > 1 else kernel[0] ** (len(taken) - 2)
        if layer.type == "Convolution":
            total += 2 * math.prod(made) * (taken[1] // param.group) * window
        else:
            total += 2 * math.prod(taken) * (made[1] // param.group) * window
    return total


def _sizes(shape: tuple[int | None, ...]) -> Shape:
    """The shape where all of it is known, else nothing."""
    sizes = tuple(size for size in shape if size is not None)
    return sizes if len(sizes) == len(shape) else ()


def _spec(name: str, shape: list[int | None], what: str) -> TensorSpec:
    if not name or clean(name, 500) != name:  # what is shown must be what is fed
        raise ModelUnreadable(
            f"the {what} '{clean(name)}' has a name that is empty, too long or has control characters",
            advice="Rename the network's inputs and outputs.",
        )
    return TensorSpec(name=name, dtype="float32", shape=[*shape])

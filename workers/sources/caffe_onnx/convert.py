"""The whole network: shapes, weights, then each layer by its rule."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onnx import TensorProto, helper

from protos.caffe import CaffeError, Net, Shape, UnknownLayer, Weights, check_weights, infer
from workers.sources.caffe_onnx import arrange, normal, pointwise, spatial
from workers.sources.caffe_onnx.graph import Graph, Step

OPSET = 17
_IR = 8

RULES: dict[str, Callable[[Step], None]] = {
    **pointwise.RULES,
    **spatial.RULES,
    **normal.RULES,
    **arrange.RULES,
}

_DETECTION = "Cut the network before its detection part, and decode the boxes after inference."
_HINTS = {
    **dict.fromkeys(("PriorBox", "DetectionOutput", "Proposal", "ROIPooling", "PSROIPooling", "Region"), _DETECTION),
    "Python": "A layer in Python runs its author's code; replace it by Caffe's own, or cut the network before it.",
    **dict.fromkeys(
        ("LSTM", "RNN", "Recurrent"), "Export the network from another framework: to ONNX or torch.export."
    ),
    "BN": "Merge it into BatchNorm and Scale layers, as BVLC's Caffe has them.",
    "Embed": "Look the rows up before inference, and feed them.",
}
_HINT = "Replace the layer by others that compute the same, or cut the network before it."


def convert(net: Net, weights: Weights, inputs: Mapping[str, Shape]) -> Any:
    """The network as an onnx.ModelProto (operator set 17), inputs and outputs named after its blobs.

    ``inputs``: the shape of every input. Raises UnknownLayer, CaffeError.
    """
    for layer in net.layers:
        if layer.type not in RULES:
            raise UnknownLayer(
                f"{layer.where} has no counterpart in ONNX that the farm knows",
                layer=layer.name,
                type=layer.type,
                hint=_HINTS.get(layer.type, _HINT),
            )
    shapes = infer(net, inputs)
    blobs = check_weights(net, shapes, weights)
    graph = Graph({*net.inputs, *(value for layer in net.layers for value in layer.tops)})
    for layer in net.layers:
        missing = [value for value in (*layer.bottoms, *layer.tops) if value not in shapes]
        if missing:
            raise CaffeError(f"{layer.where}: the shape of '{missing[0]}' cannot be derived", layer=layer.name)
        step = Step(
            graph,
            layer,
            [shapes[value] for value in layer.bottoms],
            [shapes[value] for value in layer.tops],
            [blob.array().reshape(shape) for blob, shape in blobs.get(layer.name, [])],
        )
        RULES[layer.type](step)
    made = helper.make_graph(
        graph.nodes,
        net.name or "caffe",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in net.inputs],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shapes[name]) for name in net.outputs],
        graph.constants,
    )
    return helper.make_model(
        made, producer_name="enginehouse", ir_version=_IR, opset_imports=[helper.make_opsetid("", OPSET)]
    )

"""Layers that move numbers about, or choose among them."""

from __future__ import annotations

from typing import Any

from protos.caffe.shapes import axis_of, concat_axis, permutation, slice_axis
from workers.sources.caffe_onnx.graph import Step

_FLOAT = 1


def _reshape(step: Step) -> None:
    step.last("Reshape", [step.x, step.sizes(step.tops[0])])


def _permute(step: Step) -> None:
    step.last("Transpose", [step.x], perm=permutation(step.layer, len(step.shape)))


def _concat(step: Step) -> None:
    step.last("Concat", step.layer.bottoms, axis=concat_axis(step.layer, step.shape))


def _slice(step: Step) -> None:
    axis = slice_axis(step.layer, step.shape)
    if len(step.tops) == 1:
        step.last("Identity", [step.x])
        return
    step.every("Split", [step.x, step.integers([shape[axis] for shape in step.tops], "sizes")], axis=axis)


def _tile(step: Step) -> None:
    repeats = [1] * len(step.shape)
    repeats[axis_of(step.layer, step.param.tile_param.axis, step.shape)] = step.param.tile_param.tiles
    step.last("Tile", [step.x, step.integers(repeats, "repeats")])


def _shuffle(step: Step) -> None:
    group = step.param.shuffle_channel_param.group
    batch, channels, *rest = step.shape
    if group < 1 or channels % group:
        raise step.refused(f"{channels} channels in {group} groups", "The groups must divide the channels.")
    split = step.inner("Reshape", [step.x, step.sizes([batch, group, channels // group, *rest])])
    turned = step.inner("Transpose", [split], perm=[0, 2, 1, *range(3, len(rest) + 3)])
    step.last("Reshape", [turned, step.sizes(step.shape)])


def _reduction(step: Step) -> None:
    param = step.param.reduction_param
    axes = list(range(axis_of(step.layer, param.axis, step.shape), len(step.shape)))
    op = {1: "ReduceSum", 2: "ReduceL1", 3: "ReduceSumSquare", 4: "ReduceMean"}[param.operation]
    # Operator set 13 made the axes of ReduceSum alone an input.
    inputs = [step.x, step.integers(axes, "axes")] if op == "ReduceSum" else [step.x]
    attributes: dict[str, Any] = {"keepdims": 0, **({} if op == "ReduceSum" else {"axes": axes})}
    if param.coeff == 1:
        step.last(op, inputs, **attributes)
    else:
        step.last("Mul", [step.inner(op, inputs, **attributes), step.constant(param.coeff, "coeff")])


def _argmax(step: Step) -> None:
    param = step.param.argmax_param
    if param.HasField("axis"):
        axis = axis_of(step.layer, param.axis, step.shape)
        if param.out_max_val:
            if param.top_k == 1:
                step.last("ReduceMax", [step.x], axes=[axis], keepdims=1)
            else:
                step.last("Identity", [_top(step, step.x, axis)[0]])
        elif param.top_k == 1:
            step.last("Cast", [step.inner("ArgMax", [step.x], axis=axis, keepdims=1)], to=_FLOAT)
        else:
            step.last("Cast", [_top(step, step.x, axis)[1]], to=_FLOAT)
        return
    flat = step.inner("Flatten", [step.x], axis=1)
    values, places = _top(step, flat, 1)
    found = step.inner("Cast", [places], to=_FLOAT)
    if param.out_max_val:
        found = step.inner("Concat", [found, values], axis=1)
    step.last("Reshape", [found, step.sizes(step.tops[0])])


def _top(step: Step, value: str, axis: int) -> tuple[str, str]:
    """The largest values along an axis, and their places."""
    from onnx import helper

    graph, name = step.graph, f"{step.layer.name}/TopK"
    outputs = graph.fresh(f"{name}/values"), graph.fresh(f"{name}/places")
    count = step.integers([step.param.argmax_param.top_k], "k")
    graph.nodes.append(helper.make_node("TopK", [value, count], list(outputs), name=name, axis=axis))
    return outputs


RULES = {
    "ArgMax": _argmax,
    "Concat": _concat,
    "Flatten": _reshape,
    "Permute": _permute,
    "Reduction": _reduction,
    "Reshape": _reshape,
    "ShuffleChannel": _shuffle,
    "Slice": _slice,
    "Tile": _tile,
}

"""Shape and type of what a Keras layer gives, for the common layers. A config tells them of what is read by another
layer only; the model's own outputs have to be derived."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

Shape = list[int | None]
Layer = dict[str, Any]

_SAME = frozenset(
    {
        "Activation", "ActivityRegularization", "AlphaDropout", "BatchNormalization", "Dropout", "ELU",
        "GaussianDropout", "GaussianNoise", "GroupNormalization", "Identity", "LayerNormalization", "LeakyReLU",
        "Masking", "Normalization", "PReLU", "ReLU", "Rescaling", "RMSNormalization", "Softmax", "SpatialDropout1D",
        "SpatialDropout2D", "SpatialDropout3D", "UnitNormalization", "Clip", "Relu", "Sigmoid", "Silu", "Tanh", "Gelu",
        "Exp", "Sqrt", "Negative", "Abs", "Absolute", "Square", "LogSoftmax", "Cast",
    }
)  # fmt: skip
_COMPARE = frozenset({"Equal", "NotEqual", "Greater", "GreaterEqual", "Less", "LessEqual", "LogicalAnd", "LogicalOr"})
_MERGE = _COMPARE | {"Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Divide", "TrueDivide"}


def shape_of(layer: Layer, inputs: Sequence[Shape]) -> Shape | None:
    """The output's shape, or None where it is not derived. ``layer``: class_name and config, as saved."""
    kind = str(layer.get("class_name"))
    try:
        if kind in _SAME and inputs:
            return inputs[0]
        if kind in _MERGE and inputs and all(len(one) == len(inputs[0]) for one in inputs):
            return [_broadcast(sizes) for sizes in zip(*inputs, strict=True)]
        rule = _RULES.get(kind)
        return rule(layer["config"], inputs) if rule and inputs else None
    except (KeyError, TypeError, ValueError, IndexError):  # a config that is not what Keras writes
        return None


def dtype_of(layer: Layer, given: str) -> str:
    """The output's element type; ``given``: that of the first input. Mixed policies are run in float32."""
    kind = str(layer.get("class_name"))
    config = layer.get("config") or {}
    if kind in ("Argmax", "Argmin"):
        return "int32"
    if kind in _COMPARE:
        return "bool"
    policy = config.get("dtype")
    if isinstance(policy, dict):
        policy = (policy.get("config") or {}).get("name")
    if not isinstance(policy, str):
        return given
    return "float32" if policy.startswith("mixed_") else policy.split("_from_")[-1]


def _broadcast(sizes: Sequence[int | None]) -> int | None:
    others = {size for size in sizes if size != 1}
    return others.pop() if len(others) == 1 else (None if others else 1)


def _split(config: Any, shape: Shape) -> tuple[int | None, Shape, int | None, bool]:
    """Batch, spatial sizes, channels, and whether the channels are first."""
    first = config.get("data_format") == "channels_first"
    return shape[0], shape[2:] if first else shape[1:-1], shape[1] if first else shape[-1], first


def _join(batch: int | None, spatial: Shape, channels: int | None, first: bool) -> Shape:
    return [batch, channels, *spatial] if first else [batch, *spatial, channels]


def _each(value: Any, rank: int) -> list[int]:
    return [int(one) for one in value] if isinstance(value, list) else [int(value)] * rank


def _windows(config: Any, spatial: Shape, size: str) -> Shape:
    """Sizes after a window of ``config[size]`` has gone over them."""
    rank = len(spatial)
    window, dilation = _each(config[size], rank), _each(config.get("dilation_rate") or 1, rank)
    strides = _each(config.get("strides") or config[size], rank)
    found: Shape = []
    for have, wide, step, apart in zip(spatial, window, strides, dilation, strict=True):
        if have is None:
            found.append(None)
        elif config.get("padding") == "valid":
            found.append((have - (wide - 1) * apart - 1) // step + 1)
        else:
            found.append(-(-have // step))
    return found


def _conv(config: Any, inputs: Sequence[Shape]) -> Shape:
    batch, spatial, channels, first = _split(config, inputs[0])
    if "filters" in config:
        channels = config["filters"]
    elif channels is not None:
        channels *= config["depth_multiplier"]
    return _join(batch, _windows(config, spatial, "kernel_size"), channels, first)


def _transposed(config: Any, inputs: Sequence[Shape]) -> Shape:
    batch, spatial, _, first = _split(config, inputs[0])
    rank = len(spatial)
    if config.get("output_padding") is not None or set(_each(config.get("dilation_rate") or 1, rank)) != {1}:
        raise ValueError("not derived")
    grown: Shape = []
    for have, wide, step in zip(
        spatial, _each(config["kernel_size"], rank), _each(config["strides"], rank), strict=True
    ):
        rim = max(wide - step, 0) if config.get("padding") == "valid" else 0
        grown.append(None if have is None else have * step + rim)
    return _join(batch, grown, config["filters"], first)


def _padded(config: Any, inputs: Sequence[Shape]) -> Shape:
    batch, spatial, channels, first = _split(config, inputs[0])
    sides = [sum(_each(pair, 2)) for pair in config["padding"]]
    grown = [None if have is None else have + more for have, more in zip(spatial, sides, strict=True)]
    return _join(batch, grown, channels, first)


def _pool(config: Any, inputs: Sequence[Shape]) -> Shape:
    batch, spatial, channels, first = _split(config, inputs[0])
    return _join(batch, _windows(config, spatial, "pool_size"), channels, first)


def _global_pool(config: Any, inputs: Sequence[Shape]) -> Shape:
    batch, spatial, channels, first = _split(config, inputs[0])
    return _join(batch, [1] * len(spatial), channels, first) if config.get("keepdims") else [batch, channels]


def _upsampling(config: Any, inputs: Sequence[Shape]) -> Shape:
    batch, spatial, channels, first = _split(config, inputs[0])
    factors = _each(config["size"], len(spatial))
    grown = [None if have is None else have * factor for have, factor in zip(spatial, factors, strict=True)]
    return _join(batch, grown, channels, first)


def _flatten(_: Any, inputs: Sequence[Shape]) -> Shape:
    batch, *rest = inputs[0]
    return [batch, None if None in rest else math.prod(one for one in rest if one is not None)]


def _reshape(config: Any, inputs: Sequence[Shape]) -> Shape:
    batch, *rest = inputs[0]
    target = [int(one) for one in config["target_shape"]]
    if -1 in target:
        known = math.prod(one for one in target if one != -1)
        whole = None if None in rest else math.prod(one for one in rest if one is not None)
        return [batch, *(one if one != -1 else (None if whole is None else whole // known) for one in target)]
    return [batch, *target]


def _concatenate(config: Any, inputs: Sequence[Shape]) -> Shape:
    axis = int(config["axis"]) % len(inputs[0])
    found = [_broadcast(sizes) for sizes in zip(*inputs, strict=True)]
    parts = [one[axis] for one in inputs]
    found[axis] = None if None in parts else sum(part for part in parts if part is not None)
    return found


def _recurrent(config: Any, inputs: Sequence[Shape]) -> Shape:
    units = int(config["units"])
    return [*inputs[0][:2], units] if config.get("return_sequences") else [inputs[0][0], units]


_RULES: dict[str, Callable[[Any, Sequence[Shape]], Shape]] = {
    "Dense": lambda config, inputs: [*inputs[0][:-1], int(config["units"])],
    "Embedding": lambda config, inputs: [*inputs[0], int(config["output_dim"])],
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": lambda config, inputs: [inputs[0][0], *(inputs[0][axis] for axis in config["dims"])],
    "Concatenate": _concatenate,
    **dict.fromkeys(("LSTM", "GRU", "SimpleRNN"), _recurrent),
    **{f"{kind}{rank}D": _conv for kind in ("Conv", "DepthwiseConv", "SeparableConv") for rank in (1, 2, 3)},
    **{f"Conv{rank}DTranspose": _transposed for rank in (1, 2, 3)},
    **{f"ZeroPadding{rank}D": _padded for rank in (2, 3)},
    **{f"{kind}Pooling{rank}D": _pool for kind in ("Max", "Average") for rank in (1, 2, 3)},
    **{f"Global{kind}Pooling{rank}D": _global_pool for kind in ("Max", "Average") for rank in (1, 2, 3)},
    **{f"UpSampling{rank}D": _upsampling for rank in (1, 2, 3)},
}

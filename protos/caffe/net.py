"""The network that Caffe would run for inference: TEST phase, version 1 upgraded, data and losses taken off.

Blobs become values: a layer that works in place makes a new value of the same blob, so every value is written once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from protos.caffe.errors import CaffeError
from protos.caffe.messages import MESSAGES
from protos.caffe.text import parse

Shape = tuple[int, ...]

_V1_TYPES = {
    "ABSVAL": "AbsVal", "ACCURACY": "Accuracy", "ARGMAX": "ArgMax", "BNLL": "BNLL", "CONCAT": "Concat",
    "CONTRASTIVE_LOSS": "ContrastiveLoss", "CONVOLUTION": "Convolution", "DATA": "Data",
    "DECONVOLUTION": "Deconvolution", "DROPOUT": "Dropout", "DUMMY_DATA": "DummyData", "ELTWISE": "Eltwise",
    "EUCLIDEAN_LOSS": "EuclideanLoss", "EXP": "Exp", "FLATTEN": "Flatten", "HDF5_DATA": "HDF5Data",
    "HDF5_OUTPUT": "HDF5Output", "HINGE_LOSS": "HingeLoss", "IM2COL": "Im2col", "IMAGE_DATA": "ImageData",
    "INFOGAIN_LOSS": "InfogainLoss", "INNER_PRODUCT": "InnerProduct", "LRN": "LRN", "MEMORY_DATA": "MemoryData",
    "MULTINOMIAL_LOGISTIC_LOSS": "MultinomialLogisticLoss", "MVN": "MVN", "POOLING": "Pooling", "POWER": "Power",
    "RELU": "ReLU", "SIGMOID": "Sigmoid", "SIGMOID_CROSS_ENTROPY_LOSS": "SigmoidCrossEntropyLoss",
    "SILENCE": "Silence", "SLICE": "Slice", "SOFTMAX": "Softmax", "SOFTMAX_LOSS": "SoftmaxWithLoss", "SPLIT": "Split",
    "TANH": "TanH", "THRESHOLD": "Threshold", "WINDOW_DATA": "WindowData",
}  # fmt: skip
_SINKS = {"Accuracy", "HDF5Output", "Silence"}
_DEPTHWISE = {"ConvolutionDepthwise", "DepthwiseConvolution"}
"""Forks' faster convolutions, which compute what Convolution does with as many groups as outputs."""


@dataclass(frozen=True)
class Layer:
    """One layer. ``bottoms`` and ``tops`` are values; ``param`` is its LayerParameter, whose names are blobs."""

    name: str
    type: str
    param: Any
    bottoms: tuple[str, ...]
    tops: tuple[str, ...]
    line: int

    @property
    def where(self) -> str:
        """Name, type and line, to begin a message with."""
        return f"layer '{self.name}' ({self.type}, line {self.line} of the .prototxt)"


@dataclass
class Net:
    """The network for inference. ``inputs``: name to shape, None where a size is not told, () where none is.

    ``outputs``: the values that no layer takes, in the file's order. ``as_written``: whether the file's text says the
    same to a reader that knows neither phases nor data layers, and takes layers by their names.
    """

    name: str
    inputs: dict[str, tuple[int | None, ...]]
    layers: list[Layer]
    outputs: list[str]
    as_written: bool
    counted: Counter[str] = field(default_factory=Counter)


def read_net(data: bytes) -> Net:
    """The network of a .prototxt. Raises CaffeError."""
    message, lines = parse(data)
    written = _written(message, lines)
    inputs = _net_inputs(message)
    kept: list[tuple[Any, int]] = []
    silenced: set[str] = set()
    as_written = True
    for param, line in written:
        if not _included(param, message.state):
            as_written = False
        elif param.type == "Input":
            _add(inputs, param.top, _input_shapes(param), param.name)
        elif _is_data(param):
            _add(inputs, param.top, _data_shapes(param), param.name)
            as_written = False
        elif param.type == "SoftmaxWithLoss":
            kept.append((_inference(param), line))
            as_written = False
        elif param.type in _SINKS or param.type.endswith("Loss"):
            silenced.update(param.bottom if param.type == "Silence" else ())
            as_written = False
        elif param.type in _DEPTHWISE:
            kept.append((_plain(param), line))
            as_written = False
        else:
            kept.append((param, line))
    net = _connected(message.name, inputs, kept, silenced)
    unique = len({param.name for param, _ in written}) == len(written)
    net.as_written = as_written and unique and len(net.inputs) == len(inputs)
    return net


def beginning(net: Net, count: int) -> Net:
    """The network's first layers alone, with what they leave untaken as outputs."""
    layers = net.layers[:count]
    taken = {value for layer in layers for value in layer.bottoms}
    inputs = {name: shape for name, shape in net.inputs.items() if name in taken}
    unread = [value for layer in layers for value in layer.tops if value not in taken]
    return Net(net.name, inputs, layers, unread, as_written=False)


def _written(message: Any, lines: list[int]) -> list[tuple[Any, int]]:
    """The layers in today's form, each with its line."""
    if message.layer and message.layers:
        raise CaffeError("the .prototxt has both 'layer' and 'layers'; Caffe takes one of the two forms")
    written = list(message.layer) or [_upgraded(layer) for layer in message.layers]
    if not written:
        raise CaffeError("the .prototxt holds no layers; is it another kind of text?")
    if len(lines) != len(written):  # a list of messages in brackets: the lines are then of no use
        lines = [0] * len(written)
    return list(zip(written, lines, strict=True))


def _upgraded(old: Any) -> Any:
    """A version 1 layer as a LayerParameter (Caffe's upgrade_proto.cpp)."""
    if old.HasField("layer"):
        raise CaffeError(
            f"layer '{old.layer.name}' has the oldest form (layers {{ layer {{ … }} }}); "
            "upgrade the files with Caffe's upgrade_net_proto_text and upgrade_net_proto_binary"
        )
    new = MESSAGES["LayerParameter"](name=old.name, bottom=old.bottom, top=old.top)
    kind = old.DESCRIPTOR.fields_by_name["type"].enum_type.values_by_number[old.type].name
    new.type = _V1_TYPES.get(kind, "")
    for rule in ("include", "exclude"):
        getattr(new, rule).extend(getattr(old, rule))
    for name in old.param:
        new.param.add(name=name)
    for described, value in old.ListFields():
        if described.name.endswith("_param"):
            getattr(new, described.name).CopyFrom(value)
    return new


def _included(param: Any, state: Any) -> bool:
    """Whether the layer takes part in the TEST phase (Caffe's Net::FilterNet)."""
    if param.include and param.exclude:
        raise CaffeError(f"layer '{param.name}' has both include and exclude rules", layer=param.name)
    if param.include:
        return any(_meets(rule, state) for rule in param.include)
    return not any(_meets(rule, state) for rule in param.exclude)


def _meets(rule: Any, state: Any) -> bool:
    test = rule.DESCRIPTOR.fields_by_name["phase"].enum_type.values_by_name["TEST"].number
    if rule.HasField("phase") and rule.phase != test:
        return False
    if rule.HasField("min_level") and state.level < rule.min_level:
        return False
    if rule.HasField("max_level") and state.level > rule.max_level:
        return False
    return all(one in state.stage for one in rule.stage) and not any(one in state.stage for one in rule.not_stage)


def _is_data(param: Any) -> bool:
    return bool(param.type.endswith("Data") and not param.bottom and param.top)


def _net_inputs(message: Any) -> dict[str, tuple[int | None, ...]]:
    """The inputs of the net itself: 'input' with 'input_shape' or, four sizes each, 'input_dim'."""
    count = len(message.input)
    shapes: list[tuple[int | None, ...]] = [tuple(one.dim) for one in message.input_shape]
    if message.input_dim:
        if shapes or len(message.input_dim) != 4 * count:
            raise CaffeError(f"the net has {count} inputs and {len(message.input_dim)} input_dim; it needs 4 for each")
        shapes = [tuple(message.input_dim[4 * i : 4 * i + 4]) for i in range(count)]
    found: dict[str, tuple[int | None, ...]] = {}
    _add(found, message.input, shapes, "the net's input")
    return found


def _input_shapes(param: Any) -> list[tuple[int | None, ...]]:
    shapes: list[tuple[int | None, ...]] = [tuple(one.dim) for one in param.input_param.shape]
    return shapes * len(param.top) if len(shapes) == 1 else shapes


def _data_shapes(param: Any) -> list[tuple[int | None, ...]]:
    """What a data layer tells of its first top; of labels only that they are one a sample."""
    batch: int | None
    image: tuple[int | None, ...]
    if param.HasField("memory_data_param"):
        memory = param.memory_data_param
        batch, image = memory.batch_size, (memory.channels, memory.height, memory.width)
    elif param.HasField("dummy_data_param"):
        dummy = param.dummy_data_param
        old = zip(dummy.num, dummy.channels, dummy.height, dummy.width, strict=False)
        shapes: list[tuple[int | None, ...]] = [tuple(one.dim) for one in dummy.shape] or list(old)
        return shapes * len(param.top) if len(shapes) == 1 else shapes
    else:
        told = [value for one, value in param.ListFields() if one.name.endswith("data_param")]
        batch = (told[0].batch_size or None) if told else None
        crop = param.transform_param.crop_size or (told[0].crop_size if told else 0)
        sizes = (crop, crop) if crop else ((told[0].new_height, told[0].new_width) if told else (0, 0))
        image = (None, *(size or None for size in sizes)) if param.type != "HDF5Data" else ()
    first: tuple[int | None, ...] = (batch, *image) if image else ()
    return [first, *((batch,) for _ in param.top[1:])]


def _add(
    inputs: dict[str, tuple[int | None, ...]], names: Iterable[str], shapes: list[tuple[int | None, ...]], where: str
) -> None:
    names = list(names)
    if shapes and len(shapes) != len(names):
        raise CaffeError(f"'{where}' names {len(names)} blobs and {len(shapes)} shapes", layer=where)
    for name, shape in zip(names, shapes or [()] * len(names), strict=True):
        if not name or name in inputs:
            raise CaffeError(f"the input '{name}' is named twice, or has no name")
        if len(shape) > 32 or any(size is not None and not 0 < size < 2**31 for size in shape):
            raise CaffeError(f"the input '{name}' has the impossible shape {list(shape)}")
        inputs[name] = shape


def _inference(param: Any) -> Any:
    """SoftmaxWithLoss for inference: its softmax, named as its second top (the probabilities), else its first."""
    made = MESSAGES["LayerParameter"](name=param.name, type="Softmax", bottom=param.bottom[:1])
    made.top.append(param.top[1] if len(param.top) > 1 else param.top[0] if param.top else param.name)
    made.softmax_param.CopyFrom(param.softmax_param)
    return made


def _plain(param: Any) -> Any:
    """A depthwise convolution as a Convolution."""
    made = MESSAGES["LayerParameter"]()
    made.CopyFrom(param)
    made.type = "Convolution"
    if not made.convolution_param.HasField("group"):
        made.convolution_param.group = made.convolution_param.num_output
    return made


def _connected(
    name: str, inputs: dict[str, tuple[int | None, ...]], kept: list[tuple[Any, int]], silenced: set[str]
) -> Net:
    """The layers with their values, in the file's order."""
    writes = Counter(top for param, _ in kept for top in param.top)
    blobs = {*writes, *inputs}
    current = {blob: blob for blob in inputs}
    written: Counter[str] = Counter()
    taken: set[str] = set()
    made: dict[str, str] = {}
    layers = []
    for param, line in kept:
        for bottom in param.bottom:
            if bottom not in current:
                raise CaffeError(
                    f"layer '{param.name}' (line {line}) takes the blob '{bottom}', which no layer before it makes",
                    layer=param.name,
                )
        bottoms = tuple(current[bottom] for bottom in param.bottom)
        taken.update(bottoms)
        tops = []
        for index, top in enumerate(param.top):
            if top in current and param.bottom[index : index + 1] != [top]:  # else it works in place
                raise CaffeError(f"layer '{param.name}' (line {line}) makes the blob '{top}' anew", layer=param.name)
            written[top] += 1
            # The last value of a blob bears its name, unless an input does.
            last = written[top] == writes[top]
            value = top if last and top not in inputs else f"{top}/{written[top]}"
            while value != top and value in blobs:
                value += "'"
            current[top] = value
            made[value] = top
            tops.append(value)
        layers.append(Layer(param.name, param.type, param, bottoms, tuple(tops), line))
    if not layers:
        raise CaffeError("the .prototxt has no layer that computes anything in the TEST phase")
    unread = [value for value, blob in made.items() if value not in taken and blob not in silenced]
    used = {blob: shape for blob, shape in inputs.items() if blob in taken}
    if not used or not unread:
        raise CaffeError("the .prototxt has no input or no output in the TEST phase")
    counted = Counter(layer.type for layer in layers)
    return Net(name, used, layers, unread, True, counted)

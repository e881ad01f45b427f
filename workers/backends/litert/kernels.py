"""Which operator of the graph each timed kernel belongs to. Pure: events in, times by operator out.

LiteRT tells the index of an operator that it runs by itself. Of what XNNPACK took it tells the kernels, in the order in
which they run and without the operators that they stand for: they are matched by what a kernel can be.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from workers.backends.litert.profiler import OPERATOR

_AHEAD = 48
"""Operators to look ahead for the one that a kernel stands for."""

_KERNELS = (
    (r"Fully Connected|Dynamic Fully", ("FULLY_CONNECTED", "CONV_2D", "BATCH_MATMUL")),
    (r"Convolution.*DWConv", ("DEPTHWISE_CONV_2D", "CONV_2D")),
    (r"Convolution", ("CONV_2D", "DEPTHWISE_CONV_2D")),
    (r"Deconvolution", ("TRANSPOSE_CONV",)),
    (r"Batch Matrix", ("BATCH_MATMUL", "FULLY_CONNECTED")),
    (r"Max Pooling", ("MAX_POOL_2D",)),
    (r"Average Pooling", ("AVERAGE_POOL_2D", "MEAN")),
    (r"Reduce Max", ("REDUCE_MAX",)),
    (r"Reduce Min", ("REDUCE_MIN",)),
    (r"Mean|Normalize|Global Average", ("MEAN", "SUM", "AVERAGE_POOL_2D")),
    (r"Sum \(", ("SUM",)),
    (r"Add", ("ADD",)),
    (r"Multiply", ("MUL",)),
    (r"Squared Difference", ("SQUARED_DIFFERENCE",)),
    (r"Subtract", ("SUB",)),
    (r"Divide", ("DIV",)),
    (r"Maximum", ("MAXIMUM",)),
    (r"Minimum", ("MINIMUM",)),
    (r"PReLU|Prelu|PRELU", ("PRELU",)),
    (r"Leaky", ("LEAKY_RELU",)),
    (r"Softmax", ("SOFTMAX",)),
    (r"Sigmoid", ("LOGISTIC",)),
    (r"TanH", ("TANH",)),
    (r"GELU", ("GELU",)),
    (r"HardSwish", ("HARD_SWISH",)),
    (r"ELU", ("ELU",)),
    (r"Reciprocal Square", ("RSQRT",)),
    (r"Square Root", ("SQRT",)),
    (r"Square", ("SQUARE",)),
    (r"Exponent", ("EXP",)),
    (r"Log", ("LOG",)),
    (r"Negate", ("NEG",)),
    (r"Abs", ("ABS",)),
    (r"Bilinear", ("RESIZE_BILINEAR",)),
    (r"Constant Pad", ("PAD", "PADV2")),
    (r"Transpose", ("TRANSPOSE",)),
    (r"Static Reshape", ("RESHAPE", "EXPAND_DIMS", "SQUEEZE")),
    (r"Slice", ("STRIDED_SLICE", "SLICE", "SPLIT")),
    (r"Depth To Space", ("DEPTH_TO_SPACE",)),
    (r"Space To Depth", ("SPACE_TO_DEPTH",)),
    (r"Copy", ("CONCATENATION", "RESHAPE", "SPLIT", "STRIDED_SLICE", "PACK", "EXPAND_DIMS")),
    (r"Clamp", ("RELU", "RELU6", "RELU_N1_TO_1", "RELU_0_TO_1")),
    (r"Convert", ("QUANTIZE", "DEQUANTIZE")),
    (r"Invalid Unary|Unary", ("LOGISTIC", "TANH", "GELU", "HARD_SWISH", "ELU", "RSQRT", "SQRT", "EXP", "LEAKY_RELU")),
)
_KINDS = [(re.compile(pattern), frozenset(operators)) for pattern, operators in _KERNELS]
_TAILS = re.compile(r"Clamp|Copy|Convert|Static Reshape")
"""Kernels that may also be the first or last part of another operator."""


@dataclass(frozen=True)
class Event:
    """One kernel of one run."""

    tag: str
    type: int
    number: int
    us: float
    graph: int = 0
    """the subgraph: branches and loop bodies are others than the main one"""


@dataclass
class Timed:
    """Mean time and precision by the operator's index; kernels that none could be found for, with their times."""

    times: dict[int, float] = field(default_factory=dict)
    precision: dict[int, str] = field(default_factory=dict)
    others: list[tuple[str, float]] = field(default_factory=list)


def assigned(kinds: Mapping[int, str], runs: Sequence[Sequence[Event]]) -> Timed:
    """The events of one subgraph. ``kinds``: index to type of its operators that run, in their order.

    Of runs that differ in their kernels those like the first count.
    """
    found = Timed()
    runs = [run for run in runs if [one.tag for one in run] == [one.tag for one in runs[0]]]
    if not runs:
        return found
    means = [sum(part.us for part in parts) / len(parts) for parts in zip(*runs, strict=True)]
    own = {one.number for one in runs[0] if one.type == OPERATOR}
    waiting = [index for index in kinds if index not in own]
    times: dict[int, float] = {}
    last: int | None = None
    begin = 0
    for event, us in zip(runs[0], means, strict=True):
        if event.type == OPERATOR:
            times[event.number] = times.get(event.number, 0.0) + us
            begin = 0  # another part of the graph follows
            continue
        place = _matching(event.tag, kinds, waiting, begin)
        if place is not None:
            last = waiting.pop(place)
            begin = place
        elif last is None or not _TAILS.match(event.tag):
            found.others.append((event.tag, round(us, 3)))
            continue
        times[last] = times.get(last, 0.0) + us  # type: ignore[index]
        found.precision.setdefault(last, precision(event.tag))  # type: ignore[arg-type]
    found.times = {index: round(us, 3) for index, us in times.items() if index in kinds}
    return found


def _matching(tag: str, kinds: Mapping[int, str], waiting: Sequence[int], begin: int) -> int | None:
    wanted = next((operators for pattern, operators in _KINDS if pattern.search(tag)), frozenset[str]())
    for place in range(begin, min(begin + _AHEAD, len(waiting))):
        if kinds[waiting[place]] in wanted:
            return place
    return None


def precision(tag: str) -> str:
    """What a kernel computes in, by its name: 'Fully Connected (NC, QD8, F32, QC8W) GEMM'; empty where it says none."""
    for sign, name in (("QD8", "int8 (dynamic)"), ("QS8", "int8"), ("QC8", "int8"), ("F16", "float16")):
        if sign in tag:
            return name
    return "float32" if re.search(r"\bF32\b", tag) else ""

"""ONNX to TensorFlow: the graph's operators, in ONNX's own meaning, as a TensorFlow function.

Names, order, shapes and layouts of inputs and outputs stay as they are. What ``OPERATORS`` has no rule for is
refused with the node's name; where a rule is missing and the operator set defines the operator by others, those
are taken.
"""

from __future__ import annotations

from workers.backends.litert.importer import (
    activation,
    arithmetic,
    constant,
    control,
    convolution,
    detection,
    indexing,
    matrix,
    normal,
    pooling,
    quantized,
    recurrent,
    reduction,
    resize,
    shaping,
)
from workers.backends.litert.importer.function import INPUT, OUTPUT, function, prepared
from workers.backends.litert.importer.node import OPERATORS
from workers.backends.litert.importer.translate import Graph
from workers.backends.litert.importer.value import Value

__all__ = [
    "INPUT",
    "OPERATORS",
    "OUTPUT",
    "Graph",
    "Value",
    "activation",
    "arithmetic",
    "constant",
    "control",
    "convolution",
    "detection",
    "function",
    "indexing",
    "matrix",
    "normal",
    "pooling",
    "prepared",
    "quantized",
    "recurrent",
    "reduction",
    "resize",
    "shaping",
]

"""An ONNX node while it is translated, and the table of operators."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx

from workers.backends.litert.importer.value import Value

Made = Value | Sequence[Value | None]
Translate = Callable[["Node"], Made]

OPERATORS: dict[str, Translate] = {}
"""Operator type to what makes TensorFlow of a node: its values, one per output, None for one that it has not got."""


def operator(*names: str) -> Callable[[Translate], Translate]:
    """Enter a function into the table under these operator types."""

    def enter(function: Translate) -> Translate:
        for name in names:
            OPERATORS[name] = function
        return function

    return enter


class Unsupported(ValueError):
    """A form of a known operator that cannot be said in TensorFlow Lite."""


class Node:
    """A node with its inputs' values. ``version`` is the operator set."""

    def __init__(self, proto: Any, inputs: list[Value | None], version: int, outputs: Sequence[bool]) -> None:
        self.type: str = proto.op_type
        self.inputs = inputs
        self.version = version
        self.outputs = outputs
        """which outputs anything reads"""
        self.graphs: dict[str, Any] = {}
        """subgraphs by the names of their attributes (``translate.Graph``)"""
        self._attributes = {one.name: one for one in proto.attribute}

    def has(self, index: int) -> bool:
        """Whether an optional input is there."""
        return index < len(self.inputs) and self.inputs[index] is not None

    def value(self, index: int = 0) -> Value:
        """An input. Raises Unsupported where it is left out."""
        found = self.inputs[index] if index < len(self.inputs) else None
        if found is None:
            raise Unsupported(f"input {index} is missing")
        return found

    def values(self) -> list[Value]:
        """All inputs that are there."""
        return [value for value in self.inputs if value is not None]

    def first(self, index: int = 0) -> Any:
        """An input's tensor in ONNX's order."""
        return self.value(index).first()

    def constant(self, index: int, what: str) -> Any:
        """An input's elements. Raises Unsupported where they are only known at run time."""
        value = self.value(index)
        if not value.constant:
            raise Unsupported(f"its {what} are computed while the model runs")
        return value.first()

    def attribute(self, name: str, default: Any = None) -> Any:
        """An attribute; texts as str."""
        if name not in self._attributes:
            return default
        found = onnx.helper.get_attribute_value(self._attributes[name])
        if isinstance(found, bytes):
            return found.decode()
        return [one.decode() if isinstance(one, bytes) else one for one in found] if _repeated(found) else found

    def listed(self, name: str, index: int, default: Any = None) -> list[int] | None:
        """What older operator sets have as an attribute and newer ones as a constant input, as a list of numbers."""
        found = self.attribute(name)
        if found is None and self.has(index):
            found = np.atleast_1d(self.constant(index, name)).tolist()
        return default if found is None else list(found)

    def listed_or_none(self, name: str, index: int) -> list[int] | None:
        """As ``listed``; None too where the input is only known at run time."""
        if self.attribute(name) is None and self.has(index) and not self.value(index).constant:
            return None
        return self.listed(name, index)


def _repeated(found: Any) -> bool:
    return isinstance(found, Sequence) and not isinstance(found, str)

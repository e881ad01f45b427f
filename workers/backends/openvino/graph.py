"""Looking at an ov.Model: all its nodes, those inside branches and loops too, and what its weights are stored in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from math import prod
from typing import Any

_BODIES = {"If": ((0,), (1,)), "Loop": ((),), "TensorIterator": ((),)}
_FEWEST = 2
"""A constant of one element is a number of the graph, not a weight."""


def nodes(model: Any) -> Iterator[Any]:
    """Every node, depth first."""
    for node in model.get_ordered_ops():
        yield node
        for which in _BODIES.get(node.get_type_name(), ()):
            yield from nodes(node.get_function(*which))


def has_bodies(model: Any) -> bool:
    """Whether there are branches or loops."""
    return any(node.get_type_name() in _BODIES for node in model.get_ops())


def stored(model: Any) -> Counter[str]:
    """Element type to the number of weights stored in it."""
    found: Counter[str] = Counter()
    for node in nodes(model):
        if node.get_type_name() == "Constant":
            size = prod(node.get_output_shape(0))
            if size >= _FEWEST:
                found[node.get_element_type().get_type_name()] += size
    return found


def fake_quantizes(model: Any) -> int:
    """Nodes that round to a grid of integers: where activations are quantised."""
    return sum(node.get_type_name() == "FakeQuantize" for node in nodes(model))


def quantised(model: Any) -> set[str]:
    """Names of the nodes that read quantised activations."""
    return {
        node.get_friendly_name()
        for node in nodes(model)
        if node.get_type_name() != "FakeQuantize" and any(_is_activation(value) for value in node.input_values())
    }


def _is_activation(value: Any) -> bool:
    maker = value.get_node()
    if maker.get_type_name() != "FakeQuantize":
        return False
    return str(maker.input_value(0).get_node().get_type_name()) != "Constant"

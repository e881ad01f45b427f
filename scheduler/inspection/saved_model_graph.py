"""What of a SavedModel's graph is needed: nodes by the tensors that are asked for, functions by who calls them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any


def needed(graph: Iterable[Any], functions: Mapping[str, Any], outputs: Iterable[str]) -> Iterator[Any]:
    """The nodes that the outputs need, and those of every function that they call, each once.

    ``graph``: the nodes of the main graph; ``functions``: FunctionDefs by name; ``outputs``: names of tensors.
    """
    found = list(_upstream(graph, outputs))
    yield from found
    for name in sorted(called(functions, (name for node in found for name in calls(node)))):
        yield from functions[name].node


def called(functions: Mapping[str, Any], names: Iterable[str]) -> set[str]:
    """These functions and all that they call."""
    queue, found = list(names), set[str]()
    while queue:
        name = queue.pop()
        if name in functions and name not in found:
            found.add(name)
            queue += [other for node in functions[name].node for other in calls(node)]
    return found


def calls(node: Any) -> Iterator[str]:
    """Names of what may be functions: the operator itself, and the node's attributes."""
    yield node.op
    for value in node.attr.values():
        if value.HasField("func"):
            yield value.func.name
        yield from (one.name for one in value.list.func)


def _upstream(graph: Iterable[Any], outputs: Iterable[str]) -> Iterator[Any]:
    by_name = {node.name: node for node in graph}
    queue = [_node_of(name) for name in outputs]
    seen = set(queue)
    while queue:
        node = by_name.get(queue.pop())
        if node is None:
            continue
        yield node
        fresh = {_node_of(name) for name in node.input} - seen
        seen |= fresh
        queue += fresh


def _node_of(tensor: str) -> str:
    """The node of 'node:0', 'node' or '^node'."""
    return tensor.removeprefix("^").split(":")[0]

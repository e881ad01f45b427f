"""Which source nodes an executed node stands for, by the tensors at its borders. Pure: graphs in, names out.

ONNX Runtime's fusions keep the names of the tensors at their borders; where it lays a node out anew it names the node
after its output, or gives its old name a number. The farm's own stages keep names of nodes and tensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

FILE = "lineage.json"
_MOST = 256
_LAID_OUT = "_nchwc"
_CAST = "InsertedPrecisionFreeCast_"
_NUMBER = re.compile(r"(_token_\d+)+$")
_MOVERS = frozenset(
    {"Cast", "Identity", "Transpose", "QuantizeLinear", "DequantizeLinear", "ReorderInput", "ReorderOutput"}
)
"""What ONNX Runtime puts between nodes: it gives a tensor that another node made."""


@dataclass(frozen=True)
class Node:
    """A node as far as its place in the graph goes."""

    name: str
    kind: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def nodes_of(model: Any) -> list[Node]:
    """All nodes of an onnx.ModelProto, those of branches and bodies included; constants are no work."""
    from workers.stages.graph import all_nodes

    return [
        Node(node.name, node.op_type, tuple(node.input), tuple(node.output))
        for node in all_nodes(model.graph)
        if node.op_type != "Constant"
    ]


def trace(executed: Sequence[Node], before: Sequence[Node]) -> dict[str, list[str]]:
    """Executed node's name to the names of the nodes that it stands for, in the order of the graph before."""
    makers = {name: index for index, node in enumerate(before) for name in node.outputs if name}
    named = {node.name: index for index, node in enumerate(before)}
    ends = [_ends(node, before, makers, named) for node in executed]
    border = {name for each in ends for name in each}
    border |= {name.removeprefix(_CAST) for node in executed for name in (*node.inputs, *node.outputs)}
    found: dict[str, list[str]] = {}
    for node, own in zip(executed, ends, strict=True):
        within: set[int] = set()
        queue = list(own)
        while queue and len(within) <= _MOST:
            name = queue.pop()
            index = makers.get(name)
            if index is None or index in within or (name in border and name not in own):
                continue
            within.add(index)
            queue.extend(before[index].inputs)
        if within and len(within) <= _MOST:
            names = found.setdefault(node.name, [])
            names += [before[index].name for index in sorted(within) if before[index].name not in names]
    return found


def composed(later: Mapping[str, Sequence[str]], earlier: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What the later graph's nodes stand for, told in what the earlier one's do; names that it lacks are dropped."""
    return {
        name: list(dict.fromkeys(one for part in parts for one in earlier.get(part, ())))
        for name, parts in later.items()
    }


def write(work: Path, staged: Any, origin: Mapping[str, Sequence[str]] | None = None) -> None:
    """Keep the graph that ONNX Runtime got last, and what its nodes stand for: themselves where nothing is said."""
    nodes = nodes_of(staged)
    known = {node.name: [node.name] for node in nodes} if origin is None else origin
    content = {"nodes": [[node.name, node.kind, node.inputs, node.outputs] for node in nodes], "origin": known}
    (work / FILE).write_text(json.dumps(content))


def follow(work: Path, staged: Any) -> None:
    """Keep a graph that was made of the one that was kept, with what its nodes stand for in the source."""
    before, origin = read(work)
    write(work, staged, composed(trace(nodes_of(staged), before), origin))


def read(work: Path) -> tuple[list[Node], dict[str, list[str]]]:
    """What ``write`` kept."""
    content = json.loads((work / FILE).read_text())
    nodes = [Node(name, kind, tuple(inputs), tuple(outputs)) for name, kind, inputs, outputs in content["nodes"]]
    return nodes, content["origin"]


def source_names(names: Iterable[str], origin: Mapping[str, Sequence[str]]) -> list[str]:
    """Names of a staged graph's nodes as the source's; a node that nothing is known of keeps its own."""
    return list(dict.fromkeys(one for name in names for one in (origin.get(name) or [name])))


def _ends(node: Node, before: Sequence[Node], makers: Mapping[str, int], named: Mapping[str, int]) -> tuple[str, ...]:
    """The tensors of the graph before that the executed node makes."""
    plain = [name.removeprefix(_CAST) for name in node.outputs]
    given = tuple(name for name in plain if name in makers)
    if node.kind in _MOVERS:
        given = tuple(name for name in given if before[makers[name]].kind == node.kind)
    if given:
        return given
    name = node.name.removeprefix(_CAST)
    tensor = name.removesuffix(_LAID_OUT)
    if tensor != name:
        return (tensor,) if tensor in makers else ()
    index = named.get(_NUMBER.sub("", name))
    if index is None or (node.kind in _MOVERS and before[index].kind != node.kind):
        return ()
    return tuple(name for name in before[index].outputs if name)

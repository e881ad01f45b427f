"""Which source nodes each node of an IR stands for.

OpenVINO fuses while it converts (a batch norm into the convolution before it) and again while it compiles. What it
fused while compiling the runtime tells; what it fused while converting only the converter knows.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

_FILE = "lineage.json"
_FUSED_NAMES = "fused_names_0"

# OpenVINO loses the name of some of these (a grouped convolution that takes up a batch norm).
_ARITHMETIC = frozenset(
    {
        "Add", "BatchNormInference", "Convolution", "ConvolutionBackpropData", "Divide", "GroupConvolution",
        "GroupConvolutionBackpropData", "MatMul", "Multiply", "Subtract",
    }
)  # fmt: skip


@dataclass
class Lineage:
    """From the IR's nodes to those that were read, in their order."""

    nodes: dict[str, list[str]] = field(default_factory=dict)
    """an IR's node to the nodes of the graph as it was read"""
    tensors: dict[str, list[str]] = field(default_factory=dict)
    """a node as it was read to the names of its outputs"""
    renamed: dict[str, str] = field(default_factory=dict)
    """names that were given on the way to the source's own"""


@dataclass
class Origin:
    """The graph as it was read, before anything is fused: nodes in order, their outputs, who reads them, who works."""

    order: dict[str, int] = field(default_factory=dict)
    tensors: dict[str, list[str]] = field(default_factory=dict)
    readers: dict[str, list[str]] = field(default_factory=dict)
    working: list[str] = field(default_factory=list)


def origin(model: Any) -> Origin:
    """Look at an ov.Model as the frontend gave it."""
    found = Origin()
    live: dict[str, bool] = {}
    for node in model.get_ordered_ops():
        name, kind = node.get_friendly_name(), node.get_type_name()
        found.order.setdefault(name, len(found.order))
        if kind in ("Constant", "Result"):
            continue
        tensors = [tensor for output in node.outputs() for tensor in sorted(output.get_names()) if tensor != name]
        if tensors:
            found.tensors[name] = tensors
        makers = [value.get_node().get_friendly_name() for value in node.input_values()]
        for maker in makers:
            found.readers.setdefault(maker, []).append(name)
        live[name] = kind == "Parameter" or (kind != "ShapeOf" and any(live.get(maker) for maker in makers))
        if live[name] and kind in _ARITHMETIC:
            found.working.append(name)
    return found


def lineage(model: Any, before: Origin, renamed: dict[str, str]) -> Lineage:
    """From an ov.Model whose transformations kept the names of what they fused."""
    found: dict[str, list[str]] = {}
    taken: set[str] = set()
    for node in model.get_ordered_ops():
        if node.get_type_name() in ("Constant", "Result"):
            continue
        name, info = node.get_friendly_name(), node.get_rt_info()
        names = info[_FUSED_NAMES].astype(str).split(",") if _FUSED_NAMES in info else []
        # A fusion hands the names of what it takes in on to its neighbours as well: the first one has it.
        found[name] = [one for one in names if one in before.order and (one not in taken or one == name)]
        taken.update(names)
    _lost(found, before)
    nodes = {name: sorted(set(names), key=before.order.__getitem__) for name, names in found.items() if names}
    return Lineage(nodes, before.tensors, renamed)


def write(found: Lineage, work: Path) -> None:
    """Keep it for ``read``."""
    (work / _FILE).write_text(json.dumps(asdict(found)))


def read(work: Path) -> Lineage:
    """What was kept; nothing where nothing was."""
    path = work / _FILE
    return Lineage(**json.loads(path.read_text())) if path.exists() else Lineage()


def _lost(found: dict[str, list[str]], before: Origin) -> None:
    """Give working nodes without an heir to the node that took up all their readers."""
    heirs: dict[str, list[str]] = {}
    for name, names in found.items():
        for one in names:
            heirs.setdefault(one, []).append(name)
    for name in reversed(before.working):
        if name in heirs:
            continue
        shared = [heirs.get(reader, []) for reader in before.readers.get(name, [])]
        common = [heir for heir in shared[0] if all(heir in other for other in shared)] if shared else []
        if common:
            found[common[0]].append(name)
            heirs[name] = common[:1]

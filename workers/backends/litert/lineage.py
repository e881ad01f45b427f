"""From a .tflite file's tensors back to the source's nodes.

The import of ONNX numbers the nodes in the names of all that it makes of them, and TensorFlow's converter joins the
names of what it fuses: ``n2_relu/Relu;n1_bn/add;n0_conv/Conv2D``.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from enginehouse.formats import Format
from workers.backends.workpiece import Workpiece

_FILE = "lineage.json"
_NUMBER = re.compile(r"(?:^|/)n(\d+)_")
_MOST = 64


def write(
    work: Path, nodes: Sequence[Sequence[str]], makers: Mapping[str, str], inputs: Mapping[str, Sequence[str]]
) -> None:
    """Keep the nodes behind each number, which node makes which tensor, and which of these tensors a node reads."""
    found = {name: [one for one in names if one in makers] for name, names in inputs.items()}
    (work / _FILE).write_text(json.dumps({"nodes": nodes, "makers": dict(makers), "inputs": found}))


class Lineage:
    """What is known of one build's nodes; nothing where the model did not come through ONNX."""

    def __init__(self, piece: Workpiece) -> None:
        path = piece.work / _FILE
        found = json.loads(path.read_text()) if path.exists() else {"nodes": [], "makers": {}, "inputs": {}}
        self._tensorflow = piece.source.format in (Format.SAVED_MODEL, Format.KERAS) and not path.exists()
        self._nodes: list[list[str]] = found["nodes"]
        self._makers: dict[str, str] = found["makers"]
        self._inputs: dict[str, list[str]] = found["inputs"]

    def of(self, name: str) -> list[str]:
        """The source nodes in a tensor's name, in the order in which they run; TensorFlow's own names as they are."""
        if self._tensorflow:
            return list(dict.fromkeys(part for part in reversed(name.split(";")) if "/" in part))
        numbers: set[int] = set()
        for part in name.split(";"):
            number = _NUMBER.search(part)
            if number and int(number[1]) < len(self._nodes):
                numbers.add(int(number[1]))
        return [node for number in sorted(numbers) for node in self._nodes[number]]

    def tensors(self, name: str) -> list[str]:
        """The ONNX tensors that a tensor of this name may hold: what the last node in it gives."""
        nodes = self.of(name)
        last = nodes[-1] if nodes else self._makers.get(name)
        return [] if last is None else [tensor for tensor, node in self._makers.items() if node == last]

    def behind(self, output: str, done: Iterable[str]) -> list[str]:
        """The nodes that make one of the source's outputs out of what ``done`` nodes make."""
        known, found = set(done), list[str]()
        queue = [output]
        while queue and len(found) < _MOST:
            node = self._makers.get(queue.pop())
            if node is not None and node not in known:
                known.add(node)
                found.append(node)
                queue.extend(self._inputs.get(node, []))
        return list(reversed(found))

    def names(self, tensors: Iterable[str]) -> list[str]:
        """The source nodes of several tensors; a tensor's own name where they are not known."""
        found: list[str] = []
        for tensor in tensors:
            own = self.of(tensor) or [self._makers.get(tensor, tensor)]  # an output bears no number
            found += [name for name in own if name not in found]
        return found

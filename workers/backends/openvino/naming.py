"""What the source calls the nodes that OpenVINO names in its own way."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property

from enginehouse.formats import Format
from workers.backends.openvino.lineage import Lineage, read
from workers.backends.workpiece import Source, Workpiece
from workers.sources import get

_MADE_UP = re.compile(r"[A-Z][A-Za-z0-9]*_\d+|\d+")
_SPLIT = re.compile(r"(/Dequantization(Multiply|Subtract|Convert)|_original)$")
"""Parts of a node that the runtime takes apart to compute it in eight bits."""

_ROUNDED = re.compile(r"(.*)/fq_\w+_\d+$")
"""The quantisation of a node's output or weights."""

_NUMBER = re.compile(r":\d+$")


class Names:
    """From nodes of an IR to nodes of the source.

    ``known``: every name that a source node goes by to its own; where it is empty the source names none that OpenVINO
    keeps, and what OpenVINO took from it counts.
    """

    def __init__(self, found: Lineage, known: Callable[[], Mapping[str, str]]) -> None:
        self._lineage = found
        self._look = known

    @cached_property
    def _known(self) -> Mapping[str, str]:
        return self._look()

    def of(self, nodes: Iterable[str]) -> list[str]:
        """The source nodes behind nodes of the IR, each once."""
        found: dict[str, None] = {}
        for part in nodes:
            if _ROUNDED.match(part):
                continue
            node = _SPLIT.sub("", part)
            for read_as in self._lineage.nodes.get(node, [node]):
                name = self._own(read_as)
                if name:
                    found[name] = None
        return list(found)

    def rounded(self, nodes: Iterable[str]) -> list[str]:
        """The source nodes whose outputs nodes of the IR quantise. Those may have taken them up: a ReLU is a bound."""
        return self.of(match[1] for match in map(_ROUNDED.match, nodes) if match)

    def _own(self, read_as: str) -> str:
        for name in self._candidates(read_as):
            if self._known:
                if name in self._known:
                    return self._known[name]
            elif not _MADE_UP.fullmatch(name):
                return name
        return ""

    def _candidates(self, read_as: str) -> Iterator[str]:
        """The ways in which one of the frontends may have named a source node."""
        head = read_as.split("/", 1)[0]
        if head in self._lineage.renamed:  # PyTorch programs: 'convolution/aten.convolution.default/Add'
            yield self._lineage.renamed[head]
        if "aten::" in read_as:  # TorchScript: 'aten::conv2d/Convolution'
            yield read_as.rsplit("/", 1)[0]
        yield read_as
        yield read_as.removesuffix("/WithoutBiases")  # ONNX: a convolution with a bias becomes two nodes
        for tensor in self._lineage.tensors.get(read_as, ()):
            yield tensor
            yield _NUMBER.sub("", tensor)  # TensorFlow: 'dense/BiasAdd:0'


def names(source: Source, piece: Workpiece) -> Names:
    """Of the model that is in work. Its nodes are looked up when they are first asked for."""
    return Names(read(piece.work), lambda: _known(source, piece))


def _known(source: Source, piece: Workpiece) -> dict[str, str]:
    """OpenVINO calls an ONNX node by its name, or by an output."""
    known = {name: name for name in get(source.format).nodes(source, piece.work) if name}
    if source.format is Format.ONNX:
        import onnx

        for node in onnx.load(source.path, load_external_data=False).graph.node:
            for output in filter(None, node.output):
                known.setdefault(output, node.name or node.output[0])
    return known

"""The ONNX graph as it grows, and one layer's view of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import helper, numpy_helper

from protos.caffe import Layer, Shape, UnknownLayer

Array = npt.NDArray[np.float32]


@dataclass
class Graph:
    """Nodes and constants so far. ``taken``: names of tensors and nodes that cannot be given again."""

    taken: set[str]
    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def fresh(self, name: str) -> str:
        """The name, or one like it, that is nobody's yet."""
        found, count = name, 1
        while found in self.taken:
            count += 1
            found = f"{name}_{count}"
        self.taken.add(found)
        return found


@dataclass(frozen=True)
class Step:
    """One layer to be converted. ``blobs``: its weights in the shapes that the layer wants them in."""

    graph: Graph
    layer: Layer
    bottoms: Sequence[Shape]
    tops: Sequence[Shape]
    blobs: Sequence[Array]

    @property
    def param(self) -> Any:
        """The layer's LayerParameter."""
        return self.layer.param

    @property
    def x(self) -> str:
        """The first bottom's tensor."""
        return self.layer.bottoms[0]

    @property
    def shape(self) -> Shape:
        """The first bottom's shape."""
        return self.bottoms[0]

    def last(self, op: str, inputs: Sequence[str], top: int = 0, **attributes: Any) -> None:
        """The node that makes a top. It bears the layer's name."""
        name = self.graph.fresh(f"node:{self.layer.name}").removeprefix("node:")
        self.graph.nodes.append(helper.make_node(op, list(inputs), [self.layer.tops[top]], name=name, **attributes))

    def every(self, op: str, inputs: Sequence[str], **attributes: Any) -> None:
        """The node that makes all tops."""
        name = self.graph.fresh(f"node:{self.layer.name}").removeprefix("node:")
        self.graph.nodes.append(helper.make_node(op, list(inputs), list(self.layer.tops), name=name, **attributes))

    def inner(self, op: str, inputs: Sequence[str], **attributes: Any) -> str:
        """A node on the way there; its tensor."""
        name = self.graph.fresh(f"node:{self.layer.name}/{op}").removeprefix("node:")
        tensor = self.graph.fresh(name)
        self.graph.nodes.append(helper.make_node(op, list(inputs), [tensor], name=name, **attributes))
        return tensor

    def constant(self, value: Any, what: str, kind: Any = np.float32) -> str:
        """A constant tensor."""
        name = self.graph.fresh(f"{self.layer.name}/{what}")
        self.graph.constants.append(
            numpy_helper.from_array(np.ascontiguousarray(value, kind).reshape(np.shape(value)), name)
        )
        return name

    def integers(self, values: Sequence[int], what: str) -> str:
        """A constant list of integers: a shape, axes, sizes."""
        return self.constant(list(values), what, np.int64)

    def sizes(self, wanted: Sequence[int]) -> str:
        """A shape for Reshape that keeps the batch open where it stays the batch."""
        keep = bool(self.shape) and len(wanted) > 0 and wanted[0] == self.shape[0]
        return self.integers([0, *wanted[1:]] if keep else wanted, "shape")

    def channels(self, blob: Array) -> Array:
        """A blob of one number a channel (or one alone) in the shape that broadcasts over the first bottom."""
        return blob.reshape((blob.size, *(1,) * max(0, len(self.shape) - 2))) if blob.size > 1 else blob.reshape(1)

    def refused(self, what: str, hint: str) -> UnknownLayer:
        """The error for a parameter of the layer that has no rule."""
        return UnknownLayer(f"{self.layer.where}: {what}", layer=self.layer.name, type=self.layer.type, hint=hint)

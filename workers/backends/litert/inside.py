"""The tensors of a .tflite file by those of the ONNX graph that it was made of."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from workers.backends.base import Array, Arrays, Setting
from workers.backends.litert.flatbuffer import Model, text, unpacked
from workers.backends.litert.lineage import Lineage
from workers.backends.litert.run import LiteRtSession
from workers.backends.workpiece import Workpiece

_TO_FIRST = {3: (0, 2, 1), 4: (0, 3, 1, 2), 5: (0, 4, 1, 2, 3)}
"""From channels last, which LiteRT has, to channels first, which ONNX has."""


class _Open(LiteRtSession):
    """A session that keeps what every operator gave."""

    def _made(self, path: Path, setting: Setting) -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it says that this takes memory
            return Interpreter(
                model_path=str(path),
                num_threads=setting.threads,
                experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
                experimental_preserve_all_tensors=True,
            )

    def tensors(self) -> Iterator[tuple[str, Array]]:
        """Name and values of the main graph's floating and quantised tensors, in the order in which they were made."""
        for detail in self._interpreter.get_tensor_details():
            try:
                found = np.asarray(self._interpreter.get_tensor(detail["index"]))
            except ValueError:  # never allocated: what a fused operator holds inside
                continue
            scale, zero = detail["quantization"]
            if found.dtype.kind == "f":
                yield detail["name"], found
            elif found.dtype.kind in "iu" and scale:
                yield detail["name"], (found.astype(np.float32) - zero) * np.float32(scale)


def values(piece: Workpiece, path: Path, feeds: Arrays, wanted: Arrays) -> dict[str, Array]:
    """Tensor of the ONNX graph to what the file computes for it. A node's last operator of a fitting size counts."""
    lineage = Lineage(piece)
    session = _Open(path, Setting(piece.threads), xnnpack=False)
    session.run(feeds)
    found: dict[str, Array] = {}
    for name, array in session.tensors():
        for tensor in lineage.tensors(name):
            laid = _laid(array, wanted[tensor]) if tensor in wanted else None
            if laid is not None:
                found[tensor] = laid
    return found


def known(piece: Workpiece, path: Path, names: Sequence[str]) -> list[str]:
    """Those of the source's nodes that an operator of the file stands for."""
    lineage = Lineage(piece)
    behind = {node for op in _operators(unpacked(path.read_bytes())) for node in lineage.names(op)}
    return [name for name in names if name in behind]


def _operators(model: Model) -> Iterator[list[str]]:
    """The names of each operator's results."""
    for graph in model.subgraphs:
        for op in graph.operators:
            yield [text(graph.tensors[index].name) for index in op.outputs]


def _laid(array: Array, true: Array) -> Array | None:
    """The values with the axes of the source's; of two layouts that fit, the one that is nearer."""
    axes = _TO_FIRST.get(array.ndim)
    ways = [array] if axes is None else [array, array.transpose(axes)]
    fitting = [way for way in ways if way.shape == true.shape]
    if not fitting:
        return array.reshape(true.shape) if array.size == true.size and axes is None else None
    return min(fitting, key=lambda way: float(np.square(np.subtract(way, true, dtype=np.float64)).sum()))

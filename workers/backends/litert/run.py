"""Load a .tflite file with LiteRT's interpreter and run it by the source's names."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from workers.backends.base import Array, Arrays, Session, Setting, as_fed
from workers.backends.litert.flatbuffer import Model, text, unpacked
from workers.backends.litert.names import noted

_DELEGATE = "DELEGATE"


@dataclass(frozen=True)
class Port:
    """An input or output: its tensor, and the source's element type where the file notes it."""

    name: str
    index: int
    dtype: str = ""


def ports(model: Model) -> tuple[list[Port], list[Port]]:
    """The main subgraph's inputs and outputs by the names of its signature, else of its tensors."""
    graph, kinds = model.subgraphs[0], noted(model)
    for signature in model.signatureDefs or []:
        if not signature.subgraphIndex:
            found = [
                [(text(one.name), int(one.tensorIndex)) for one in part]
                for part in (signature.inputs, signature.outputs)
            ]
            break
    else:
        found = [[(text(graph.tensors[i].name), int(i)) for i in part] for part in (graph.inputs, graph.outputs)]
    inputs, outputs = ([Port(name, index, kinds.get(name, "")) for name, index in part] for part in found)
    return inputs, outputs


def interpreter(path: Path, threads: int, xnnpack: bool) -> Any:
    """An interpreter on the CPU."""
    kernels = OpResolverType.AUTO if xnnpack else OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return Interpreter(model_path=str(path), num_threads=threads, experimental_op_resolver_type=kernels)


class LiteRtSession(Session):
    """An interpreter. Feeds are what the source takes: where the file's inputs are int8, they are quantised here,
    and its int8 outputs are float again, by the scales that the file holds. So are half and double precision floats.
    """

    def __init__(self, path: Path, setting: Setting, xnnpack: bool) -> None:
        self._inputs, self._outputs = ports(unpacked(path.read_bytes()))
        self._path, self._setting, self._xnnpack = path, setting, xnnpack
        self._interpreter = self._made(path, setting)
        self._details = {
            int(one["index"]): one
            for one in (*self._interpreter.get_input_details(), *self._interpreter.get_output_details())
        }
        self._shapes: list[tuple[int, ...]] | None = None
        if not any((self._details[port.index]["shape_signature"] < 0).any() for port in self._inputs):
            self._interpreter.allocate_tensors()  # open dimensions are 1 until the first run, which many models refuse

    def _made(self, path: Path, setting: Setting) -> Any:
        return interpreter(path, setting.per_stream, self._xnnpack)

    def beside(self) -> Session:
        """Another interpreter: one runs one inference at a time."""
        return LiteRtSession(self._path, self._setting, self._xnnpack)

    def takes(self, feeds: Arrays) -> bool:
        """Whether every fixed dimension has the size that is fed."""
        for port in self._inputs:
            dims = self._details[port.index]["shape_signature"]
            shape = feeds[port.name].shape
            if len(dims) != len(shape) or any(dim not in (-1, size) for dim, size in zip(dims, shape, strict=True)):
                return False
        return True

    def arrays(self, feeds: Arrays) -> list[Array]:
        """What the file's inputs are set to, in their order."""
        return [_integers(as_fed(feeds[port.name]), self._details[port.index]) for port in self._inputs]

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference; other shapes than the last one's are allocated first. Raises ValueError, RuntimeError."""
        arrays = self.arrays(feeds)
        wanted = [array.shape for array in arrays]
        if wanted != self._shapes:
            self._shapes = None  # whatever fails now, the next run begins anew
            for port, shape in zip(self._inputs, wanted, strict=True):
                self._interpreter.resize_tensor_input(port.index, list(shape))
            self._interpreter.allocate_tensors()
            self._shapes = wanted
        for port, array in zip(self._inputs, arrays, strict=True):
            self._interpreter.set_tensor(port.index, array)
        self._interpreter.invoke()
        return {port.name: self._result(port) for port in self._outputs}

    def _result(self, port: Port) -> Array:
        found = np.asarray(self._interpreter.get_tensor(port.index))
        detail = self._details[port.index]
        if port.dtype.startswith("float") and found.dtype.kind in "iu":
            scale, zero = detail["quantization"]
            found = (found.astype(np.float32) - zero) * np.float32(scale)
        return found.astype(port.dtype) if port.dtype and found.dtype != port.dtype else found

    def settings(self) -> dict[str, Any]:
        """How it was made, and what of the graph the interpreter says that XNNPACK took."""
        layers = [one["op_name"] for one in self._interpreter._get_ops_details()]
        return {
            "num_threads": self._setting.per_stream,
            "xnnpack": self._xnnpack,
            "delegates": layers.count(_DELEGATE),
            "operators": len(layers) - layers.count(_DELEGATE),
            "inputs": ",".join(np.dtype(self._details[port.index]["dtype"]).name for port in self._inputs),
            "outputs": ",".join(np.dtype(self._details[port.index]["dtype"]).name for port in self._outputs),
        }


def _integers(array: Array, detail: dict[str, Any]) -> Array:
    """An array in the element type that the tensor takes."""
    kind = np.dtype(detail["dtype"])
    if array.dtype == kind:
        return array
    scale, zero = detail["quantization"]
    if array.dtype.kind == "f" and kind.kind in "iu" and scale:
        span = np.iinfo(kind)
        return np.clip(np.round(array / scale) + zero, span.min, span.max).astype(kind)
    return array.astype(kind)

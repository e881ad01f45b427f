"""LiteRT (.tflite): run by LiteRT's interpreter, made ONNX by tf2onnx. What is stored in integers computes in them."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from enginehouse.errors import ReferenceFailed
from enginehouse.formats import Format
from enginehouse.shapes import check_shape
from enginehouse.signature import ModelSignature
from workers.backends.base import Array, Arrays, Session, Setting, as_fed, first_line
from workers.backends.workpiece import Source, Workpiece
from workers.sources import tf_onnx
from workers.sources.base import SourceFormat

_UNRESOLVED = re.compile(r"unresolved custom op: ([\w:.-]+?)\.?(?:\s|$)")
_SELECT = re.compile(r"Select TensorFlow op")


class InterpreterSession(Session):
    """The first subgraph on the CPU, with XNNPACK where it takes an operator. Raises ReferenceFailed.

    The signature's inputs and outputs are the subgraph's, in its order.
    """

    def __init__(self, path: Path, signature: ModelSignature, setting: Setting) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._threads = setting.threads
        self._specs, self._outputs = signature.inputs, [spec.name for spec in signature.outputs]
        try:
            self._interpreter = Interpreter(model_path=str(path), num_threads=setting.threads)
            self._interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise _named(error, signature) from error
        inputs, outputs = self._interpreter.get_input_details(), self._interpreter.get_output_details()
        if (len(inputs), len(outputs)) != (len(self._specs), len(self._outputs)):
            raise ReferenceFailed(
                f"the interpreter takes {len(inputs)} inputs and gives {len(outputs)} outputs; "
                f"the file says {len(self._specs)} and {len(self._outputs)}"
            )
        self._places = [int(one["index"]) for one in inputs]
        self._gives = [int(one["index"]) for one in outputs]
        self._shapes: list[tuple[int, ...]] | None = [tuple(int(size) for size in one["shape"]) for one in inputs]

    def run(self, feeds: Arrays) -> dict[str, Array]:
        """One inference; other shapes than the last one's are allocated first. Raises InvalidShapes, ValueError."""
        arrays = [as_fed(feeds[spec.name]) for spec in self._specs]
        for spec, array in zip(self._specs, arrays, strict=True):
            check_shape(spec, array.shape, "input")
        wanted = [array.shape for array in arrays]
        if wanted != self._shapes:
            self._shapes = None  # whatever fails now, the next run begins anew
            for place, shape in zip(self._places, wanted, strict=True):
                self._interpreter.resize_tensor_input(place, list(shape))
            self._interpreter.allocate_tensors()
            self._shapes = wanted
        for place, array in zip(self._places, arrays, strict=True):
            self._interpreter.set_tensor(place, array)
        self._interpreter.invoke()
        found = [np.asarray(self._interpreter.get_tensor(place)) for place in self._gives]
        return dict(zip(self._outputs, found, strict=True))

    def settings(self) -> dict[str, Any]:
        """What the interpreter was made with."""
        return {"num_threads": self._threads, "delegate": "xnnpack"}


def _named(error: Exception, signature: ModelSignature) -> ReferenceFailed:
    """The error with the operators that the interpreter does not have."""
    operators = sorted(set(_UNRESOLVED.findall(str(error))))
    if not operators and _SELECT.search(str(error)):
        operators = [name for name in signature.operators if name.startswith("Flex")]
    if not operators:
        return ReferenceFailed(f"LiteRT cannot load the source model: {first_line(error)}")
    return ReferenceFailed(
        f"LiteRT's interpreter has no operator {', '.join(operators)}",
        advice="Convert the model with LiteRT's built-in operators only (no Select TensorFlow operators).",
        operators=operators,
    )


def _bare(source: Source) -> Any:
    """An interpreter that has not yet changed the graph."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    plain = OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    return Interpreter(model_path=str(source.path), experimental_op_resolver_type=plain)


class TfliteSource(SourceFormat):
    """A .tflite file."""

    name = Format.TFLITE
    modules = ("ai_edge_litert",)
    onnx_modules = (*tf_onnx.MODULES, "ai_edge_litert")
    packages = ("ai-edge-litert", *tf_onnx.PACKAGES)

    def _reference_impl(self, source: Source, setting: Setting, work: Path) -> Session:
        return InterpreterSession(source.path, source.signature, setting)

    def _to_onnx_impl(self, piece: Workpiece) -> Source:
        interpreter = _bare(piece.source)
        ends = (*interpreter.get_input_details(), *interpreter.get_output_details())
        return tf_onnx.from_tflite(piece.source, [str(one["name"]) for one in ends], piece.work)

    def _runtime_impl(self) -> str:
        return f"litert {metadata.version('ai-edge-litert')} cpu"

    def nodes(self, source: Source, work: Path) -> list[str]:
        """The operators of the first subgraph, which have no names, by the names of their first outputs."""
        interpreter = _bare(source)
        names = {one["index"]: str(one["name"]) for one in interpreter.get_tensor_details()}
        return [names.get(one["outputs"][0], "") for one in interpreter._get_ops_details() if len(one["outputs"])]


FORMAT = TfliteSource()

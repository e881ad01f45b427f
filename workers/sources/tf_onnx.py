"""ONNX made by tf2onnx, from a SavedModel or from a .tflite file. Layouts stay as they are in the source."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from enginehouse.errors import BuildError, ConversionFailed, UnsupportedOperator
from enginehouse.shapes import has_rank
from enginehouse.signature import ModelSignature, TensorSpec
from workers.backends.base import first_line
from workers.backends.workpiece import Source
from workers.sources.onnx_made import made
from workers.sources.tf_runtime import tags_and_key, tensorflow

OPSET = 17
"""TensorRT 10 and OpenVINO, ONNX Runtime take it whole; tf2onnx's newest is 18."""

PACKAGES = ("tf2onnx", "onnx")
MODULES = ("tf2onnx", "tensorflow", "onnx")

_OPERATOR = re.compile(r"OP=(\w+)")
_OTHERWISE = "Choose a backend that reads the format directly, or export the model without the operator."
_TOO_LARGE = ("exceeds maximum protobuf size", "string too long", "exceeded maximum protobuf size", "larger than 2GB")


def from_saved_model(source: Source, folder: Path, work: Path) -> Source:
    """The served signature of the SavedModel in ``folder``, with the source's names.

    Raises UnsupportedOperator, ConversionFailed.
    """
    tensorflow()
    from tf2onnx import tf_loader

    _check_names(source.signature)
    tags, key = tags_and_key(folder)
    with _watched() as failed:
        try:
            graph, inputs, outputs, function, _, tables = tf_loader.from_saved_model(
                str(folder), None, None, tag=tags, signatures=[key],
                return_concrete_func=True, return_initialized_tables=True,
            )  # fmt: skip
            # TensorFlow sorts outputs by the signature's keys, inputs by what it makes of these.
            names = [*function._arg_keywords, *(spec.name for spec in source.signature.outputs)]
            renamed, copies = _apart([*inputs, *outputs], names)
            kept = [tensor for tensor in outputs if renamed[tensor] not in function._arg_keywords]
            model = _converted(
                graph, inputs, list(dict.fromkeys(kept)), initialized_tables=tables, tensors_to_rename=renamed
            )
        except Exception as error:
            raise _named(error, failed) from error
    return _finished(source, model, work, copies)


def from_tflite(source: Source, tensors: Sequence[str], work: Path) -> Source:
    """The first subgraph, with the source's names. ``tensors``: names of its inputs and outputs, in its order.

    Raises UnsupportedOperator, ConversionFailed.
    """
    tensorflow()
    names = [spec.name for spec in (*source.signature.inputs, *source.signature.outputs)]
    renamed = dict(zip(tensors, names, strict=True))
    with _watched() as failed, warnings.catch_warnings():
        # It looks at shapes with TensorFlow's own interpreter, whose days are numbered.
        warnings.filterwarnings("ignore", ".*tf.lite.Interpreter is deprecated", UserWarning)
        try:
            model = _converted(None, None, None, tflite_path=str(source.path), tensors_to_rename=renamed)
        except Exception as error:
            raise _named(error, failed) from error
    return _finished(source, model, work)


def _apart(tensors: Sequence[str], names: Sequence[str]) -> tuple[dict[str, str], dict[str, str]]:
    """Tensor to its name; and every further name of a tensor that has one already, to that one."""
    renamed: dict[str, str] = {}
    copies: dict[str, str] = {}
    for tensor, name in zip(tensors, names, strict=True):
        if renamed.setdefault(tensor, name) != name:
            copies[name] = renamed[tensor]
    return renamed, copies


def _converted(graph: Any, inputs: Any, outputs: Any, **more: Any) -> Any:
    from tf2onnx.convert import _convert_common

    tf = tensorflow()
    with tf.device("/cpu:0"):
        model, _ = _convert_common(
            graph, name="the source model", opset=OPSET, input_names=inputs, output_names=outputs, **more
        )
    return model


def _finished(source: Source, model: Any, work: Path, copies: Mapping[str, str] | None = None) -> Source:
    _check_operators(model)
    _restore_inputs(model.graph, source.signature)
    _restore_outputs(model.graph, source.signature, copies or {})
    return made(source, model, work / "onnx")


def _check_names(signature: ModelSignature) -> None:
    both = {spec.name for spec in signature.inputs} & {spec.name for spec in signature.outputs}
    if both:
        raise ConversionFailed(
            f"'{min(both)}' is the name of an input and of an output, which ONNX cannot tell apart",
            advice="Export the model with other names in its signature.",
        )


def _check_operators(model: Any) -> None:
    """What tf2onnx has no rule for it leaves in the graph under TensorFlow's name."""
    from workers.pipeline.source import nodes

    left = [node for node in nodes(model.graph) if not _known(node.domain, node.op_type)]
    if left:
        operators = sorted({node.op_type.removeprefix("TFL_") for node in left})
        names = [node.name for node in left[:20]]
        raise UnsupportedOperator(
            f"tf2onnx cannot convert {', '.join(operators)} (node {names[0]})",
            advice=_OTHERWISE,
            operators=operators,
            nodes=names,
            opset=OPSET,
        )


def _known(domain: str, operator: str) -> bool:
    from onnx import defs

    if domain in ("", "ai.onnx"):
        return bool(defs.has(operator, max_inclusive_version=OPSET))
    return domain == "ai.onnx.ml" and bool(defs.has(operator, domain=domain))


def _restore_inputs(graph: Any, signature: ModelSignature) -> None:
    """Inputs that no node reads are dropped on the way; a session that is fed by the signature's names takes them."""
    inputs = list(graph.input)
    if len(inputs) >= len(signature.inputs):
        return
    have = {one.name: one for one in inputs}
    del graph.input[:]
    graph.input.extend(have.get(spec.name) or _unread(spec) for spec in signature.inputs)


def _restore_outputs(graph: Any, signature: ModelSignature, copies: Mapping[str, str]) -> None:
    """All outputs in the signature's order; one tensor under two names is one node more."""
    from onnx import helper

    have = {one.name: one for one in graph.output}
    for name, first in copies.items():
        graph.node.append(helper.make_node("Identity", [first], [name], name=f"{name}/copy"))
    del graph.output[:]
    graph.output.extend(have.get(spec.name) or _unread(spec) for spec in signature.outputs)


def _unread(spec: TensorSpec) -> Any:
    """What the graph says of a tensor that the signature alone knows."""
    from onnx import helper

    shape = [dim if isinstance(dim, int) else None for dim in spec.shape] if has_rank(spec) else None
    return helper.make_tensor_value_info(spec.name, helper.np_dtype_to_tensor_dtype(np.dtype(spec.dtype)), shape)


class _Failures(logging.Handler):
    """tf2onnx names a node that it fails on, and its operator, in its log alone."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.nodes: list[str] = []
        self.operators: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        if str(record.msg).startswith("Failed to convert node") and isinstance(record.args, tuple):
            self.nodes.append(str(record.args[0]))
            self.operators += _OPERATOR.findall(str(record.args[-1]))[:1]


@contextmanager
def _watched() -> Iterator[_Failures]:
    logger = logging.getLogger("tf2onnx.tfonnx")
    handler = _Failures()
    logger.addHandler(handler)
    try:
        yield handler
    finally:
        logger.removeHandler(handler)


def _named(error: Exception, failed: _Failures) -> BuildError:
    if isinstance(error, BuildError):
        return error
    if any(text in str(error) for text in _TOO_LARGE):
        return ConversionFailed("the model's weights exceed 2 GB, which tf2onnx does not take in one graph")
    reason = first_line(error).removeprefix("make_sure failure: ")
    if not failed.nodes:
        return ConversionFailed(f"tf2onnx: {reason}")
    operators = list(dict.fromkeys(failed.operators))
    return UnsupportedOperator(
        f"tf2onnx cannot convert {', '.join(operators)} (node {failed.nodes[0]}): {reason}",
        advice=_OTHERWISE,
        operators=operators,
        nodes=failed.nodes[:20],
        opset=OPSET,
    )

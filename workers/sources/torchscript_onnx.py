"""ONNX of a TorchScript module: by torch's exporter for scripts and traces, else by way of an exported program."""

from __future__ import annotations

import copy
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from enginehouse.errors import BuildError, ConversionFailed, UnsupportedOperator
from enginehouse.shapes import has_rank
from enginehouse.signature import TensorSpec
from workers.backends.base import Arrays, first_line
from workers.backends.workpiece import Source, Workpiece
from workers.sources.onnx_made import made
from workers.sources.torch_export import onnx_of
from workers.sources.torch_session import buffers, changed, quietly

OPSET = 17
"""The newest that the exporter has translations of its own for most operators in; every toolchain takes it."""

_UNSUPPORTED = re.compile(r"operator '([\w:.]+)'|unrecognized namespace ([\w:]+)|containing node has kind '([\w:]+)'")
_STATE = "prim::SetAttr"


def from_module(module: Any, piece: Workpiece) -> Source:
    """The ONNX of a module that takes and returns tensors alone, with the source's names.

    Raises UnsupportedOperator, ConversionFailed, InvalidShapes.
    """
    feeds = piece.samples.typical()[0]
    axes = {spec.name: _dynamic(spec, feeds[spec.name].ndim, piece) for spec in piece.source.signature.inputs}
    examples = _examples(piece.source, feeds)
    # The newer exporter knows other operators and runs nothing, and makes all shapes fixed.
    fixed = not any(axes.values()) and not written(module)
    model = _exported_as_program(module, examples) if fixed and _changes(module, examples) else None
    if model is None:
        try:
            model = _exported(module, piece.source, examples, axes, piece.work / "exported")
        except Exception as error:
            model = _exported_as_program(module, examples) if fixed else None
            if model is None:
                raise _named(error, module) from error
    return _told(made(piece.source, model, piece.work / "onnx"), model.graph)


def written(module: Any) -> list[str]:
    """Attributes that the module's forward writes: what it keeps from one call to the next."""
    found: dict[str, None] = {}
    graph = module.inlined_graph
    blocks = [graph]
    while blocks:
        for node in blocks.pop().nodes():
            if node.kind() == _STATE:
                found[node.s("name")] = None
            blocks.extend(node.blocks())
    return list(found)


def _named(error: Exception, module: Any) -> BuildError:
    """The exporter's error with the operator that it cannot translate; its message's telling line is kept."""
    text = str(error)
    told = first_line(error).partition("  [Caused by")[0]
    kept = written(module)
    if kept:
        return UnsupportedOperator(
            f"the module keeps state in {', '.join(kept)} from one call to the next ({_STATE}), which an ONNX graph "
            f"cannot: {told}",
            advice="Make the state an input and an output of forward, and save the module again.",
            operators=[_STATE],
            nodes=kept,
            opset=OPSET,
        )
    found = _UNSUPPORTED.search(text)
    operator = next(group for group in found.groups() if group) if found else ""
    if not operator or operator.startswith("onnx::"):  # the latter is a part of an operator that is half exported
        return ConversionFailed(
            f"torch.onnx cannot export the module: {told}",
            advice="Choose a backend that reads torchscript directly, or export the module with torch.export.save.",
        )
    return UnsupportedOperator(
        f"torch.onnx has no ONNX for {operator}: {told}",
        advice="Choose a backend that reads torchscript directly, or export the module with torch.export.save.",
        operators=[operator],
        nodes=_nodes_of(module, operator),
        opset=OPSET,
    )


def _nodes_of(module: Any, operator: str) -> list[str]:
    """Where an operator stands: the path of its module, where one is known, and the operator."""
    graph = module.inlined_graph
    scopes = [node.scopeName().rpartition("/")[2].rpartition("::")[2] for node in graph.findAllNodes(operator)]
    return [f"{scope}/{operator}" if scope else operator for scope in scopes]


def _exported(
    module: Any, source: Source, examples: tuple[Any, ...], axes: dict[str, dict[int, str]], folder: Path
) -> Any:
    """The onnx.ModelProto of the exporter for TorchScript, which writes it to ``folder``. Raises the exporter's errors.

    ``axes``: dynamic dimensions by input.
    """
    import onnx
    import torch

    signature = source.signature
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "exported.onnx"
    with quietly(), _unprinted(), torch.no_grad():
        torch.onnx.export(
            module,
            examples,
            path,
            dynamo=False,
            opset_version=OPSET,
            input_names=[spec.name for spec in signature.inputs],
            output_names=[spec.name for spec in signature.outputs],
            dynamic_axes={name: found for name, found in axes.items() if found},
        )
    model = onnx.load(path)
    _restore_inputs(model.graph, signature.inputs, examples)
    return model


def _restore_inputs(graph: Any, specs: Sequence[TensorSpec], examples: tuple[Any, ...]) -> None:
    """Inputs that nothing reads are dropped by the exporter; a session that is fed by all names takes them."""
    from onnx import helper

    have = {one.name: one for one in graph.input}
    del graph.input[:]
    for spec, example in zip(specs, examples, strict=True):
        kind = helper.np_dtype_to_tensor_dtype(example.numpy().dtype)
        graph.input.append(have.get(spec.name) or helper.make_tensor_value_info(spec.name, kind, example.shape))


def _told(onnx: Source, graph: Any) -> Source:
    """The ONNX with the types and shapes that TorchScript did not tell, and its graph does."""
    from onnx import helper

    values = {one.name: one.type.tensor_type for one in (*graph.input, *graph.output)}

    def spec(one: TensorSpec) -> TensorSpec:
        if has_rank(one):
            return one
        kind = values[one.name]
        dims = [dim.dim_value if dim.HasField("dim_value") else dim.dim_param or None for dim in kind.shape.dim]
        dtype = str(helper.tensor_dtype_to_np_dtype(kind.elem_type))
        return TensorSpec(name=one.name, dtype=dtype, shape=dims if kind.HasField("shape") else [None])

    signature = onnx.signature
    inputs, outputs = ([spec(one) for one in specs] for specs in (signature.inputs, signature.outputs))
    return Source(onnx.path, signature.model_copy(update={"inputs": inputs, "outputs": outputs}))


def _exported_as_program(module: Any, examples: tuple[Any, ...]) -> Any:
    """The onnx.ModelProto by way of an exported program, with the examples' shapes; None where that does not work."""
    import torch
    from torch._export.converter import TS2EPConverter

    try:
        with quietly(), torch.no_grad():
            return onnx_of(TS2EPConverter(module, examples).convert())
    except Exception:  # noqa: BLE001 - the first exporter's error is the one that is told
        return None


def _examples(source: Source, feeds: Arrays) -> tuple[Any, ...]:
    import numpy as np
    import torch

    return tuple(torch.from_numpy(np.array(feeds[spec.name])) for spec in source.signature.inputs)


def _changes(module: Any, examples: tuple[Any, ...]) -> bool:
    """Whether a run changes the module's buffers: the exporter for TorchScript runs it, and keeps what that leaves."""
    import torch

    ran = copy.deepcopy(module)
    before = buffers(ran)
    with quietly(), torch.no_grad():
        ran(*(example.clone() for example in examples))
    return bool(changed(ran, before))


@contextmanager
def _unprinted() -> Iterator[None]:
    """Without standard output: where the exporter fails it prints the whole graph, from C++."""
    sys.stdout.flush()
    kept = os.dup(1)
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _dynamic(spec: TensorSpec, rank: int, piece: Workpiece) -> dict[int, str]:
    """Axis to symbol of an input's dynamic dimensions: those that profiles range over, else those that are unknown."""
    if spec.name in piece.shapes:
        return {}
    ranges = [profile[spec.name] for profile in piece.profiles if spec.name in profile]
    if ranges:
        moving = [
            axis for axis in range(rank) if len({size for one in ranges for size in (one.min[axis], one.max[axis])}) > 1
        ]
    else:
        moving = [axis for axis in range(rank) if not has_rank(spec) or not isinstance(spec.shape[axis], int)]
    known = dict(enumerate(spec.shape)) if has_rank(spec) else {}
    return {axis: str(known[axis]) if isinstance(known.get(axis), str) else f"{spec.name}_{axis}" for axis in moving}

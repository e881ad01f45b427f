"""torch.export program (.pt2): run by torch, made ONNX by torch's exporter for such programs."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from enginehouse.errors import BuildError, ConversionFailed, UnsupportedOperator
from enginehouse.formats import Format
from workers.backends.base import Session, Setting, first_line
from workers.backends.workpiece import Source, Workpiece
from workers.sources.base import SourceFormat
from workers.sources.onnx_made import made
from workers.sources.torch_session import TorchSession, quietly, runtime

OPSET = 18
"""What torch's translations are written in: no converter of versions is needed, and every toolchain takes it."""

_NODE = re.compile(r"translating node %(\w+)")


def load_program(source: Source | Path) -> Any:
    """The torch.export.ExportedProgram of a .pt2 archive, whatever the file is called.

    It is flattened: its placeholders for inputs are tensors with the signature's names, taken by position; it returns
    a flat tuple of the signature's outputs in their order. What was constant among inputs and outputs is gone, so are
    guards and example inputs. Raises ModelUnreadable, ModelExecutesCode, UnsupportedOperator.
    """
    from workers.sources.torch_program_file import program_of

    with quietly():
        return program_of(source if isinstance(source, Path) else source.path)


class TorchExport(SourceFormat):
    """A program that torch.export.save wrote."""

    name = Format.TORCH_EXPORT
    modules = ("torch",)
    onnx_modules = ("torch", "onnxscript")
    packages = ("torch", "onnxscript", "onnx")

    def _reference_impl(self, source: Source, setting: Setting, work: Path) -> Session:
        with quietly():
            return TorchSession(load_program(source).module(), source.signature, setting)

    def _to_onnx_impl(self, piece: Workpiece) -> Source:
        program = load_program(piece.source)
        try:
            model = onnx_of(program)
        except Exception as error:
            raise _named(error, program) from error
        return made(piece.source, model, piece.work / "onnx")

    def _runtime_impl(self) -> str:
        return runtime()

    def nodes(self, source: Source, work: Path) -> list[str]:
        """Names of the graph's nodes, without those that only compute sizes."""
        from workers.sources.torch_program_file import read_program

        nodes = read_program(source.path)["graph_module"]["graph"]["nodes"]
        return [_node_name(node) for node in nodes if node["target"].startswith("torch.ops.")]


def onnx_of(program: Any) -> Any:
    """The onnx.ModelProto of an exported program, optimised, dynamic shapes kept. Raises torch's errors."""
    import torch

    with quietly():
        exported = torch.onnx.export(program, (), dynamo=True, opset_version=OPSET, optimize=True, verbose=False)
    assert exported is not None
    return exported.model_proto


def _node_name(node: Any) -> str:
    """A node's name as the graph has it; programs of older versions name its first result."""
    if node.get("name"):
        return str(node["name"])
    for output in node["outputs"]:
        for value in output.values():
            first = value[0] if isinstance(value, list) and value else value
            if isinstance(first, dict):
                return str(first.get("name") or first.get("as_name") or "")
    return ""


def _named(error: Exception, program: Any) -> BuildError:
    """The exporter's error with the operators that it has no translation for; its message's telling line is kept."""
    lines, at = [], None
    cause: BaseException | None = error
    while cause is not None:
        lines.append(first_line(cause))
        at = _NODE.search(str(cause)) or at
        cause = cause.__cause__
    told = lines[-1]
    missing = untranslated(program)
    if not missing:
        node = at.group(1) if at else None
        at_node = f" (node {node})" if node else ""
        return ConversionFailed(f"torch.onnx cannot export the program{at_node}: {told}", nodes=[node] if node else [])
    listed = ", ".join(f"{operator} (node {nodes[0]})" for operator, nodes in missing.items())
    return UnsupportedOperator(
        f"torch.onnx has no ONNX for {listed}: {told}",
        advice="Choose a backend that reads torch-export directly, or export the model without the operator.",
        operators=list(missing),
        nodes=[node for nodes in missing.values() for node in nodes],
        opset=OPSET,
    )


def untranslated(program: Any) -> dict[str, list[str]]:
    """Operators of the program that ONNX has no counterpart for, each with its nodes; as the exporter looks them up."""
    from torch.onnx._internal.exporter import _core, _dispatching, _registration

    found: dict[str, list[str]] = {}
    with quietly():
        registry = _registration.ONNXRegistry.from_torchlib()
        try:
            prepared = _core._prepare_exported_program_for_export(program, registry=registry)
        except Exception:  # noqa: BLE001 - it fails before it looks operators up: the exporter's own error says how
            return {}
        for node in prepared.graph.nodes:
            if node.op != "call_function":
                continue
            function, _ = _dispatching.dispatch(node, registry)
            if function is None:
                operator, name = _origin(node, program)
                if name not in found.setdefault(operator, []):
                    found[operator].append(name)
    return found


def _origin(node: Any, program: Any) -> tuple[str, str]:
    """Operator and name of the program's own node that a decomposed one came of."""
    names = {own.name: own for own in program.graph.nodes}
    steps = list(node.meta.get("from_node") or [])
    while steps:
        step = steps.pop()
        own = names.get(step.name)
        if own is not None and own.op == "call_function":
            return _short(own), own.name
        steps.extend(step.from_node)
    return _short(node), node.name


def _short(node: Any) -> str:
    """'aten.conv2d' of aten.conv2d.default."""
    return ".".join(str(node.target).split(".")[:2])


FORMAT = TorchExport()

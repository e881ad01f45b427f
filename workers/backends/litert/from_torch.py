"""torch.export program to .tflite by LiteRT Torch."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from enginehouse.errors import BuildError, ConversionFailed, UnsupportedOperator
from workers.backends.base import first_line
from workers.backends.litert import lineage
from workers.backends.litert.shapes import Open
from workers.backends.workpiece import Workpiece
from workers.sources.tf_runtime import tensorflow

_OPERATOR = re.compile(
    r"(?:Lowering not found|No lowering|not (?:implemented|supported)|Unsupported)[^\n]*?\b(aten\.[\w.]+)"
)


def convert(piece: Workpiece, shapes: Open) -> tuple[bytes, list[str], list[str]]:
    """The file, and its names for the source's inputs and outputs. Raises UnsupportedOperator, ConversionFailed."""
    tensorflow()
    import litert_torch
    import torch

    from workers.sources.torch_export import load_program
    from workers.sources.torch_session import quietly

    inputs, outputs = piece.source.signature.inputs, piece.source.signature.outputs
    sample = piece.samples.typical()[0] if any(None in dims for dims in shapes.values()) else {}
    arguments, dynamic = [], []
    for spec in inputs:
        dims = shapes[spec.name]
        # A size of 1 would be taken for a fixed one.
        sizes = [dim if dim is not None else max(2, sample[spec.name].shape[axis]) for axis, dim in enumerate(dims)]
        arguments.append(torch.from_numpy(np.zeros(sizes, np.dtype(spec.dtype))))
        dynamic.append({axis: torch.export.Dim.AUTO for axis, dim in enumerate(dims) if dim is None})
    program = load_program(piece.source)
    _number(program, [spec.name for spec in outputs], piece.work)
    try:
        with quietly():
            made = litert_torch.convert(
                program.module(),
                tuple(arguments),
                # Sixty-four bits would else become thirty-two at inputs and outputs too.
                enable_x64=True,
                dynamic_shapes=tuple(dynamic) if any(dynamic) else None,
            )
            data = made._exporter.to_bytes()
    except Exception as error:
        raise named(error) from error
    return bytes(data), [f"args_{i}" for i in range(len(inputs))], [f"output_{i}" for i in range(len(outputs))]


def _number(program: Any, outputs: list[str], work: Path) -> None:
    """Let each node's number stand where LiteRT Torch looks for the modules that it belongs to."""
    nodes = list(program.graph.nodes)
    for number, node in enumerate(nodes):
        node.meta["nn_module_stack"] = {"node": ("", f"n{number}_{node.name}")}
    makers = {node.name: node.name for node in nodes if node.op == "call_function"}
    makers |= dict(zip(outputs, (str(one) for one in nodes[-1].args[0]), strict=True))
    inputs = {node.name: [one.name for one in node.all_input_nodes] for node in nodes}
    lineage.write(work, [[node.name] for node in nodes], makers, inputs)


def named(error: Exception) -> BuildError:
    """LiteRT Torch's error with the operator that it cannot lower."""
    operators = sorted(set(_OPERATOR.findall(str(error))))
    if operators:
        return UnsupportedOperator(
            f"LiteRT Torch has no rule for {', '.join(operators)}",
            advice="Export the model to ONNX and convert that, or choose another backend.",
            operators=operators,
        )
    return ConversionFailed(f"LiteRT Torch: {first_line(error)}")

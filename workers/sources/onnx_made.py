"""An ONNX file that the farm made from another format: given the source's names, and described as a source."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from enginehouse.errors import ConversionFailed
from enginehouse.formats import Format
from workers.backends.workpiece import Source

FILE = "intermediate.onnx"


def made(source: Source, model: Any, folder: Path) -> Source:
    """Write ``model`` (onnx.ModelProto) to ``folder``, its inputs and outputs named as the source's, in their order.

    Raises ConversionFailed where their numbers differ. Weights beyond a protobuf's size lie beside it.
    """
    import onnx

    graph = model.graph
    weights = {tensor.name for tensor in graph.initializer}
    inputs = [one for one in graph.input if one.name not in weights]
    for what, have, want in (
        ("inputs", inputs, source.signature.inputs),
        ("outputs", list(graph.output), source.signature.outputs),
    ):
        if len(have) != len(want):
            raise ConversionFailed(f"the model has {len(want)} {what}, the ONNX made from it {len(have)}")
    wanted = {
        **{have.name: want.name for have, want in zip(inputs, source.signature.inputs, strict=True)},
        **{have.name: want.name for have, want in zip(graph.output, source.signature.outputs, strict=True)},
    }
    _rename(graph, {old: new for old, new in wanted.items() if old != new})
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / FILE
    large = model.ByteSize() > 1_500_000_000
    onnx.save(model, path, save_as_external_data=large, location=f"{FILE}.data" if large else None)
    signature = source.signature.model_copy(
        update={
            "format": str(Format.ONNX),
            "ir_version": model.ir_version,
            "opsets": {one.domain: one.version for one in model.opset_import},
            "operators": dict(Counter(node.op_type for node in graph.node)),
        }
    )
    return Source(path, signature)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Rename tensors; one that bears a wanted name already makes way."""
    taken = set(names.values()) - set(names)
    every = {**{name: f"{name}/inner" for name in taken}, **names}

    def walk(part: Any) -> None:
        for one in (*part.input, *part.output, *part.value_info, *part.initializer):
            one.name = every.get(one.name, one.name)
        for node in part.node:
            node.input[:] = [every.get(name, name) for name in node.input]
            node.output[:] = [every.get(name, name) for name in node.output]
            for attribute in node.attribute:
                for inner in (*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs):
                    walk(inner)

    walk(graph)

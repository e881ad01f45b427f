"""The source's names in a .tflite file: one signature with its inputs and outputs, in its order.

``Interpreter.get_signature_runner()`` then takes and gives these names, and the plain lists of inputs and outputs
have them too.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from ai_edge_litert import schema_py_generated as schema

from enginehouse.errors import ConversionFailed
from workers.backends.litert.flatbuffer import Model, text

if TYPE_CHECKING:
    from enginehouse.signature import ModelSignature, TensorSpec

KEY = "serving_default"
METADATA = "enginehouse.dtypes"
"""Name of the metadata that says which element types the source's inputs and outputs have, as JSON."""


def wired(model: Model, inputs: Sequence[str], outputs: Sequence[str]) -> tuple[list[int], list[int]]:
    """The main subgraph's tensors behind these names. Raises ConversionFailed.

    They are looked for in a signature, then among the tensors' names, then by their positions.
    """
    graph = model.subgraphs[0]
    for signature in model.signatureDefs or []:
        ins = {text(one.name): one.tensorIndex for one in signature.inputs}
        outs = {text(one.name): one.tensorIndex for one in signature.outputs}
        if not signature.subgraphIndex and set(outputs) <= set(outs) and set(ins) <= set(inputs):
            return [ins.get(name, -1) for name in inputs], [outs[name] for name in outputs]
    by_name = {text(graph.tensors[index].name): index for index in (*graph.inputs, *graph.outputs)}
    if all(name in by_name for name in (*inputs, *outputs)):
        return [by_name[name] for name in inputs], [by_name[name] for name in outputs]
    if len(graph.inputs) == len(inputs) and len(graph.outputs) == len(outputs):
        return list(graph.inputs), list(graph.outputs)
    raise ConversionFailed(
        f"the converted model has {len(graph.inputs)} inputs and {len(graph.outputs)} outputs, "
        f"the source {len(inputs)} and {len(outputs)}"
    )


def rename(model: Model, source: ModelSignature, inputs: Sequence[int], outputs: Sequence[int]) -> None:
    """Give the main subgraph's tensors the source's names. ``inputs``: -1 for one that the model does not read."""
    graph = model.subgraphs[0]
    ports = [(spec, index) for spec, index in zip(source.inputs, inputs, strict=True) if index >= 0]
    results = list(zip(source.outputs, outputs, strict=True))
    graph.inputs, graph.outputs = [index for _, index in ports], list(outputs)
    taken = {text(tensor.name) for tensor in graph.tensors}
    done: set[int] = set()
    for spec, index in (*ports, *results):
        tensor = graph.tensors[index]
        if index not in done and (spec.name not in taken or spec.name == text(tensor.name)):
            tensor.name = spec.name.encode()
            taken.add(spec.name)
            done.add(index)
    signature = schema.SignatureDefT()
    signature.signatureKey, signature.subgraphIndex = KEY.encode(), 0
    signature.inputs = [_port(spec, index) for spec, index in ports]
    signature.outputs = [_port(spec, index) for spec, index in results]
    model.signatureDefs = [signature]
    _note(model, {spec.name: spec.dtype for spec in (*source.inputs, *source.outputs)})


def _port(spec: TensorSpec, index: int) -> Any:
    made = schema.TensorMapT()
    made.name, made.tensorIndex = spec.name.encode(), index
    return made


def _note(model: Model, kinds: dict[str, str]) -> None:
    model.metadata = [one for one in model.metadata or [] if text(one.name) != METADATA]
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = list(json.dumps(kinds).encode())
    model.buffers.append(buffer)
    entry.name, entry.buffer = METADATA.encode(), len(model.buffers) - 1
    model.metadata.append(entry)


def noted(model: Model) -> dict[str, str]:
    """Name to the source's element type; empty where the file says none."""
    for one in model.metadata or []:
        if text(one.name) == METADATA:
            return dict(json.loads(bytes(bytearray(model.buffers[one.buffer].data))))
    return {}

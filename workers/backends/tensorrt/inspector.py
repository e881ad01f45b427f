"""The engine inspector's JSON as data. Pure: both generations of the schema in, the same layers out.

TensorRT 10 gives per tensor one text 'Format/Datatype' and the bindings as names; TensorRT 11 splits it into 'Format'
and 'DataType' (also seen as 'Datatype') and gives 'I/O Tensors' as objects. Layers that its graph compiler made tell
types in one word ('Half'), others in a sentence ('Row major linear FP16 format'). See NVIDIA's 'Migrating
IEngineInspector Usage from TensorRT 10.x to 11.x', and the engine inspector in its developer guide.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from enginehouse.report import Layer

_WORDS = {
    "fp32": "fp32",
    "float": "fp32",
    "float32": "fp32",
    "tf32": "tf32",
    "fp16": "fp16",
    "half": "fp16",
    "float16": "fp16",
    "bf16": "bf16",
    "bfloat16": "bf16",
    "fp8": "fp8",
    "float8": "fp8",
    "fp8e4m3": "fp8",
    "fp8e4m3fn": "fp8",
    "int8": "int8",
    "int4": "int4",
    "fp4": "fp4",
    "uint8": "uint8",
    "int32": "int32",
    "int64": "int64",
    "bool": "bool",
}
_NARROWEST_FIRST = ("fp4", "int4", "fp8", "int8", "fp16", "bf16", "tf32", "fp32")
_SEPARATORS = re.compile(r"[\x1d\x1e\x1f]")
_NODE = re.compile(r"\[ONNX Layer: (.*?)\](?=$|\[|\s)")
_UNNAMED = "node_of_"
"""The parser names a node that has no name after its first output."""


@dataclass(frozen=True)
class EngineLayer:
    """One layer that the engine runs. Types are words of ours: 'fp16', 'int8', 'int64', …; '' where none is told."""

    name: str
    type: str
    inputs: tuple[str, ...] = ()
    outputs: tuple[str, ...] = ()
    weights: str = ""
    tactic: str = ""
    nodes: tuple[str, ...] = ()
    """ONNX nodes that it stands for"""

    @property
    def precision(self) -> str:
        """Its weights' type, else the narrowest of its inputs'. Only a kernel's name tells TF32."""
        told = self.weights or narrowest(self.inputs) or narrowest(self.outputs)
        found = told or next(iter((*self.inputs, *self.outputs)), "")
        return "tf32" if found == "fp32" and "tf32" in self.tactic.lower() else found

    @property
    def types(self) -> frozenset[str]:
        """Every type that it is known to touch."""
        return frozenset(one for one in (*self.inputs, *self.outputs, self.weights, self.precision) if one)


def engine_layers(text: str) -> list[EngineLayer]:
    """The layers of ``EngineInspector.get_engine_information`` (JSON). Raises ValueError for what is no such text."""
    told = json.loads(text)
    layers = told.get("Layers") if isinstance(told, dict) else None
    if not isinstance(layers, list):
        raise ValueError("the engine inspector's answer holds no 'Layers'")
    return [_layer(one) for one in layers]


def table(layers: Iterable[EngineLayer], times_us: dict[str, float]) -> list[Layer]:
    """Rows of the report. ``times_us``: layer name to the mean time of one inference."""
    found = []
    for layer in layers:
        time = times_us.get(layer.name)
        found.append(
            Layer(
                name=layer.name,
                type=layer.type,
                precision=layer.precision,
                fused=list(layer.nodes),
                time_us=None if time is None else round(time, 3),
            )
        )
    return found


def narrowest(types: Sequence[str]) -> str:
    """The fewest bits among the types that are computed in; '' without any."""
    return next((one for one in _NARROWEST_FIRST if one in types), "")


def word(text: Any) -> str:
    """The type in a text of the inspector: 'Thirty-two wide channel vectorized row major Int8 format' → 'int8'."""
    for part in re.split(r"[^A-Za-z0-9]+", str(text)):
        if part.lower() in _WORDS:
            return _WORDS[part.lower()]
    return ""


def _layer(told: Any) -> EngineLayer:
    if not isinstance(told, dict):  # an engine that was built without detailed verbosity tells names only
        return EngineLayer(name=str(told), type="")
    weights = told.get("Weights")
    return EngineLayer(
        name=str(told.get("Name", "")),
        type=str(told.get("LayerType", "")),
        inputs=_types(told.get("Inputs")),
        outputs=_types(told.get("Outputs")),
        weights=word(weights.get("Type", "")) if isinstance(weights, dict) and weights.get("Count") else "",
        tactic=str(told.get("TacticName", "")),
        nodes=_nodes(str(told.get("Metadata", ""))),
    )


def _types(tensors: Any) -> tuple[str, ...]:
    found = []
    for tensor in tensors if isinstance(tensors, list) else []:
        if isinstance(tensor, dict):
            told = next((tensor[key] for key in ("DataType", "Datatype", "Format/Datatype") if key in tensor), "")
            found.append(word(told))
    return tuple(found)


def _nodes(metadata: str) -> tuple[str, ...]:
    """'[ONNX Layer: conv1]\\x1f[ONNX Layer: relu1]' → ('conv1', 'relu1')."""
    found: dict[str, None] = {}
    for part in _SEPARATORS.split(metadata):
        found.update(dict.fromkeys(name.removeprefix(_UNNAMED) for name in _NODE.findall(part)))
    return tuple(found)

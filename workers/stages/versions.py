"""A graph in a newer operator set, by onnx's version converter, its weights left where they are.

Imports onnx and the stages' own parts: ``embed`` puts this into scripts that run outside the farm.
"""

from __future__ import annotations

from typing import Any

from onnx import version_converter

from workers.stages.graph import bare, name_nodes, set_repeated

_IR_VERSIONS = {19: 9, 20: 9, 21: 10, 22: 10, 23: 11}
"""Operator set to the oldest IR version that goes with it."""


def lift(model: Any, least: int) -> Any:
    """The model in operator set ``least``. Raises what the converter raises, of many types."""
    converted = version_converter.convert_version(bare(model), least)
    converted.ir_version = max(model.ir_version, _IR_VERSIONS.get(least, model.ir_version))
    converted.metadata_props.extend(model.metadata_props)
    graph = converted.graph
    inside = {tensor.name for tensor in graph.initializer}
    names = {tensor.name for tensor in model.graph.initializer}
    set_repeated(graph.input, [one for one in graph.input if one.name not in names])
    graph.initializer.extend(tensor for tensor in model.graph.initializer if tensor.name not in inside)
    name_nodes(converted)
    return converted

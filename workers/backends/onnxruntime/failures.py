"""ONNX Runtime's errors as ours, with the operators, nodes and operator set that it names."""

from __future__ import annotations

import re
from typing import Any

from enginehouse.errors import BuildError, UnsupportedOperator
from workers.backends.base import first_line
from workers.backends.workpiece import Source

_UNIMPLEMENTED = re.compile(r"Could not find an implementation for (\S+?)\((\d+)\) node(?: with name '([^']*)')?")
_UNKNOWN = (
    re.compile(r"Fatal error: (\S+?)\(-?\d+\) is not a registered function/op"),
    re.compile(r"No Op registered for (\S+)"),
    re.compile(r"No opset import for domain '?([\w.]+)'?"),
)
_PLACES = (
    re.compile(r"running (?P<operator>\w+) node\. Name:'(?P<node>[^']*)'"),
    re.compile(r"In Node, \(\"(?P<node>[^\"]*)\", (?P<operator>\w+),"),
    re.compile(r"Node \((?P<node>.+?)\) Op \((?P<operator>\w+)\)"),
    re.compile(r"(?:operator|Optype) \((?P<operator>\w+)\).*? in node \((?P<node>.+?)\)"),
)
_MOST = 20


def named(error: Exception, otherwise: type[BuildError], source: Source | None = None) -> BuildError:
    """The error with where it happened. ``otherwise``: what it is when it is about no operator that is missing."""
    text = str(error)
    where: dict[str, Any] = {}
    opset = None if source is None else source.signature.opsets.get("", source.signature.opsets.get("ai.onnx"))
    if opset is not None:
        where["opset"] = opset
    missing = sorted(set(_UNIMPLEMENTED.findall(text)))
    if missing:
        names = ", ".join(f"{operator} of operator set {version}" for operator, version, _ in missing)
        where |= {"operators": [operator for operator, _, _ in missing], "nodes": [one for *_, one in missing if one]}
        return UnsupportedOperator(
            f"ONNX Runtime has no kernel for {names}{_of(where['nodes'])}",
            advice="Convert the model to a newer operator set: onnx.version_converter.convert_version(model, 17).",
            **where,
        )
    operators = sorted({match for pattern in _UNKNOWN for match in pattern.findall(text)})
    if operators:
        where |= {"operators": operators, "nodes": _bearing(source, operators)}
        return UnsupportedOperator(
            f"ONNX Runtime does not know {', '.join(operators)}{_of(where['nodes'])}, and the farm loads no "
            "custom-operator libraries",
            **where,
        )
    found = next((match for pattern in _PLACES if (match := pattern.search(text))), None)
    if found:
        where |= {"operators": [found["operator"]], "nodes": [found["node"]]}
    return otherwise(f"onnxruntime: {first_line(error)}", **where)


def _of(nodes: list[str]) -> str:
    return f" (node {', '.join(repr(name) for name in nodes[:5])})" if nodes else ""


def _bearing(source: Source | None, operators: list[str]) -> list[str]:
    """Names of the nodes of these operators, or of the domains that are named instead."""
    from workers.stages.graph import all_nodes, load_model

    if source is None:
        return []
    kinds = {re.split(r"[.:]", operator)[-1].partition("(")[0] for operator in operators}
    try:
        nodes = list(all_nodes(load_model(source.path).graph))
    except Exception:  # noqa: BLE001 - an unreadable file has no names, and the error at hand is the one to tell
        return []
    return [node.name for node in nodes if node.op_type in kinds or node.domain in operators][:_MOST]

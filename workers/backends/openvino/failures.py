"""OpenVINO's and NNCF's exceptions as ours, with the operators, nodes and operator set that they name."""

from __future__ import annotations

import re
from typing import Any

from enginehouse.errors import BuildError, UnsupportedOperator
from enginehouse.formats import Format
from workers.backends.base import first_line
from workers.backends.workpiece import Source

# What the frontends say: ONNX 'Conversion is failed for: Conv-16, ReduceMean-16' (operator-opset), all of them 'No
# conversion rule found for operations: com.acme.Foo-1', LiteRT 'No translator found for X node' and 'The translation is
# incomplete due to operation 1 of type X'.
_SUMMARY = re.compile(
    r"(?:Conversion is failed for|No conversion rule found for operations?|No translator found for"
    r"|incomplete due to operation \d+ of type)[:\s]\s*([^\n]+)"
)
_OPERATOR = re.compile(r"([A-Za-z][\w.:]*?)(?:-(\d+))?(?:\s+node)?\.?(?:,|\s|$)")
_NODE = re.compile(r"<Node\((\w+)\): ([^>]+)>")


def named(error: Exception, otherwise: type[BuildError], source: Source | None) -> BuildError:
    """The error with the operators that could not be converted, where OpenVINO names them."""
    text = str(error)
    found = [match for summary in _SUMMARY.findall(text) for match in _OPERATOR.findall(summary)]
    if not found:
        return otherwise(f"openvino: {telling_line(text) or first_line(error)}")
    operators = sorted({operator for operator, _ in found})
    where: dict[str, Any] = {"operators": operators}
    detail = f"OpenVINO cannot convert {', '.join(operators)}"
    nodes = sorted({name for _, name in _NODE.findall(text)}) or _nodes(source, operators)
    if nodes:
        where["nodes"] = nodes[:20]
    if source is not None and source.signature.opsets:
        where["opsets"] = source.signature.opsets
        detail += f" (operator set {', '.join(_opset(*one) for one in source.signature.opsets.items())})"
    branching = _branching(source)
    if branching:
        where["branching"] = branching
        detail += f" behind {', '.join(branching)}, whose outputs have no static type and rank"
    reason = telling_line(text)
    if reason:
        detail += f": {reason}"
    return UnsupportedOperator(detail, **where)


def telling_line(text: str) -> str:
    """The line that says why: the last one of the first check that failed, without paths of OpenVINO's sources."""
    plain = [line.strip() for line in text.splitlines() if line.strip()]
    dull = (
        "Check '",
        "To facilitate",
        "FrontEnd API failed",
        "Model wasn't",
        "-- ",
        "[",
        "While ",
        "Summary",
        "Exception from",
    )
    for line in plain:
        if not line.startswith(dull):
            return line[:300]
    return ""


def _nodes(source: Source | None, operators: list[str]) -> list[str]:
    """Names of an ONNX graph's nodes of these types ('com.acme.Foo' or 'Foo'), in their order."""
    if source is None or source.format is not Format.ONNX:
        return []
    import onnx

    graph = onnx.load(source.path, load_external_data=False).graph
    of_type = (node for node in graph.node if {node.op_type, f"{node.domain}.{node.op_type}"} & set(operators))
    return [node.name or next(iter(node.output), "") for node in of_type]


def _opset(domain: str, version: int) -> str:
    return f"{domain} {version}".strip()


def _branching(source: Source | None) -> list[str]:
    operators = source.signature.operators if source else {}
    return [name for name in ("If", "Loop", "Scan") if operators.get(name)]

"""ONNX to IR. Nothing here starts the runtime: a conversion needs the frontend and the serialiser only."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import openvino
from openvino.frontend import FrontEndManager

from enginehouse.errors import BuildError, ModelUnreadable, UnsupportedOperator
from enginehouse.targets import Precision
from workers.backends.base import Saved, first_line
from workers.backends.workpiece import Source

ENTRY = "model.xml"

# What the ONNX frontend says: a summary 'Conversion is failed for: Conv-16, ReduceMean-16' (operator-opset), or
# 'No conversion rule found for operations: com.acme.Foo-1', and per node '<Node(Conv): NAME>'.
_SUMMARY = re.compile(r"(?:Conversion is failed for|No conversion rule found for operations?):\s*(.+)")
_OPERATOR = re.compile(r"([A-Za-z][\w.]*?)(?:-\d+)?(?:,|\s|$)")
_NODE = re.compile(r"<Node\((\w+)\): ([^>]+)>")


def read(path: Path) -> Any:
    """The model as OpenVINO's ov.Model. Raises ModelUnreadable for what its ONNX reader does not recognise."""
    # convert_model() would go on to try the readers of every other format on a stranger's bytes.
    if not FrontEndManager().load_by_framework("onnx").supported(str(path)):
        raise ModelUnreadable("OpenVINO's ONNX reader does not recognise the file")
    return openvino.convert_model(path)


def save(model: Any, precision: Precision, folder: Path) -> Saved:
    """Write model.xml and model.bin; fp16 stores the weights in half precision."""
    openvino.save_model(model, folder / ENTRY, compress_to_fp16=precision is Precision.FP16)
    return Saved(folder=folder, entry=ENTRY, files=(ENTRY, "model.bin"))


def named(error: Exception, otherwise: type[BuildError], source: Source | None) -> BuildError:
    """The error with the operators that could not be converted, where OpenVINO names them."""
    text = str(error)
    operators = sorted({op for summary in _SUMMARY.findall(text) for op in _OPERATOR.findall(summary)})
    if not operators:
        return otherwise(f"openvino: {telling_line(text) or first_line(error)}")
    nodes = sorted({name for _, name in _NODE.findall(text)})
    where: dict[str, Any] = {"operators": operators, "nodes": nodes[:20]}
    detail = f"OpenVINO cannot convert {', '.join(operators)}"
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
    dull = ("Check '", "FrontEnd API failed", "Model wasn't", "-- ", "[", "While ", "Summary", "Exception from")
    for line in plain:
        if not line.startswith(dull):
            return line[:300]
    return ""


def _branching(source: Source | None) -> list[str]:
    operators = source.signature.operators if source else {}
    return [name for name in ("If", "Loop", "Scan") if operators.get(name)]

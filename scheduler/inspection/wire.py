"""Protobuf seen from outside: whether bytes that do not parse are a model that was cut off, or something else.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

# ModelProto: field number to (wire type, name)
_FIELDS = {
    1: (0, "ir_version"),
    2: (2, "producer_name"),
    3: (2, "producer_version"),
    4: (2, "domain"),
    5: (0, "model_version"),
    6: (2, "doc_string"),
    7: (2, "graph"),
    8: (2, "opset_import"),
    14: (2, "metadata_props"),
    20: (2, "training_info"),
    25: (2, "functions"),
    26: (2, "configuration"),
}


def truncation(data: bytes) -> str | None:
    """How the model was cut off, in words; None when the bytes do not begin like an ONNX model, or are not cut."""
    at, seen = 0, set[str]()
    while at < len(data):
        tag, at = _varint(data, at)
        expected = _FIELDS.get(tag >> 3)
        if at < 0:
            return _cut(data, "inside a field's tag") if "ir_version" in seen else None
        if expected is None or expected[0] != tag & 7:
            return None
        value, at = _varint(data, at)
        if at < 0:
            return _cut(data, f"inside the field {expected[1]}") if "ir_version" in seen else None
        if expected[1] == "ir_version" and not 0 < value < 1000:
            return None
        if expected[0] == 2:
            if at + value > len(data):
                if "ir_version" not in seen:
                    return None
                return _cut(data, f"but its field {expected[1]} should reach to byte {at + value}")
            at += value
        seen.add(expected[1])
    if "ir_version" in seen and "graph" not in seen:
        return _cut(data, "before the graph")
    return None


def _cut(data: bytes, where: str) -> str:
    return f"the model is truncated: the file ends after {len(data)} bytes, {where}"


def _varint(data: bytes, at: int) -> tuple[int, int]:
    """Value and the position after it; position -1 when there is none."""
    value = 0
    for shift in range(0, 70, 7):
        if at >= len(data):
            return 0, -1
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
    return 0, -1

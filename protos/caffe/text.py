"""A .prototxt as messages. Text is bounded before it is parsed, and what is skipped is known not to matter."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

from google.protobuf import text_format  # type: ignore[import-untyped]

from protos.caffe.errors import CaffeError
from protos.caffe.messages import MESSAGES

MAX_BYTES = 8 * 1024**2
MAX_LAYERS = 20_000
_MAX_DEPTH = 24

_SKIPPED = {"NetParameter", "LayerParameter", "V1LayerParameter", "ParamSpec", "Ignored", "V0LayerParameter"} | {
    "TransformationParameter",
    "DataParameter",
    "MemoryDataParameter",
    "DummyDataParameter",
}
"""Messages in which a field that Caffe's own description lacks changes nothing here: parameters of layers that have no
rule anyway, training, data. In any other one it may change what a layer computes, so it is refused."""

_TOKEN = re.compile(r"""[ \t\r\n,;]+|\#[^\n]*|("(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'|[\w.+-]+|[{}<>\[\]:])""")
_SOLVER = {"net", "train_net", "test_net", "base_lr", "solver_mode"}


@dataclass
class _Scan:
    """What a first look at the tokens found."""

    layers: list[int] = field(default_factory=list)
    """the line of each layer, in the file's order"""
    refused: str = ""
    solver: bool = False


def parse(data: bytes) -> tuple[Any, list[int]]:
    """The NetParameter, and the line (from 1) at which each of its layers begins. Raises CaffeError."""
    if len(data) > MAX_BYTES:
        raise CaffeError(f"the .prototxt has {len(data)} bytes; a network's text has {MAX_BYTES} at most")
    text = data.decode("utf-8-sig", "replace")
    if "\0" in text:
        raise CaffeError("the .prototxt is not text: it holds zero bytes; push the network's text form")
    scan = _look(text)
    net = MESSAGES["NetParameter"]()
    try:
        text_format.Parse(text, net, allow_unknown_field=True)
    except (text_format.ParseError, ValueError, RecursionError) as error:
        raise CaffeError(f"the .prototxt cannot be parsed: {_shown(error)}") from None
    if scan.solver and not scan.layers:
        raise CaffeError("the .prototxt is a solver's; push the network's own .prototxt, which it names")
    if scan.refused:
        raise CaffeError(f"the .prototxt: {scan.refused}")
    return net, scan.layers


def _look(text: str) -> _Scan:
    """Walk the tokens once beside the messages' descriptions: depth, number and place of layers, unknown fields."""
    scan = _Scan()
    lines = [at.start() for at in re.finditer("\n", text)]
    stack: list[Any] = [MESSAGES["NetParameter"].DESCRIPTOR]
    key, at, value = "", 0, None
    while at < len(text):
        found = _TOKEN.match(text, at)
        if not found:
            raise CaffeError(f"the .prototxt, line {bisect_right(lines, at) + 1}: unexpected {text[at]!r}")
        at = found.end()
        word = found[1]
        if word is None:
            continue
        if word in "{<":
            if len(stack) > _MAX_DEPTH:
                raise CaffeError(f"the .prototxt nests deeper than {_MAX_DEPTH}")
            value = _field(key, stack[-1], bisect_right(lines, found.start()) + 1, scan, len(stack))
            stack.append(value)
            continue
        if word in "}>":
            if len(stack) == 1:
                raise CaffeError(f"the .prototxt, line {bisect_right(lines, at) + 1}: unexpected {word!r}")
            stack.pop()
        elif word == ":" and key:
            _field(key, stack[-1], bisect_right(lines, found.start()) + 1, scan, 0)
        elif word[0] in "\"'" and "\ufffd" in word:
            raise CaffeError(f"the .prototxt, line {bisect_right(lines, at) + 1}: the name is not UTF-8")
        if word[0].isalpha() or word[0] == "_":
            key = word
    if len(stack) > 1:
        raise CaffeError("the .prototxt ends inside a message: it is cut off, or a brace is missing")
    return scan


def _field(key: str, message: Any, line: int, scan: _Scan, depth: int) -> Any:
    """The description of a field's message, None where it is skipped; notes what the scan is for."""
    if message is None:
        return None
    known = message.fields_by_name.get(key)
    if depth == 1 and key in {"layer", "layers"}:
        scan.layers.append(line)
        if len(scan.layers) > MAX_LAYERS:
            raise CaffeError(f"the .prototxt has more than {MAX_LAYERS} layers")
    if known is None:
        scan.solver |= message.name == "NetParameter" and key in _SOLVER
        if message.name not in _SKIPPED and not scan.refused:
            scan.refused = f"line {line}: Caffe's {message.name} has no field '{key[:60]}', which may change the result"
        return None
    return known.message_type


def _shown(error: Exception) -> str:
    """A parser's message in one printable line."""
    text = "".join(char if char.isprintable() else " " for char in str(error)[:2000])
    return " ".join(text.split())[:300] or type(error).__name__

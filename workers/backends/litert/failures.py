"""LiteRT's errors as ours."""

from __future__ import annotations

import re

from enginehouse.errors import BuildError, UnsupportedOperator
from workers.backends.base import first_line

_UNRESOLVED = re.compile(r"unresolved custom op: ([\w:.-]+?)\.?(?:\s|$)")
_SELECT = re.compile(r"Select TensorFlow op")
_NODE = re.compile(r"Node number (\d+) \((\w+)\)")


def named(error: Exception, otherwise: type[BuildError]) -> BuildError:
    """The error with the operators that the interpreter does not have, or that failed."""
    text = str(error)
    operators = sorted(set(_UNRESOLVED.findall(text)))
    if operators or _SELECT.search(text):
        names = ", ".join(operators) or "one of the 'Select TensorFlow operators'"
        return UnsupportedOperator(
            f"LiteRT's interpreter has no operator {names}",
            advice="Convert the model with LiteRT's built-in operators only.",
            operators=operators,
        )
    node = _NODE.search(text)
    where = {"operators": [node[2]], "nodes": [node[1]]} if node else {}
    return otherwise(f"litert: {first_line(error)}", **where)

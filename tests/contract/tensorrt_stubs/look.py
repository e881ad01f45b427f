"""Runs with one version's bindings on its path: uses in (JSON, standard input), what they lack out (JSON).

The bindings have no signatures that Python can inspect; the first lines of their docstrings are the signatures.
"""

from __future__ import annotations

import inspect
import json
import re
import sys
from typing import Any

import tensorrt as trt
from cuda.bindings import runtime as cudart

_MODULES = {"trt": trt, "cudart": cudart}
_SIGNATURE = re.compile(r"^(?:\d+\. )?(\w+)\((.*)\)(?: -> .*)?$")


def problem(use: dict[str, Any]) -> str | None:
    """What is wrong with a use; None: nothing."""
    owner = _MODULES.get(use["owner"]) or getattr(trt, use["owner"], None)
    if owner is None:
        return f"there is no {use['owner']}"
    if use["kind"] == "override":
        return _not_overridable(owner, use)
    found = owner
    for part in use["name"].split("."):
        if isinstance(found, str):  # trt.__version__.split: Python's own
            return None
        if not hasattr(found, part):
            return f"{use['owner']} has no {use['name']}"
        found = getattr(found, part)
    if use["kind"] == "set" and isinstance(found, property) and found.fset is None:
        return f"{use['owner']}.{use['name']} cannot be set"
    if use["kind"] == "call":
        if isinstance(found, property):
            return f"{use['owner']}.{use['name']} is a property and cannot be called"
        return _misfit(found, use)
    if use["owner"] not in _MODULES and callable(found) and use["kind"] == "set":
        return f"{use['owner']}.{use['name']} is a method and cannot be set"
    return None


def signatures(function: Any) -> list[list[tuple[str, bool]]]:
    """Each overload's parameters without self: name, and whether it may be left out."""
    if isinstance(function, type):
        function = function.__init__
    found = []
    for line in (function.__doc__ or "").splitlines():
        match = _SIGNATURE.match(line.strip())
        if match and match.group(2) != "*args, **kwargs":
            parts = [part for part in _split(match.group(2)) if part.split(":")[0].strip() != "self"]
            found.append([(_name(part), "=" in part) for part in parts])
    if not found and inspect.isfunction(function):  # the little that is written in Python
        parameters = inspect.signature(function).parameters.values()
        found = [[(one.name, one.default is not one.empty) for one in parameters]]
    return found


def _misfit(function: Any, use: dict[str, Any]) -> str | None:
    overloads = signatures(function)
    if not overloads:
        return f"{use['owner']}.{use['name']} tells no signature"
    for parameters in overloads:
        names = [name for name, _ in parameters]
        left = names[use["positional"] :]
        given = set(use["keywords"])
        needed = {name for name, optional in parameters if not optional} - set(names[: use["positional"]])
        if use["positional"] <= len(names) and given <= set(left) and needed <= given:
            return None
    told = " or ".join("(" + ", ".join(name for name, _ in one) + ")" for one in overloads)
    named = "".join(f", {name}=" for name in use["keywords"])
    return f"{use['owner']}.{use['name']} takes {told}, it is given {use['positional']} arguments{named}"


def _not_overridable(base: Any, use: dict[str, Any]) -> str | None:
    """A method that TensorRT would never call: it is neither a member nor told of in the class's description."""
    name = use["name"]
    member = getattr(base, name, None)
    overloads = signatures(member) if member is not None else []
    told = re.search(rf"def {name}\(self((?:, *\w+)*)\)", base.__doc__ or "")
    if told:
        overloads.append([(one.strip(), False) for one in told.group(1).split(",") if one.strip()])
    if not overloads:
        return f"{use['owner']} has no {name} to override"
    if all(len(one) != use["positional"] for one in overloads):
        return f"{use['owner']}.{name} is called with {[len(one) for one in overloads]} arguments"
    return None


def _split(text: str) -> list[str]:
    """At the commas that are outside of brackets."""
    parts, depth, current = [], 0, ""
    for char in text:
        depth += (char in "[(<") - (char in "])>")
        if char == "," and depth == 0:
            parts.append(current)
            current = ""
        else:
            current += char
    return [part for part in [*parts, current] if part.strip()]


def _name(parameter: str) -> str:
    """'size_t count' (CUDA), 'flag: BuilderFlag', 'strategy: X = <…>' → the name."""
    return parameter.split("=")[0].split(":")[0].split()[-1]


if __name__ == "__main__":
    asked = json.load(sys.stdin)
    answer = [{**use, "problem": wrong} for use in asked if (wrong := problem(use)) is not None]
    json.dump({"version": trt.__version__, "problems": answer}, sys.stdout)

"""The farm's own modules in a script: their text, and a loader that makes modules of it again."""

from __future__ import annotations

import re
from pathlib import Path

_ROOT = Path(__file__).parents[3]
_RAISED = re.compile(r"^from enginehouse\.errors import (.+)$", re.MULTILINE)
_QUOTE = "'" * 3

_LOADER = """import sys
import types

# {title}, in full: the modules that the farm runs.
SOURCES = {{
{sources},
}}


class Failure(Exception):
    def __init__(self, detail="", **where):
        super().__init__(f"{{detail}} {{where}}")


def module(name):
    if name not in sys.modules:
        made = sys.modules[name] = types.ModuleType(name)
        made.__path__ = []
        parent, _, last = name.rpartition(".")
        if parent:
            setattr(module(parent), last, made)
    return sys.modules[name]


for name in {errors}:
    setattr(module("enginehouse.errors"), name, type(name, (Failure,), {{}}))
for name, text in SOURCES.items():
    exec(compile(text, name, "exec"), module(name).__dict__)
"""


def embedded(title: str, names: list[str]) -> str:
    """Code after which the modules of these names can be imported; in an order in which each uses those before it."""
    texts = {name: _text(name) for name in names}
    raised = {part.strip() for text in texts.values() for found in _RAISED.findall(text) for part in found.split(",")}
    sources = ",\n".join(f"    {name!r}: r{_QUOTE}{text}{_QUOTE}" for name, text in texts.items())
    return _LOADER.format(title=title, sources=sources, errors=sorted(raised))


def _text(name: str) -> str:
    path = _ROOT.joinpath(*name.split("."))
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    text = file.read_text(encoding="utf-8")
    if _QUOTE in text:
        raise ValueError(f"{name} holds {_QUOTE}")
    return text

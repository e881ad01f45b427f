"""``python -m workers.backends.page`` writes docs/options.md: every backend's precisions, formats and options."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import Any

from workers.backends import all_backends
from workers.backends.base import Backend
from workers.exploration.options import AutoOptions
from workers.sources import known

_HEAD = """# Backends and their options

What a worker with the whole toolchain announces (`enginehouse worker list --json` shows what yours do). An option is
given as `--option KEY=VALUE`, or in a target's `options` over REST; one that a backend does not know is refused before
anything is built. Words that several backends share mean the same everywhere. Made by `make options`; a test holds the
page to the code.
"""


def page() -> str:
    """The page's text."""
    sections = [section for backend in all_backends() for section in _section(backend)]
    return _HEAD + "".join(f"\n{section}" for section in [*sections, *_auto()])


def _section(backend: Backend) -> Iterator[str]:
    summary = (backend.__doc__ or "").split("\n\n")[0].strip().replace("\n    ", " ")
    direct = [str(each) for each in known() if each in backend.reads]
    through = [str(each) for each in known() if each not in backend.reads]
    yield f"## {backend.name}\n\n{summary}\n"
    yield f"- precisions: {', '.join(backend.precisions)}\n- read directly: {', '.join(direct)}\n" + (
        f"- through ONNX: {', '.join(through)}\n" if through else ""
    )
    if backend.bounds:
        yield "Dynamic dimensions need shapes or profiles.\n"
    yield _table(backend.options.model_json_schema())


def _auto() -> Iterator[str]:
    yield f"## auto\n\n{(AutoOptions.__doc__ or '').strip()} See [auto.md](auto.md).\n"
    yield _table(AutoOptions.model_json_schema())


def _table(schema: dict[str, Any]) -> str:
    rows = [_row(name, entry, schema.get("$defs", {})) for name, entry in schema["properties"].items()]
    return "| option | values | default | meaning |\n|---|---|---|---|\n" + "".join(rows)


def _row(name: str, entry: dict[str, Any], definitions: dict[str, Any]) -> str:
    default = entry.get("default")
    shown = "" if default is None else f"`{json.dumps(default)}`"
    meaning = " ".join(entry.get("description", "").split()).replace("|", "\\|")
    return f"| `{name}` | {_values(entry, definitions)} | {shown} | {meaning} |\n"


def _values(entry: dict[str, Any], definitions: dict[str, Any]) -> str:
    if "$ref" in entry:
        entry = definitions[entry["$ref"].rsplit("/", 1)[-1]]
    if "anyOf" in entry:
        kinds = [_values(one, definitions) for one in entry["anyOf"] if one.get("type") != "null"]
        return " or ".join(kinds)
    if "enum" in entry:
        return ", ".join(f"`{json.dumps(value)}`" for value in entry["enum"] if value is not None)
    if "const" in entry:
        return f"`{json.dumps(entry['const'])}`"
    kind = str(entry.get("type", "any"))
    if kind == "array":
        return f"list of {_values(entry.get('items', {}), definitions)}"
    low = entry.get("minimum", entry.get("exclusiveMinimum"))
    high = entry.get("maximum", entry.get("exclusiveMaximum"))
    if low is not None and high is not None:
        return f"{kind}, {low} to {high}"
    return kind if low is None else f"{kind}, from {low}"


if __name__ == "__main__":
    sys.stdout.write(page())

"""A backend's options as fields of a form, from their JSON schema. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from api.pages.submission import resolved


@dataclass(frozen=True)
class OptionField:
    """One option. ``kind``: 'choice', 'number' or 'text'."""

    name: str
    kind: str
    hint: str
    default: str = ""
    choices: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    whole: bool = False


def fields_of(schema: Mapping[str, Any]) -> list[OptionField]:
    """The options in the schema's order."""
    return [_field(name, resolved(schema, own)) for name, own in schema.get("properties", {}).items()]


def _field(name: str, own: Mapping[str, Any]) -> OptionField:
    hint = str(own.get("description", ""))
    default = _text(own.get("default"))
    if "const" in own:
        return OptionField(name, "choice", hint, default, (_text(own["const"]),))
    if "enum" in own:
        return OptionField(name, "choice", hint, default, tuple(_text(one) for one in own["enum"]))
    if own.get("type") == "boolean":
        return OptionField(name, "choice", hint, default, ("true", "false"))
    if own.get("type") in {"integer", "number"}:
        bounds = (own.get("minimum", own.get("exclusiveMinimum")), own.get("maximum", own.get("exclusiveMaximum")))
        return OptionField(name, "number", hint, default, (), *bounds, whole=own["type"] == "integer")
    shape = {"array": "a list: values with commas", "object": "JSON"}.get(str(own.get("type")), "")
    return OptionField(name, "text", "; ".join(filter(None, (hint, shape))), default)


def _text(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value)

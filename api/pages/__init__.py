"""Pages for people: drawn on the server, no scripts, nothing from outside."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flask import Response
from jinja2 import Environment, FileSystemLoader, StrictUndefined

_HERE = Path(__file__).parent
ASSETS = _HERE / "assets"

_jinja = Environment(
    loader=FileSystemLoader(_HERE / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)


def page(template: str, **values: Any) -> Response:
    """A template as an HTML answer. Everything is escaped."""
    return Response(_jinja.get_template(template).render(**values), content_type="text/html; charset=utf-8")

"""The OpenAPI document as a page to read."""

from __future__ import annotations

import json
from typing import Any

from flask import Response

from api.auth import Scope
from api.openapi import current
from api.pages import page
from api.routing import Call, Router
from enginehouse.errors import codes

router = Router("page_openapi", pages=True)


@router.route("GET", "/openapi", Scope.READ, "The document as a page to read", produces="text/html")
def read(call: Call) -> Response:
    """Drawn on the server; it loads nothing from elsewhere."""
    document = current()
    by_tag: dict[str, list[dict[str, Any]]] = {}
    for path, item in document["paths"].items():
        for method, operation in item.items():
            by_tag.setdefault(operation["tags"][0], []).append({**operation, "path": path, "method": method.upper()})
    schemas = {name: json.dumps(schema, indent=2) for name, schema in document["components"]["schemas"].items()}
    return page(
        call,
        "openapi/read.html",
        info=document["info"],
        operations=by_tag,
        schemas=schemas,
        codes=list(codes().values()),
        name_of=name_of,
    )


def name_of(schema: dict[str, Any]) -> str | None:
    """The component that a schema refers to."""
    reference = schema.get("$ref")
    return reference.rsplit("/", 1)[1] if isinstance(reference, str) else None

"""Published JSON schemas."""

from __future__ import annotations

from flask import Response

from api.auth import Scope
from api.routing import Call, Router
from enginehouse import report_schema

router = Router("schemas")
KIND = "application/schema+json"


@router.route("GET", "/v1/schemas/report", Scope.READ, "The JSON schema of report.json", produces=KIND)
def report(_call: Call) -> Response:
    """JSON Schema 2020-12 of the report that every bundle holds; docs/report.schema.json is the same."""
    return Response(report_schema.render(), content_type=KIND)

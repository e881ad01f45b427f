"""The published JSON schema of ``report.json``. ``python -m enginehouse.report_schema`` prints it."""

from __future__ import annotations

import json
import sys
from functools import cache

from enginehouse.report import SCHEMA_VERSION, Report


@cache
def render() -> str:
    """JSON Schema 2020-12, as it is committed and served."""
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:enginehouse:report:{SCHEMA_VERSION}",
        # What is optional to read: a bundle keeps its report as it was when the schema was younger.
        **Report.model_json_schema(mode="validation"),
    }
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(render())

"""The report's published schema: committed, valid, and true of reports."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator, ValidationError

from enginehouse.report import Report
from enginehouse.report_schema import render

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs/report.schema.json"


def test_the_committed_schema_is_the_present_one() -> None:
    assert COMMITTED.read_text() == render(), "run: make schema"


def test_the_command_prints_it() -> None:
    printed = subprocess.run(
        [sys.executable, "-W", "error", "-m", "enginehouse.report_schema"],
        cwd=ROOT, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert (printed.stdout, printed.stderr) == (COMMITTED.read_text(), "")


def test_it_is_a_schema_and_tells_a_report_from_what_is_none() -> None:
    schema = json.loads(render())
    Draft202012Validator.check_schema(schema)
    validator = Draft202012Validator(schema)
    report = json.loads(Report(model="0" * 64, target="openvino:fp16", size=1).model_dump_json())
    validator.validate(report)
    with pytest.raises(ValidationError, match="is not of type 'integer'"):
        validator.validate(report | {"size": "much"})


def test_a_report_from_before_a_field_was_added_still_fits() -> None:
    Draft202012Validator(json.loads(render())).validate({"model": "0" * 64, "target": "openvino:fp16", "size": 1})

"""What a build's child says to the agent: one JSON object a line. Not pickle: the child handles hostile input."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from enginehouse.bundle import Manifest
from enginehouse.errors import Failure
from enginehouse.report import Report
from enginehouse.states import Phase

MOST_BYTES = 64 * 2**20
"""A message longer than this is not read: the child is stopped."""


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Entered(_Message):
    """The build has entered a phase."""

    kind: Literal["entered"] = "entered"
    phase: Phase


class Built(_Message):
    """The bundle is complete in the work folder."""

    kind: Literal["built"] = "built"
    manifest: Manifest
    report: Report


class Failed(_Message):
    """The build ended with an error of the published list."""

    kind: Literal["failed"] = "failed"
    failure: Failure


Message = Entered | Built | Failed

"""What operators and owners of jobs ask of the farm: the bodies of its control routes."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from enginehouse.states import Priority

Reason = Annotated[str, Field(max_length=200, description="for people: shown wherever it makes something wait")]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Reasoned(_Body):
    """A change, and why."""

    reason: Reason = ""


class Drain(Reasoned):
    """A worker that shall take nothing new."""

    leave: bool = Field(default=False, description="its process ends once it holds nothing")


class Maintenance(Reasoned):
    """Whether the farm shall be in maintenance."""

    on: bool


class Retry(_Body):
    """What failed or was cancelled, again."""

    elsewhere: bool = Field(default=False, description="not by the workers that had it, while others can")


class Prioritise(_Body):
    """Another place in the line."""

    priority: Priority

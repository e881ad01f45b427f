"""Headers that several routes take."""

from __future__ import annotations

from pydantic import BaseModel, Field


class SubmitHeaders(BaseModel):
    """How to submit once, however often the request is sent."""

    idempotency_key: str | None = Field(
        default=None,
        alias="Idempotency-Key",
        pattern=r"^[\x21-\x7e]{1,200}$",
        description="a text of the caller's own; the same key answers the same job again",
    )

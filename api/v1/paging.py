"""The query of every list."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PageQuery(BaseModel):
    """Newest first; ``after`` is the ``next`` of the page before."""

    model_config = ConfigDict(extra="forbid")

    limit: int = Field(default=50, ge=1, le=200, description="items on the page")
    after: str | None = Field(default=None, max_length=200, description="cursor: 'next' of the page before")

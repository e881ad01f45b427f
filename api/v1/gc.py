"""Retention, asked for: what the scheduler does by itself once an hour."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.collection import Collection
from scheduler.retention.run import run

router = Router("gc")


class CollectQuery(BaseModel):
    """Whether in earnest."""

    model_config = ConfigDict(extra="forbid")

    dry_run: bool = Field(default=False, description="tell what would go, and change nothing")


@router.route("POST", "/v1/gc", Scope.OPERATE, "Expire artifacts, and remove bytes that nothing needs")
def collect(call: Call, query: CollectQuery) -> Collection:
    """Of the whole farm. Bytes are marked by one pass and removed by one that comes a grace later."""
    return run(call.farm, dry_run=query.dry_run)

"""Builds side by side."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.comparison import MOST_COMPARED, Comparison
from enginehouse.errors import NoReport, NotFound
from scheduler import compare

router = Router("compare")


class CompareQuery(BaseModel):
    """What to compare."""

    model_config = ConfigDict(extra="forbid")

    builds: str = Field(
        pattern=rf"^[0-9A-Za-z_]{{1,64}}(,[0-9A-Za-z_]{{1,64}}){{1,{MOST_COMPARED - 1}}}$",
        description=f"two to {MOST_COMPARED} ids of builds or artifacts, separated by commas; the first is the base",
    )


@router.route("GET", "/v1/compare", Scope.READ, "Two or more builds side by side", errors=(NotFound, NoReport))
def show(call: Call, query: CompareQuery) -> Comparison:
    """Requests, environments, metrics and layers. A build that missed a gate left a report and can be compared."""
    with call.farm.read() as session:
        return compare.compared(session, call.principal, query.builds.split(","))

"""Pins: artifacts that a project keeps."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.errors import ArtifactEvicted
from enginehouse.views import ArtifactView
from scheduler.retention import pins

router = Router("pins")


class PinRequest(BaseModel):
    """Why it is kept."""

    model_config = ConfigDict(extra="forbid")

    note: str = Field(default="", max_length=200, description="for people")


@router.route(
    "PUT", "/v1/artifacts/<artifact>/pin", Scope.SUBMIT, "Keep an artifact's files", errors=(ArtifactEvicted,),
    others=Scope.MAINTAIN,
)  # fmt: skip
def put(call: Call, artifact: str, body: PinRequest) -> ArtifactView:
    """Pinned, it is never evicted, whatever its age and the store's budget. Again: the note is the new one."""
    return pins.pin(call.farm, call.principal, artifact, body.note)


@router.route(
    "DELETE",
    "/v1/artifacts/<artifact>/pin",
    Scope.SUBMIT,
    "Keep an artifact no longer than others",
    others=Scope.MAINTAIN,
)
def delete(call: Call, artifact: str) -> ArtifactView:
    """Other projects' pins of the same artifact hold on. Repeating it is harmless."""
    return pins.unpin(call.farm, call.principal, artifact)

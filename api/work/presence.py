"""A worker comes, shows that it lives, and goes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.work import Heartbeat, HeartbeatReply, SignedOn, SignOn
from scheduler import workers

router = Router("work")


class SignOff(BaseModel):
    """The worker goes; what it still holds is given back."""

    model_config = ConfigDict(extra="forbid")

    worker: str
    boot_id: str


@router.route("POST", "/v1/work/sign-on", Scope.WORK, "Announce hardware and capabilities; learn the queue")
def sign_on(call: Call, body: SignOn) -> SignedOn:
    """A new boot id under the same name ends the old one's leases."""
    return workers.sign_on(call.farm, call.principal, body)


@router.route("POST", "/v1/work/heartbeat", Scope.WORK, "Renew the leases of what is held")
def heartbeat(call: Call, body: Heartbeat) -> HeartbeatReply:
    """The answer says what to cancel and what to drop."""
    return workers.heartbeat(call.farm, body)


@router.route("POST", "/v1/work/sign-off", Scope.WORK, "Leave the farm")
def sign_off(call: Call, body: SignOff) -> None:
    """What it still holds goes to others at once."""
    workers.sign_off(call.farm, body.worker, body.boot_id)

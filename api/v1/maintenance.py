"""Maintenance: the whole farm takes submissions and dispatches nothing."""

from __future__ import annotations

from api.auth import Scope
from api.routing import Call, Router
from enginehouse.operations import Maintenance
from enginehouse.views import MaintenanceView
from scheduler import control

router = Router("maintenance")


@router.route("GET", "/v1/maintenance", Scope.READ, "Whether the farm is in maintenance")
def show(call: Call) -> MaintenanceView:
    """Since when, why, and who switched it on."""
    with call.farm.read() as session:
        return control.maintenance(session)


@router.route("PUT", "/v1/maintenance", Scope.OPERATE, "Switch maintenance on or off")
def switch(call: Call, body: Maintenance) -> MaintenanceView:
    """What runs goes on; what is on its way waits again, until it is off."""
    return control.set_maintenance(call.farm, call.principal, body.on, body.reason)

"""Switches: what an operator has turned on for the whole farm."""

from __future__ import annotations

from sqlalchemy.orm import Session

from scheduler.registry.tables import Switch

MAINTENANCE = "maintenance"
"""Submissions are accepted, nothing is dispatched."""


def maintenance(session: Session) -> str | None:
    """Why nothing is dispatched, in words; None where the farm is not in maintenance."""
    switch = session.get(Switch, MAINTENANCE)
    return None if switch is None else said("the farm is in maintenance", switch.reason)


def said(what: str, reason: str) -> str:
    """What was done, with the operator's own words where there are any."""
    return f"{what}: {reason}" if reason else what

"""An event as it is sent: a CloudEvent (1.0, structured JSON). The same event is the same bytes, every time."""

from __future__ import annotations

import json
from typing import Any

from scheduler.registry.tables import EventRow
from scheduler.settings import Settings

CONTENT_TYPE = "application/cloudevents+json; charset=utf-8"
LARGEST = 64 * 1024
"""Bytes of a body. What is larger comes without the event's own data; the things that it names can be asked for."""


def id_of(event: EventRow) -> str:
    """Its id everywhere outside. With the time: a registry restored from a backup gives numbers a second time."""
    return f"evt_{event.id}_{int(event.time.timestamp() * 1000):x}"


def source_of(settings: Settings) -> str:
    """Who tells."""
    return settings.public_url or "urn:enginehouse:farm"


def body_of(event: EventRow, project: str | None, source: str) -> str:
    """The request's body; ASCII. ``project``: its name, None where the event is the whole farm's."""
    ids = {"project": project, "job": event.job_id, "build": event.build_id}
    named = {name: value for name, value in ids.items() if value is not None}
    text = _rendered(event, source, {**named, **event.data})
    if len(text) > LARGEST:
        text = _rendered(event, source, {**named, "omitted": f"the event's data make more than {LARGEST} bytes"})
    return text


def _rendered(event: EventRow, source: str, data: dict[str, Any]) -> str:
    said = {
        "specversion": "1.0",
        "id": id_of(event),
        "source": source,
        "type": f"enginehouse.{event.kind}",
        "subject": _subject(event),
        "time": event.time.isoformat().replace("+00:00", "Z"),
        "datacontenttype": "application/json",
        "sequence": f"{event.id:020d}",  # the CloudEvents extension of that name: ascends as text
        "data": data,
    }
    return json.dumps({name: value for name, value in said.items() if value is not None}, separators=(",", ":"))


def _subject(event: EventRow) -> str | None:
    noun = event.kind.partition(".")[0]
    named = {"job": event.job_id, "build": event.build_id}.get(noun) or event.data.get(noun)
    return f"{noun}s/{named}" if isinstance(named, str) else None

"""Changes as they happen: as server-sent events, and page by page for who polls."""

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

from flask import Response, request
from pydantic import BaseModel, ConfigDict, Field

from api.auth import Scope
from api.problems import Busy
from api.routing import Call, Door, Router
from enginehouse.errors import NotFound
from enginehouse.event_kinds import checked
from enginehouse.views import Event, EventPage
from scheduler import events, jobs

PING_S = 15.0
LOOK_S = 1.0
"""How often a quiet stream looks whether anybody still listens: one that nobody does holds a place and a thread."""
_BATCH = 200

router = Router("events")


class EventsQuery(BaseModel):
    """What to hear of, and from where."""

    model_config = ConfigDict(extra="forbid")

    job: str | None = Field(default=None, max_length=100, description="only this job's events")
    after: int | None = Field(
        default=None, ge=0, le=2**63 - 1, description="cursor: events after this id; 0 = all; without it, from now on"
    )


class EventsHeaders(BaseModel):
    """What a browser sends when it comes back."""

    last_event_id: int | None = Field(
        default=None, alias="Last-Event-ID", ge=0, le=2**63 - 1, description="cursor; goes before 'after'"
    )


@router.route(
    "GET",
    "/v1/events",
    Scope.READ,
    "Server-sent events: id = cursor, event = kind, data = the Event as JSON",
    errors=(Busy,),
    produces="text/event-stream",
)
def stream(call: Call, query: EventsQuery, headers: EventsHeaders) -> Response:
    """A comment comes every 15 seconds. The stream ends after some minutes: come back with the last id."""
    if headers.last_event_id is not None:
        cursor: int | None = headers.last_event_id
    else:
        cursor = query.after
    with call.farm.read() as session:
        if query.job is not None:
            jobs.get(session, call.principal, query.job)  # NotFound, also for another project's
        if cursor is None:
            cursor = events.newest(session)
    tailer = call.door.tailer
    tailer.enter()
    response = Response(
        _lines(call.door, call.principal.project, query.job, cursor, request.environ.get("gunicorn.socket")),
        content_type="text/event-stream; charset=utf-8",
        headers={"X-Accel-Buffering": "no"},
    )
    response.call_on_close(tailer.leave)
    return response


class EventListQuery(BaseModel):
    """Which events, and how many."""

    model_config = ConfigDict(extra="forbid")

    after: int = Field(default=0, ge=0, le=2**63 - 1, description="cursor: 'next' of the page before; 0: all")
    limit: int = Field(default=100, ge=1, le=500, description="events on the page")
    kinds: str | None = Field(
        default=None, max_length=1000, description="only these, comma-separated: 'job.*', 'build.failed'"
    )
    job: str | None = Field(default=None, max_length=100, description="only this job's events")


@router.route(
    "GET", "/v1/events/list", Scope.READ, "Events after a cursor, oldest first, for who polls", errors=(NotFound,)
)
def list_(call: Call, query: EventListQuery) -> EventPage:
    """Ask again with ``next``: no event is missed, and none comes twice. It never waits for one."""
    kinds = None if query.kinds is None else checked([each.strip() for each in query.kinds.split(",")])
    with call.farm.read() as session:
        if query.job is not None:
            jobs.get(session, call.principal, query.job)  # NotFound, also for another project's
        return events.page(session, call.principal.project, query.after, query.limit, kinds, query.job)


def _lines(door: Door, project: str, job: str | None, cursor: int, peer: socket.socket | None) -> Iterator[str]:
    tailer = door.tailer
    until = time.monotonic() + door.stream_s
    yield "retry: 1000\n\n"
    seen = -1
    pinged = time.monotonic()
    while not tailer.stopping and (now := time.monotonic()) < until and not _gone(peer):
        # Read first, wait then: what came between the two moves the newest id away from ``seen``.
        with door.farm.read() as session:
            newest = events.newest(session)
            batch = events.after(session, cursor, project, job, _BATCH) if newest > cursor else []
        for event in batch:
            yield render(event)
        if batch:
            cursor, pinged = batch[-1].id, now
        if len(batch) == _BATCH:
            continue
        cursor, seen = max(cursor, newest), newest
        tailer.wait(seen, min(LOOK_S, PING_S - (now - pinged), until - now))
        if time.monotonic() - pinged >= PING_S:
            pinged = time.monotonic()
            yield ": ping\n\n"


def _gone(peer: socket.socket | None) -> bool:
    """Whether the client has hung up. Writing would tell too, but a quiet stream writes only every 15 s."""
    if peer is None:
        return False
    look = select.poll()
    try:
        look.register(peer, select.POLLRDHUP)
    except ValueError:  # closed on our side
        return True
    return bool(look.poll(0))


def render(event: Event) -> str:
    """One event in the stream's format. JSON holds no line breaks, and kinds are plain words."""
    return f"id: {event.id}\nevent: {event.kind}\ndata: {event.model_dump_json()}\n\n"

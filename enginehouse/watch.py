"""Watching: the farm's events as they come, and a job's end noticed within tens of milliseconds."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator

import httpx2
from pydantic import ValidationError

from enginehouse.connection import BUSY, Answered, Connection, error_from, pause
from enginehouse.errors import EnginehouseError, FarmUnreachable, NotReady
from enginehouse.states import JOB_ENDED
from enginehouse.views import Event, JobView

SILENCE_S = 40.0
"""The farm writes a comment every 15 s; a stream that is silent for longer is dead."""

PATIENCE_S = 60.0
"""How long a farm that answered before may be away (a restart) before waiting gives up."""

MESSAGE_BYTES = 1024 * 1024
"""The longest message that is taken."""

POLL_S = (0.02, 1.0)
"""First and longest pause between two looks, where there is no stream."""

OnEvent = Callable[[Event], None]
_END_KINDS = frozenset(f"job.{state}" for state in JOB_ENDED)


class StreamUnavailable(EnginehouseError):
    """The farm serves no more event streams, or something in between does not let them through."""


def events(connection: Connection, job: str | None = None, after: int | None = None) -> Iterator[Event]:
    """Events as they are committed, without end; connects again after a lost connection, missing none.

    ``after`` is a cursor: 0 gives all that the farm remembers, None what comes from now on.
    Raises FarmUnreachable when the farm stays away for a minute.
    """
    cursor, failures, lost_at = after, 0, None
    while True:
        try:
            for event in _stream(connection, job, cursor, SILENCE_S):
                failures, lost_at = 0, None
                if event is not None:
                    cursor = event.id
                    yield event
        except (FarmUnreachable, StreamUnavailable, httpx2.TransportError) as error:
            lost_at = time.monotonic() if lost_at is None else lost_at
            if not connection.met or time.monotonic() - lost_at > PATIENCE_S:
                raise _as_ours(connection, error) from error
        time.sleep(pause(failures, None, random.random()))  # noqa: S311 - jitter, not a secret
        failures += 1


def wait(connection: Connection, job: str, timeout: float | None = None, on_event: OnEvent | None = None) -> JobView:
    """The job when it has ended. Its events, older ones too, go to ``on_event`` until the end is known.

    Follows the event stream; polls where there is none. Outlives a restart of the farm of up to a minute.
    Raises TimeoutError (the job goes on), NotFound, FarmUnreachable.
    """
    until = None if timeout is None else time.monotonic() + timeout
    watch = _Watch(connection, job, until, on_event)
    failures, lost_at = 0, None
    while True:
        before = watch.cursor
        try:
            ended = watch.follow_or_poll()
            lost_at = None
        except (FarmUnreachable, NotReady, httpx2.TransportError) as error:
            lost_at = time.monotonic() if lost_at is None else lost_at
            if not connection.met or time.monotonic() - lost_at > PATIENCE_S:
                raise _as_ours(connection, error) from error
            ended = None
        if ended is not None:
            return ended
        watch.check_time()
        failures = 0 if watch.cursor > before else failures + 1
        time.sleep(watch.left(pause(failures, None, random.random())))  # noqa: S311 - jitter, not a secret


class _Watch:
    """One wait: the cursor that was reached and the time that is left."""

    def __init__(self, connection: Connection, job: str, until: float | None, on_event: OnEvent | None) -> None:
        self.connection, self.job, self.until = connection, job, until
        self.on_event = on_event
        self.cursor = 0

    def left(self, most: float) -> float:
        """Seconds to spend, at most ``most``."""
        return most if self.until is None else max(0.01, min(most, self.until - time.monotonic()))

    def check_time(self) -> None:
        """Raise TimeoutError when the time is over."""
        if self.until is not None and time.monotonic() >= self.until:
            raise TimeoutError(f"job {self.job} has not ended in time; it goes on")

    def look(self) -> JobView | None:
        """The job, when it has ended."""
        view = self.connection.get(f"/v1/jobs/{self.job}", JobView, tries=2)
        return view if view.state in JOB_ENDED else None

    def follow(self) -> JobView | None:
        """Follow one stream. None: it ended before the job did. No event is missed: the cursor begins at 0."""
        silence_s = self.left(SILENCE_S)
        try:
            for event in _stream(self.connection, self.job, self.cursor, silence_s):
                if event is None:
                    # Connected, or a sign of life: an end may have been forgotten by the events, never by the job.
                    if ended := self.look():
                        return ended
                    self.check_time()
                    if self.left(SILENCE_S) < 0.75 * silence_s:
                        return None  # the next stream's silence may last only as long as the time that is left
                    continue
                self.cursor = event.id
                if self.on_event is not None:
                    self.on_event(event)
                if event.kind in _END_KINDS and (ended := self.look()):
                    return ended
                self.check_time()
        except httpx2.ReadTimeout:
            return self.look()
        return None

    def follow_or_poll(self) -> JobView | None:
        """Follow a stream; where there is none, look for some seconds."""
        try:
            return self.follow()
        except StreamUnavailable:
            return self.poll(seconds=5.0)

    def poll(self, seconds: float) -> JobView | None:
        """Look again and again for a while; then a stream may be open once more."""
        until = time.monotonic() + seconds
        rest = POLL_S[0]
        while time.monotonic() < until:
            if ended := self.look():
                return ended
            self.check_time()
            time.sleep(self.left(rest))
            rest = min(rest * 1.5, POLL_S[1])
        return None


def _stream(connection: Connection, job: str | None, cursor: int | None, silence_s: float) -> Iterator[Event | None]:
    """One connection: its events; None when it stands and with every sign of life."""
    headers = {"Accept": "text/event-stream", "Cache-Control": "no-store"}
    params: dict[str, object] = {"job": job, "after": cursor}
    if cursor:
        headers["Last-Event-ID"] = str(cursor)
    try:
        with connection.open("GET", "/v1/events", params=params, headers=headers, timeout=silence_s) as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise StreamUnavailable("the farm's address answers with something else than an event stream")
            yield None
            pending = b""
            for chunk in response.iter_raw():
                *messages, pending = (pending + chunk).replace(b"\r\n", b"\n").split(b"\n\n")
                for message in messages:
                    yield _event(message)
                if len(pending) > MESSAGE_BYTES:
                    raise StreamUnavailable("the event stream holds a message without end")
                if not messages:
                    yield None
    except Answered as answer:
        error = error_from(answer.response)
        if answer.response.status_code in (*BUSY, 404, 405, 406):
            raise StreamUnavailable(error.detail) from error
        raise error from None


def _event(message: bytes) -> Event | None:
    """An event out of a message's ``data`` lines; None for a comment or a newer farm's message."""
    lines = message.decode("utf-8", "replace").split("\n")
    data = "\n".join(line[5:].removeprefix(" ") for line in lines if line.startswith("data:"))
    try:
        return Event.model_validate_json(data) if data else None
    except ValidationError:
        return None


def _as_ours(connection: Connection, error: Exception) -> EnginehouseError:
    if isinstance(error, StreamUnavailable):
        return NotReady(error.detail)
    if isinstance(error, EnginehouseError):
        return error
    return FarmUnreachable(f"the farm at {connection.settings.url} broke off: {error or type(error).__name__}")

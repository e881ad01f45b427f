"""One request to a receiver: a deadline for all of it, no redirects, no proxy, and no more of its answer than is shown.

The standard library's HTTP over a connection of ours: we choose the address, TLS still asks for the name.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import Any, cast
from urllib.parse import SplitResult, urlsplit

from enginehouse.webhooks import Outcome
from scheduler.webhooks.reach import NoSuchName, NotAllowed, Reach

SHOWN = 2048
"""Characters of an answer that are kept."""

_READ = 16 * 1024
_CONNECT_S = 5.0


@dataclass(frozen=True)
class Answer:
    """How a request ended. ``asked_s``: the Retry-After of an answer."""

    outcome: Outcome
    status: int | None = None
    error: str = ""
    address: str = ""
    response: str = ""
    ms: float = 0.0
    asked_s: float | None = None

    @property
    def accepted(self) -> bool:
        """Whether the receiver has it."""
        return self.outcome is Outcome.ACCEPTED


class _Failed(Exception):
    def __init__(self, outcome: Outcome, said: str, address: str = "") -> None:
        super().__init__(said)
        self.outcome = outcome
        self.address = address


def post(url: str, headers: Mapping[str, str], body: bytes, reach: Reach, time_s: float) -> Answer:
    """Send it, and never raise for what the other side does."""
    began = time.monotonic()
    try:
        answer = _post(urlsplit(url), headers, body, reach, _Deadline(began + time_s, time_s))
    except _Failed as failed:
        answer = Answer(failed.outcome, error=str(failed), address=failed.address)
    return Answer(**{**vars(answer), "ms": round((time.monotonic() - began) * 1000, 1)})


@dataclass(frozen=True)
class _Deadline:
    at: float
    time_s: float

    def left(self) -> float:
        """Seconds that are left. Raises TimeoutError."""
        left = self.at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


def _post(parts: SplitResult, headers: Mapping[str, str], body: bytes, reach: Reach, deadline: _Deadline) -> Answer:
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    if parts.scheme != "https" and not reach.http:
        raise _Failed(Outcome.NOT_ALLOWED, "the farm's settings do not allow http:// addresses any more")
    try:
        where = reach.addresses(host, port)
    except NotAllowed as error:
        raise _Failed(Outcome.NOT_ALLOWED, str(error)) from None
    except NoSuchName as error:
        raise _Failed(Outcome.UNREACHABLE, str(error)) from None
    raw, address = _connected(where, deadline)
    with raw:
        try:
            stream = _wrapped(raw, host, deadline) if parts.scheme == "https" else raw
            with stream:
                return _exchange(_Timed(stream, deadline), parts, headers, body, address)
        except TimeoutError:
            said = f"there was no whole answer within {deadline.time_s:g} s"
            raise _Failed(Outcome.TIMED_OUT, said, address) from None
        except ssl.SSLError as error:
            reason = getattr(error, "verify_message", "") or error.reason or str(error)
            raise _Failed(Outcome.TLS_FAILED, f"TLS failed: {reason}", address) from None
        except ConnectionError as error:
            raise _Failed(Outcome.UNREACHABLE, f"the connection broke: {error.strerror or error}", address) from None
        except http.client.HTTPException as error:
            said = f"the answer is not HTTP: {type(error).__name__}"
            raise _Failed(Outcome.NOT_HTTP, said, address) from None
        except OSError as error:
            raise _Failed(Outcome.UNREACHABLE, f"the connection failed: {error.strerror or error}", address) from None


def _connected(where: list[tuple[socket.AddressFamily, Any]], deadline: _Deadline) -> tuple[socket.socket, str]:
    """A connection to the first of the addresses that takes one."""
    said, outcome, address = "", Outcome.UNREACHABLE, ""
    for family, target in where[:4]:
        address = str(target[0])
        raw = socket.socket(family, socket.SOCK_STREAM)
        try:
            raw.settimeout(min(_CONNECT_S, deadline.left()))
            raw.connect(target)
        except TimeoutError:
            raw.close()
            said, outcome = "nobody answered the connection in time", Outcome.TIMED_OUT
        except OSError as error:
            raw.close()
            said, outcome = f"no connection: {error.strerror or error}", Outcome.UNREACHABLE
        else:
            return raw, address
    raise _Failed(outcome, said, address)


@cache
def _tls() -> ssl.SSLContext:
    """The machine's certificate authorities, or those that SSL_CERT_FILE names."""
    return ssl.create_default_context()


def _wrapped(raw: socket.socket, host: str, deadline: _Deadline) -> ssl.SSLSocket:
    raw.settimeout(deadline.left())
    return _tls().wrap_socket(raw, server_hostname=host)


def _exchange(timed: _Timed, parts: SplitResult, headers: Mapping[str, str], body: bytes, address: str) -> Answer:
    connection = http.client.HTTPConnection(parts.hostname or "")
    connection.sock = cast("socket.socket", timed)  # connected already; it is written to and read from, no more
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    connection.putrequest("POST", target, skip_host=True, skip_accept_encoding=True)
    sent = {"Host": parts.netloc, **headers, "Content-Length": str(len(body)), "Connection": "close"}
    for name, value in sent.items():
        connection.putheader(name, value)
    connection.endheaders(body)
    answer = connection.getresponse()
    outcome, error = _judged(answer)
    return Answer(
        outcome,
        status=answer.status,
        error=error,
        address=address,
        response=_beginning(answer.read, outcome is Outcome.ACCEPTED),
        asked_s=_asked(answer.getheader("Retry-After")),
    )


def _judged(answer: http.client.HTTPResponse) -> tuple[Outcome, str]:
    status = answer.status
    if 200 <= status < 300:
        return Outcome.ACCEPTED, ""
    if status in {301, 302, 303, 307, 308}:
        return Outcome.REDIRECTED, f"it answered {status}; redirects are not followed, give the final address"
    return Outcome.REFUSED, f"it answered {status}"


def _beginning(read: Callable[[int], bytes], accepted: bool) -> str:
    """The answer's first characters, as text that every database takes. What was accepted is so without them too."""
    try:
        found = read(_READ)
    except (OSError, http.client.HTTPException):
        if accepted:
            return ""
        raise
    return found.decode("utf-8", "replace").replace("\x00", "\N{REPLACEMENT CHARACTER}")[:SHOWN]


def _asked(retry_after: str | None) -> float | None:
    """Seconds that a Retry-After asks for: a number, or a date."""
    if retry_after is None:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit():
        return float(text[:9])
    try:
        moment = parsedate_to_datetime(text)
    except ValueError:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())


class _Timed:
    """A socket as ``http.client`` uses it, under one deadline for everything: a byte now and then buys no time."""

    def __init__(self, stream: socket.socket, deadline: _Deadline) -> None:
        self._stream = stream
        self._deadline = deadline

    def sendall(self, data: bytes) -> None:
        """Send all of it, within what is left."""
        self._stream.settimeout(self._deadline.left())
        self._stream.sendall(data)

    def makefile(self, _mode: str) -> io.BufferedReader:
        """The answer's bytes."""
        return io.BufferedReader(_Reader(self._stream, self._deadline))

    def close(self) -> None:
        """Closed by whoever opened it."""


class _Reader(io.RawIOBase):
    def __init__(self, stream: socket.socket, deadline: _Deadline) -> None:
        super().__init__()
        self._stream = stream
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._stream.settimeout(self._deadline.left())
        return self._stream.recv_into(buffer)

"""A real receiver on the loopback: it verifies with the standardwebhooks library and answers as a test says."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from services.process import wait_until
from standardwebhooks import Webhook, WebhookVerificationError


@dataclass(frozen=True)
class Got:
    """One request."""

    headers: dict[str, str]
    body: bytes
    verified: bool

    @property
    def event(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def kind(self) -> str:
        return str(self.event["type"]).removeprefix("enginehouse.")


@dataclass
class Reply:
    """An answer."""

    status: int = 204
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


class Receiver:
    """``answer`` decides on each request; ``got`` holds them all, in order. ``secret``: unset, nothing is verified."""

    def __init__(self, answer: Callable[[Got], Reply] = lambda _: Reply(), tls: ssl.SSLContext | None = None) -> None:
        self.answer = answer
        self.secret: str | None = None
        self.got: list[Got] = []
        self.most_at_once = 0
        self._at_once = 0
        self._lock = threading.Lock()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *_: object) -> None:
                pass

        self._server = _Quiet(("127.0.0.1", 0), Handler)
        if tls is not None:
            self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self.scheme = "https" if tls is not None else "http"
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"{self.scheme}://127.0.0.1:{self.port}/hook"

    @property
    def kinds(self) -> list[str]:
        return [each.kind for each in self.got]

    @property
    def ids(self) -> list[str]:
        return [each.id for each in self.got]

    def until(self, number: int, seconds: float = 30) -> list[Got]:
        """The requests, once there are so many."""
        wait_until(lambda: len(self.got) >= number, seconds, f"request {number} of the receiver")
        return self.got

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        body = handler.rfile.read(int(handler.headers["Content-Length"]))
        got = Got({name.lower(): value for name, value in handler.headers.items()}, body, self._verifies(handler, body))
        with self._lock:
            self.got.append(got)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            reply = self.answer(got)
        finally:
            with self._lock:
                self._at_once -= 1
        handler.send_response(reply.status)
        for name, value in reply.headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(reply.body)))
        handler.end_headers()
        handler.wfile.write(reply.body)

    def _verifies(self, handler: BaseHTTPRequestHandler, body: bytes) -> bool:
        if self.secret is None:
            return False
        try:
            Webhook(self.secret).verify(body, dict(handler.headers.items()))
        except WebhookVerificationError:
            return False
        return True


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_: object) -> None:
        """A client that hung up is what some tests are about."""


@contextmanager
def receiving(
    answer: Callable[[Got], Reply] = lambda _: Reply(), tls: ssl.SSLContext | None = None
) -> Iterator[Receiver]:
    made = Receiver(answer, tls)
    try:
        yield made
    finally:
        made.close()

"""What every request gets: an id, a log line, and headers that keep browsers in bounds."""

from __future__ import annotations

import re
import time
import uuid

import structlog
from flask import Flask, Response, g, request

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_CSP = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

log = structlog.get_logger(__name__)


def request_id(given: str | None) -> str:
    """The caller's id when it is safe to log and send back, else a new one."""
    return given if given and _SAFE_ID.fullmatch(given) else uuid.uuid4().hex


def _before() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id(request.headers.get("X-Request-Id"))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _after(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = g.request_id
    headers.setdefault("Content-Security-Policy", _CSP)
    headers.setdefault("X-Content-Type-Options", "nosniff")
    headers.setdefault("Referrer-Policy", "no-referrer")
    headers.setdefault("Cross-Origin-Resource-Policy", "same-origin")
    headers.setdefault("Cache-Control", "no-store")
    rule = request.url_rule
    log.info(
        "request",
        method=request.method,
        # The rule, not the address: ids stay out of the aggregate, and a signed query string out of the log.
        route=rule.rule if rule is not None else None,
        status=response.status_code,
        ms=round((time.perf_counter() - g.started) * 1000, 2),
        peer=request.remote_addr,
        principal=g.get("principal_name"),
    )
    return response


def register(app: Flask, stall_s: float) -> None:
    """Put ids, logs, headers and the stall limit around every request."""

    def bound_stalls() -> None:
        # gunicorn's thread workers read and write without a time limit of their own.
        socket = request.environ.get("gunicorn.socket")
        if socket is not None:
            socket.settimeout(stall_s)

    app.before_request(_before)
    app.before_request(bound_stalls)
    app.after_request(_after)

"""What every request gets: an id, a log line, and headers that keep browsers in bounds."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence

import structlog
from flask import Flask, Response, g, request

_SAFE_ID = re.compile(r"[A-Za-z0-9._-]{1,100}")
_PERMISSIONS = ("camera", "display-capture", "geolocation", "microphone", "payment", "usb")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",  # with no-referrer a browser sends its own forms with the origin "null"
    "Permissions-Policy": ", ".join(f"{name}=()" for name in _PERMISSIONS),
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}

log = structlog.get_logger(__name__)


def request_id(given: str | None) -> str:
    """The caller's id when it is safe to log and send back, else a new one."""
    return given if given and _SAFE_ID.fullmatch(given) else uuid.uuid4().hex


def content_policy(store: Sequence[str]) -> str:
    """What a page may do: nothing but with this farm, and with the S3 store that uploads go to straight.

    There is no inline script, no inline style and no eval; ``data:`` is for the pictures of the style sheet.
    """
    return "; ".join(
        (
            "default-src 'none'",
            "script-src 'self'",
            "worker-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            " ".join(("connect-src 'self'", *store)),
            "frame-src 'self'",
            "form-action 'self'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
            "object-src 'none'",
        )
    )


def _before() -> None:
    g.started = time.perf_counter()
    g.request_id = request_id(request.headers.get("X-Request-Id"))
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(request_id=g.request_id)


def _after(response: Response) -> Response:
    headers = response.headers
    headers["X-Request-Id"] = g.request_id
    for name, value in _HEADERS.items():
        headers.setdefault(name, value)
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


def register(app: Flask, stall_s: float, store: Sequence[str] = ()) -> None:
    """Put ids, logs, headers and the stall limit around every request. ``store``: origins of uploads beside ours."""
    policy = content_policy(store)

    def bound_pages(response: Response) -> Response:
        response.headers.setdefault("Content-Security-Policy", policy)
        return response

    def bound_stalls() -> None:
        # gunicorn's thread workers read and write without a time limit of their own.
        socket = request.environ.get("gunicorn.socket")
        if socket is not None:
            socket.settimeout(stall_s)

    app.before_request(_before)
    app.before_request(bound_stalls)
    app.after_request(bound_pages)
    app.after_request(_after)

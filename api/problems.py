"""Every error leaves as problem+json (RFC 9457): ours, the framework's, and what nobody expected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import urlencode

import structlog
from flask import Flask, Response, current_app, g, request
from pydantic import ValidationError
from sqlalchemy.exc import DataError, DBAPIError, InterfaceError, OperationalError
from werkzeug.exceptions import HTTPException
from werkzeug.routing import RequestRedirect

from enginehouse.errors import (
    BadRequest,
    EnginehouseError,
    FarmFull,
    InternalError,
    MethodNotAllowed,
    NotFound,
    NotReady,
    Problem,
    RangeNotSatisfiable,
    RequestError,
    TooLarge,
    TooManyRequests,
    Unauthenticated,
    UnsupportedMediaType,
)

CONTENT_TYPE = "application/problem+json"
_DRAW = "enginehouse-draw-error"

log = structlog.get_logger(__name__)


class Busy(NotReady):
    """The process has no room for another long answer."""

    title = "Too many streams are open"
    advice = "Come back after the seconds in Retry-After; lists and single reads still answer."


_BY_STATUS: dict[int, type[EnginehouseError]] = {
    400: BadRequest,
    404: NotFound,
    405: MethodNotAllowed,
    408: BadRequest,
    413: TooLarge,
    415: UnsupportedMediaType,
    416: RangeNotSatisfiable,
    422: RequestError,
}


Draw = Callable[[EnginehouseError, int], Response]
"""Draws an error as a page."""


def problem(error: EnginehouseError, status: int | None = None) -> Response:
    """The answer to an error of ours: a page for who reads pages, else a problem document."""
    draw: Draw | None = current_app.extensions.get(_DRAW)
    if draw is not None and _wants_page():
        if isinstance(error, Unauthenticated) and request.method in {"GET", "HEAD"}:
            wanted = request.full_path if request.query_string else request.path
            return Response(status=303, headers={"Location": f"/sign-in?{urlencode({'next': wanted})}"})
        return _marked(draw(error, status or error.status), error)
    body = Problem(
        type=f"urn:enginehouse:{error.code}",
        title=error.title,
        status=status or error.status,
        detail=error.detail,
        instance=request.path,
        code=error.code,
        fault=error.fault,
        advice=error.hint,
        where=error.where,
        request_id=g.get("request_id", ""),
    )
    return _marked(Response(body.model_dump_json(), status=body.status, content_type=CONTENT_TYPE), error)


def _wants_page() -> bool:
    """Whether a browser asks for a page, or for an address that nobody has and that is none of the API's."""
    theirs = not request.path.startswith("/v1/") if request.url_rule is None else bool(g.get("page"))
    return theirs and _accepts_html()


def _accepts_html() -> bool:
    return request.accept_mimetypes.best_match(["application/json", "text/html"]) == "text/html"


def _marked(response: Response, error: EnginehouseError) -> Response:
    """With the headers that its status and kind ask for."""
    if response.status_code == 401:
        # A browser asks for a password only when it is offered Basic; programs are told Bearer.
        scheme = "Basic" if _accepts_html() else "Bearer"
        response.headers["WWW-Authenticate"] = f'{scheme} realm="enginehouse"'
    if isinstance(error, RangeNotSatisfiable) and "size" in error.where:
        response.headers["Content-Range"] = f"bytes */{error.where['size']}"
    if isinstance(error, NotReady | FarmFull) or response.status_code == 503:
        response.headers["Retry-After"] = "2"
    if isinstance(error, TooManyRequests) and "retry_after_s" in error.where:
        response.headers["Retry-After"] = str(error.where["retry_after_s"])
    return response


def invalid(error: ValidationError, place: str) -> RequestError:
    """What a person must know of a failed validation: each field's place and what is wrong there.

    A field that was refused by an error of ours (an unknown precision in a target) keeps that error's code.
    Given values are not repeated, they may be secrets.
    """
    fields: list[dict[str, Any]] = []
    cls: type[EnginehouseError] = RequestError
    for item in error.errors(include_url=False, include_input=False):
        cause = getattr(item.get("ctx", {}).get("error"), "__cause__", None)
        if isinstance(cause, RequestError):
            cls = type(cause)
        fields.append({"place": ".".join([place, *map(str, item["loc"])]), "says": item["msg"]})
    says = "; ".join(f"{field['place']}: {field['says']}" for field in fields[:5])
    more = f"; and {len(fields) - 5} more" if len(fields) > 5 else ""
    found = cls(says + more, fields=fields)
    assert isinstance(found, RequestError)
    return found


def _ours(error: EnginehouseError) -> Response:
    if error.status >= 500:
        log.warning("answer_failed", code=error.code, detail=error.detail)
    return problem(error)


def _framework(error: HTTPException) -> Response | HTTPException:
    status = error.code or 500
    if isinstance(error, RequestRedirect) or status < 400:
        return error
    details = {404: "no such address", 405: f"{request.method} is not possible at this address"}
    cls = _BY_STATUS.get(status, BadRequest if status < 500 else InternalError)
    response = problem(cls(details.get(status, "")), status)
    allowed = getattr(error, "valid_methods", None)
    if allowed:
        response.headers["Allow"] = ", ".join(sorted(allowed))
    return response


def _unexpected(error: Exception) -> Response:
    log.error("unexpected_error", exc_info=error)
    return problem(InternalError())


def _registry(error: DBAPIError) -> Response:
    """What the registry's driver raised: a value that no column holds, or a registry that is away."""
    if isinstance(error, DataError):
        return problem(RequestError("a value of the request is larger than the farm can keep"))
    log.error("registry_failed", exc_info=error)
    if isinstance(error, OperationalError | InterfaceError):
        return problem(NotReady("the registry does not answer"))
    return problem(InternalError())


def register(app: Flask, draw: Draw | None = None) -> None:
    """Answer every error of the application in this shape; those of pages are drawn."""
    app.extensions[_DRAW] = draw
    app.register_error_handler(EnginehouseError, _ours)
    app.register_error_handler(DBAPIError, _registry)
    app.register_error_handler(HTTPException, _framework)
    app.register_error_handler(Exception, _unexpected)

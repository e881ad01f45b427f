"""One declaration per route: address, method, scope, body, answer, errors. Flask and OpenAPI both read it.

A handler is a plain function. Its first parameter is the Call; the others are the address's parts by name, and

- ``body``: a model, read from JSON (with ``| None`` where a stream is taken too),
- ``form``: a model, read from the fields of a page's form,
- ``stream``: a BodyStream, read from application/octet-stream,
- ``query`` and ``headers``: models (headers by their aliases).

Its return annotation is the answer: a model, ``Reply[Model]`` where the status varies, ``None`` for 204, or a
Flask ``Response``, whose type is declared with ``produces``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from collections.abc import Set as AbstractSet
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from flask import Flask, Response, current_app, g, request
from pydantic import BaseModel

from api.auth import Gate, Scope, allows
from api.bodies import (
    FORM,
    JSON,
    OCTETS,
    BodyStream,
    media_type,
    open_stream,
    read_fields,
    read_form,
    read_json,
    read_page_query,
)
from api.limits import Limits
from api.oidc import Provider
from api.settings import ServeSettings
from api.tailer import Tailer
from enginehouse.errors import EnginehouseError, Forbidden, NotFound, TooManyRequests
from scheduler import audit
from scheduler.farm import Farm
from scheduler.principal import Principal
from scheduler.settings import Settings

T = TypeVar("T", bound=BaseModel)
Handler = Callable[..., Any]
EXTENSION = "enginehouse"


@dataclass(frozen=True)
class Door:
    """What the handlers of one application share."""

    farm: Farm
    gate: Gate
    tailer: Tailer
    limits: Limits
    serve: ServeSettings
    provider: Provider | None = None

    @property
    def stream_s(self) -> float:
        """Seconds after which an event stream ends."""
        return self.serve.api_stream_s

    @property
    def settings(self) -> Settings:
        """The process's settings."""
        return self.farm.settings

    def close(self) -> None:
        """End what runs in the background, then the farm's connections."""
        self.tailer.close()
        self.limits.close()
        self.farm.dispose()


@dataclass(frozen=True)
class Call:
    """One request: who asks, and of which farm."""

    door: Door
    caller: Principal | None

    @property
    def farm(self) -> Farm:
        """The farm that is asked."""
        return self.door.farm

    @property
    def principal(self) -> Principal:
        """The one who asks; routes that need no token have none."""
        assert self.caller is not None
        return self.caller

    @property
    def request_id(self) -> str:
        """The id that goes all the way into the build's log."""
        return str(g.request_id)

    @property
    def peer(self) -> str:
        """The address that asks."""
        return request.remote_addr or ""


@dataclass(frozen=True)
class Reply(Generic[T]):
    """An answer with a status or headers of its own."""

    value: T
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Route:
    """A declared route."""

    method: str
    rule: str
    scope: Scope
    summary: str
    tag: str
    handler: Handler
    status: int
    also: dict[int, str]
    errors: tuple[type[EnginehouseError], ...]
    produces: str
    any_type: bool = False
    others: Scope | None = None
    """What is needed where the thing was submitted by somebody else; None: it does not matter by whom."""
    counted: bool = False
    """Whether it is a submission, of which one caller may make so many in a while."""
    changes: bool = True
    """Whether each request is meant to change something, where its method says so: then each is a line of the audit
    log, and else only those that did.
    """
    page: bool = False
    """Whether it is for people: its errors are pages, and the API's document leaves it out."""

    @property
    def name(self) -> str:
        """Flask's endpoint and OpenAPI's operation id."""
        return f"{self.tag}_{self.handler.__name__.rstrip('_')}"

    @property
    def audited(self) -> bool:
        """Whether it is entered in the audit log.

        What workers say all the time is not, nor are the single parts of an upload, whose begin and end are.
        """
        return self.method not in {"GET", "HEAD"} and self.scope not in {Scope.WORK, Scope.SIGNED}

    def allows(self, scopes: AbstractSet[str], *, own: bool = True) -> bool:
        """Whether who has these scopes may ask it, of a thing of their own or of others."""
        return allows(scopes, self.scope) and (own or self.others is None or allows(scopes, self.others))

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The handler's annotations."""
        return typing.get_type_hints(self.handler)

    def parameter(self, name: str) -> type[BaseModel] | None:
        """The model of ``body``, ``form``, ``query`` or ``headers``."""
        hint = self.hints.get(name)
        if isinstance(hint, types.UnionType):
            hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        return hint

    @cached_property
    def takes(self) -> list[str]:
        """The body's media types; none where no body is read."""
        return [kind for kind, name in ((OCTETS, "stream"), (JSON, "body"), (FORM, "form")) if name in self.hints]

    @cached_property
    def answer(self) -> Any:
        """The model that is answered, ``None`` for an empty answer, ``Response`` for bytes."""
        hint = self.hints["return"]
        if typing.get_origin(hint) is Reply:
            return typing.get_args(hint)[0]
        return None if hint is type(None) else hint

    def view(self, **path: Any) -> Response:
        """Answer the present request: first whether they may, then what they sent, then the handler."""
        door: Door = current_app.extensions[EXTENSION]
        g.page = self.page
        try:
            call = Call(door, door.gate.admit(request, self.scope))
        except Forbidden:
            known = g.get("principal")
            if known is not None and self.audited:
                with self._recording(Call(door, known)):
                    raise
            raise
        g.call = call
        if not self.audited:
            return self._answer(call, path)
        with self._recording(call):
            return self._answer(call, path)

    def _recording(self, call: Call) -> AbstractContextManager[None]:
        entry = audit.entry_of(call.caller, self.name, request.path, call.peer, call.request_id)
        return audit.recording(call.farm, entry, always=self.changes)

    def _answer(self, call: Call, path: dict[str, Any]) -> Response:
        if self.counted:
            caller = call.principal
            whose = caller.person or caller.token or caller.name
            call.door.limits.count(call.door.serve.submit_limit, "submit", whose)
        if any("\x00" in part for part in path.values() if isinstance(part, str)):
            raise NotFound("no such address")
        given = dict(path)
        query, headers = self.parameter("query"), self.parameter("headers")
        if query is not None and self.page:
            given["query"] = read_page_query(query, list(request.args.items(multi=True)))
        elif query is not None:
            given["query"] = read_fields(query, request.args.to_dict(), "query")
        if headers is not None:
            named = {f.alias or key: request.headers.get(f.alias or key) for key, f in headers.model_fields.items()}
            given["headers"] = read_fields(headers, {k: v for k, v in named.items() if v is not None}, "header")
        if not self.takes:
            return self._respond(self.handler(call, **given))
        return self._respond(self._with_body(call, given))

    def _with_body(self, call: Call, given: dict[str, Any]) -> Any:
        kind = OCTETS if self.any_type else media_type(self.takes)
        if "stream" in self.hints:
            given["stream"] = open_stream(call.door.settings.max_upload_bytes) if kind == OCTETS else None
        model = self.parameter("body")
        if model is not None:
            given["body"] = read_json(model, call.door.settings.max_json_bytes) if kind == JSON else None
        form = self.parameter("form")
        if form is not None:
            given["form"] = read_form(form, call.door.settings.max_json_bytes)
        stream: BodyStream | None = given.get("stream")
        try:
            return self.handler(call, **given)
        except EnginehouseError:
            if stream is not None:
                stream.drain()
            raise

    def _respond(self, value: Any) -> Response:
        status, headers = self.status, {}
        if isinstance(value, Response):
            return value
        if isinstance(value, Reply):
            status, headers, value = value.status, value.headers, value.value
        if value is None:
            return Response(status=204)
        assert isinstance(value, BaseModel)
        response = Response(value.model_dump_json(), status=status, content_type=JSON)
        response.headers.update(headers)
        return response


class Router:
    """The routes of one noun. ``pages``: they are for people, not for programs."""

    def __init__(self, tag: str, *, pages: bool = False) -> None:
        self.tag = tag
        self.pages = pages
        self.routes: list[Route] = []

    def route(
        self,
        method: str,
        rule: str,
        scope: Scope,
        summary: str,
        *,
        status: int = 200,
        also: dict[int, str] | None = None,
        errors: tuple[type[EnginehouseError], ...] = (),
        produces: str = JSON,
        any_type: bool = False,
        others: Scope | None = None,
        counted: bool = False,
        changes: bool = True,
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated handler's route.

        ``also``: further good statuses with their meaning. ``errors``: those beyond what every route of this
        shape can answer. ``any_type``: the stream is taken whatever its Content-Type says. ``others``, ``counted``,
        ``changes``: see ``Route``.
        """

        def declare(handler: Handler) -> Handler:
            self.routes.append(
                Route(
                    method=method,
                    rule=rule,
                    scope=scope,
                    summary=summary,
                    tag=self.tag,
                    handler=handler,
                    status=status,
                    also=also or {},
                    errors=(*errors, TooManyRequests) if counted else errors,
                    produces=produces,
                    any_type=any_type,
                    page=self.pages,
                    others=others,
                    counted=counted,
                    changes=changes,
                )
            )
            return handler

        return declare


def mount(app: Flask, routes: list[Route]) -> None:
    """Give the routes to Flask. OPTIONS is not answered: no other origin is invited."""
    for route in routes:
        app.add_url_rule(
            route.rule,
            endpoint=route.name,
            view_func=route.view,
            methods=[route.method],
            provide_automatic_options=False,
        )

"""One declaration per route: address, method, scope, body, answer, errors. Flask and OpenAPI both read it.

A handler is a plain function. Its first parameter is the Call; the others are the address's parts by name, and

- ``body``: a model, read from JSON (with ``| None`` where a stream is taken too),
- ``stream``: a BodyStream, read from application/octet-stream,
- ``query`` and ``headers``: models (headers by their aliases).

Its return annotation is the answer: a model, ``Reply[Model]`` where the status varies, ``None`` for 204, or a
Flask ``Response``, whose type is declared with ``produces``.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Generic, TypeVar

from flask import Flask, Response, current_app, g, request
from pydantic import BaseModel

from api.auth import Gate, Scope
from api.bodies import JSON, OCTETS, BodyStream, media_type, open_stream, read_fields, read_json
from api.tailer import Tailer
from enginehouse.errors import EnginehouseError, NotFound
from scheduler.farm import Farm
from scheduler.settings import Settings
from scheduler.tokens import Principal

T = TypeVar("T", bound=BaseModel)
Handler = Callable[..., Any]
EXTENSION = "enginehouse"


@dataclass(frozen=True)
class Door:
    """What the handlers of one application share."""

    farm: Farm
    gate: Gate
    tailer: Tailer
    stream_s: float

    @property
    def settings(self) -> Settings:
        """The process's settings."""
        return self.farm.settings

    def close(self) -> None:
        """End what runs in the background, then the farm's connections."""
        self.tailer.close()
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

    @property
    def name(self) -> str:
        """Flask's endpoint and OpenAPI's operation id."""
        return f"{self.tag}_{self.handler.__name__.rstrip('_')}"

    @cached_property
    def hints(self) -> dict[str, Any]:
        """The handler's annotations."""
        return typing.get_type_hints(self.handler)

    def parameter(self, name: str) -> type[BaseModel] | None:
        """The model of ``body``, ``query`` or ``headers``."""
        hint = self.hints.get(name)
        if isinstance(hint, types.UnionType):
            hint = next(arm for arm in typing.get_args(hint) if arm is not type(None))
        return hint

    @cached_property
    def takes(self) -> list[str]:
        """The body's media types; none where no body is read."""
        return [kind for kind, name in ((OCTETS, "stream"), (JSON, "body")) if name in self.hints]

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
        call = Call(door, door.gate.admit(request, self.scope))
        if any("\x00" in part for part in path.values() if isinstance(part, str)):
            raise NotFound("no such address")
        given = dict(path)
        query, headers = self.parameter("query"), self.parameter("headers")
        if query is not None:
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
    """The routes of one noun."""

    def __init__(self, tag: str) -> None:
        self.tag = tag
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
    ) -> Callable[[Handler], Handler]:
        """Declare the decorated handler's route.

        ``also``: further good statuses with their meaning. ``errors``: those beyond what every route of this
        shape can answer. ``any_type``: the stream is taken whatever its Content-Type says.
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
                    errors=errors,
                    produces=produces,
                    any_type=any_type,
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

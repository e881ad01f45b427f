"""The OpenAPI 3.1 document, made from the declared routes. ``python -m api.openapi`` prints it.

Not flask-openapi: its handlers take broken JSON for null, read a body of any type as JSON, and describe one
validation error of their own beside ours. The models' own JSON schemas are all that the document needs.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

from flask import Response
from pydantic import BaseModel
from pydantic.json_schema import JsonSchemaMode, models_json_schema

from api.auth import TOKENLESS, Scope
from api.bodies import JSON, OCTETS
from api.problems import CONTENT_TYPE
from api.routing import Call, Route, Router
from enginehouse import __version__
from enginehouse.errors import (
    BadRequest,
    EnginehouseError,
    Forbidden,
    InternalError,
    NotFound,
    NotReady,
    Problem,
    RequestError,
    TooLarge,
    Unauthenticated,
    UnsupportedMediaType,
)

_REF = "#/components/schemas/{model}"
_CONVERTER = re.compile(r"<(?:(\w+):)?(\w+)>")
_BYTES = {"type": "string", "format": "binary"}

Json = dict[str, Any]

router = Router("openapi")


@router.route("GET", "/openapi.json", Scope.READ, "This document")
def document(_call: Call) -> Response:
    """OpenAPI 3.1."""
    return Response(render(current()), content_type=JSON)


@cache
def current() -> Json:
    """The document of this application."""
    from api.app import all_routes  # it imports every route, this module's too

    return describe(route for route in all_routes() if not route.page)


def render(value: Json) -> str:
    """The document as it is committed."""
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def describe(routes: Iterable[Route]) -> Json:
    """The document of these routes."""
    routes = list(routes)
    schemas, components = _schemas(routes)
    paths: dict[str, Json] = {}
    for route in routes:
        item = paths.setdefault(_CONVERTER.sub(r"{\2}", route.rule), {})
        item[route.method.lower()] = _operation(route, schemas)
        if route.method == "GET" and route.produces == OCTETS:
            item["head"] = _head(item["get"])
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Enginehouse",
            "version": __version__,
            "summary": "A self-hosted build farm for inference engines",
            "description": "Errors are problem documents (RFC 9457) with a code from one published list. "
            "Every answer carries X-Request-Id; a safe one that the caller sends is kept.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in dict.fromkeys(route.tag for route in routes)],
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {
                "token": {"type": "http", "scheme": "bearer", "description": "a token of the farm"},
                "password": {"type": "http", "scheme": "basic", "description": "any user name, the token as password"},
            },
        },
    }


def _schemas(routes: list[Route]) -> tuple[Mapping[Any, Json], Json]:
    """Each body's and answer's reference, and the components that they refer to."""
    wanted: dict[tuple[type[BaseModel], JsonSchemaMode], None] = {(Problem, "serialization"): None}
    shared: Json = {}
    for route in routes:
        body = route.parameter("body")
        if body is not None:
            wanted[(body, "validation")] = None
        if _is_model(route.answer):
            wanted[(route.answer, "serialization")] = None
        for name in ("query", "headers"):
            model = route.parameter(name)
            if model is not None:
                shared |= model.model_json_schema(ref_template=_REF).get("$defs", {})
    found, definitions = models_json_schema(list(wanted), ref_template=_REF)
    return found, dict(sorted((shared | definitions["$defs"]).items()))


def _operation(route: Route, schemas: Mapping[Any, Json]) -> Json:
    operation: Json = {
        "operationId": route.name,
        "tags": [route.tag],
        "summary": route.summary,
        "description": " ".join((route.handler.__doc__ or "").split()),
        "security": [] if route.scope in TOKENLESS else [{"token": []}, {"password": []}],
        "x-scope": str(route.scope),
    }
    parameters = _path_parameters(route.rule) + _parameters(route, "query", "query")
    parameters += _parameters(route, "headers", "header")
    if route.produces == OCTETS:
        parameters += _DOWNLOAD_HEADERS
    if parameters:
        operation["parameters"] = parameters
    if route.takes:
        operation["requestBody"] = {
            "required": True,
            "content": {
                kind: {"schema": _BYTES if kind == OCTETS else schemas[(route.parameter("body"), "validation")]}
                for kind in route.takes
            },
        }
    operation["responses"] = {**_answers(route, schemas), **_problems(route)}
    return operation


def _head(get: Json) -> Json:
    """HEAD of a download: the same headers, no body, no redirect."""
    head = {**get, "operationId": get["operationId"] + "_head", "summary": get["summary"] + ": headers only"}
    answers = {status: answer for status, answer in get["responses"].items() if status not in {"206", "302", "416"}}
    head["responses"] = {status: {**answer, "content": {}} for status, answer in answers.items()}
    for answer in head["responses"].values():
        del answer["content"]
    return head


def _answers(route: Route, schemas: Mapping[Any, Json]) -> Json:
    if route.answer is None:
        return {"204": {"description": "Done"}}
    good: Json = {"description": route.summary}
    if _is_model(route.answer):
        good["content"] = {route.produces: {"schema": schemas[(route.answer, "serialization")]}}
    elif route.produces.endswith(("/json", "+json")):
        good["content"] = {route.produces: {"schema": {"type": "object"}}}
    else:
        good["content"] = {route.produces: {"schema": _BYTES if route.produces == OCTETS else {"type": "string"}}}
    found = {str(route.status): good}
    for status, means in route.also.items():
        found[str(status)] = {**good, "description": means}
        if status in {302, 304}:
            found[str(status)] = {"description": means}
    return found


def _problems(route: Route) -> Json:
    classes: list[type[EnginehouseError]] = [InternalError, NotReady, *route.errors]
    if route.scope not in TOKENLESS:
        classes += [Unauthenticated, Forbidden]
    if "<" in route.rule:
        classes.append(NotFound)
    if route.parameter("query") or route.parameter("headers"):
        classes.append(RequestError)
    if route.takes:
        classes += [BadRequest, TooLarge, RequestError, NotFound]
        classes += [] if route.any_type else [UnsupportedMediaType]
    by_status: dict[int, list[type[EnginehouseError]]] = {}
    for cls in dict.fromkeys(classes):
        by_status.setdefault(cls.status, []).append(cls)
    return {
        str(status): {
            "description": "; ".join(f"`{cls.code}` {cls.title}" for cls in found),
            "content": {CONTENT_TYPE: {"schema": {"$ref": _REF.format(model=Problem.__name__)}}},
        }
        for status, found in sorted(by_status.items())
        if str(status) not in map(str, route.also)
    }


def _path_parameters(rule: str) -> list[Json]:
    return [
        {
            "name": name,
            "in": "path",
            "required": True,
            "schema": {"type": "integer", "minimum": 0} if converter == "int" else {"type": "string"},
        }
        for converter, name in _CONVERTER.findall(rule)
    ]


def _parameters(route: Route, name: str, place: str) -> list[Json]:
    model = route.parameter(name)
    if model is None:
        return []
    schema = model.model_json_schema(ref_template=_REF)
    found = []
    for field, given in schema["properties"].items():
        own = dict(given)
        own.pop("title", None)
        description = own.pop("description", "")
        # An optional parameter is left out; it cannot be sent as null.
        arms = [arm for arm in own.pop("anyOf", []) if arm != {"type": "null"}]
        if own.get("default", ...) is None:
            del own["default"]
        for arm in arms:
            own |= arm
        required = field in schema.get("required", [])
        found.append({"name": field, "in": place, "required": required, "description": description, "schema": own})
    return found


def _is_model(answer: Any) -> bool:
    return isinstance(answer, type) and issubclass(answer, BaseModel)


_DOWNLOAD_HEADERS: list[Json] = [
    {
        "name": name,
        "in": "header",
        "required": False,
        "description": description,
        "schema": {"type": "string"},
    }
    for name, description in (
        ("Range", "one byte range, for example bytes=0-1023"),
        ("If-Range", "the ETag under which the range is wanted, else the whole file is sent"),
        ("If-None-Match", "the ETag that the caller has"),
    )
]


if __name__ == "__main__":
    sys.stdout.write(render(current()))

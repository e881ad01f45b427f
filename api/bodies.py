"""Request bodies: JSON with a limit and no surprises, and streams of any size in flat memory."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar, get_origin
from urllib.parse import parse_qsl

import pydantic_core
from flask import request
from gunicorn.http.errors import ParseException  # type: ignore[import-untyped]
from pydantic import BaseModel, ValidationError

from api.problems import invalid
from enginehouse.errors import BadRequest, RequestError, TooLarge, UnsupportedMediaType

CHUNK = 1024 * 1024
OCTETS = "application/octet-stream"
JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_INT64 = 2**63
_FIELDS = 1000
_DRAIN_BYTES = 64 * CHUNK
_DRAIN_S = 3.0

Model = TypeVar("Model", bound=BaseModel)


class BodyStream(Iterator[bytes]):
    """The request's bytes, read in pieces: counted, limited, and whole or an error.

    It reads like a file and iterates in 1 MiB chunks. A body that ends before its declared length, or
    whose connection breaks, raises BadRequest, so that a half upload never looks like a whole one.
    """

    def __init__(self, raw: Any, length: int | None, limit: int) -> None:
        self._raw = raw
        self.length = length
        self.limit = limit
        self.received = 0
        self.ended = length == 0
        if length is not None and length > limit:
            raise TooLarge(f"the body has {length} bytes, the limit is {limit}", limit=limit, size=length)

    def read(self, size: int = -1) -> bytes:
        """At most ``size`` bytes; all of them without a size; b"" at the end."""
        if size is None or size < 0:
            return b"".join(self)
        if self.ended or size == 0:
            return b""
        if self.length is not None:
            size = min(size, self.length - self.received)
        piece = self._receive(size)
        self.received += len(piece)
        if self.received > self.limit:
            raise TooLarge(f"the body has more than the limit of {self.limit} bytes", limit=self.limit)
        if not piece and self.length is not None:
            raise self._cut()
        self.ended = not piece or self.received == self.length
        return piece

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        piece = self.read(CHUNK)
        if not piece:
            raise StopIteration
        return piece

    def drain(self) -> None:
        """Read a bounded rest away, so that a client that is still sending gets to read the answer."""
        until = time.monotonic() + _DRAIN_S
        drained = 0
        try:
            while not self.ended and drained < _DRAIN_BYTES and time.monotonic() < until:
                piece = self._raw.read(CHUNK)
                drained += len(piece)
                self.ended = not piece
        except (OSError, ParseException):
            self.ended = True

    def _receive(self, size: int) -> bytes:
        try:
            return bytes(self._raw.read(size))
        except (OSError, ParseException) as error:
            self.ended = True
            raise self._cut() from error

    def _cut(self) -> BadRequest:
        self.ended = True
        wanted = f" of {self.length}" if self.length is not None else ""
        return BadRequest(f"the body was cut off after {self.received}{wanted} bytes", received=self.received)


def open_stream(limit: int) -> BodyStream:
    """The present request's body."""
    environ = request.environ
    length = request.content_length
    if length is None and not environ.get("wsgi.input_terminated"):
        return BodyStream(io.BytesIO(), 0, limit)  # nothing was declared; reading could wait for ever
    return BodyStream(environ["wsgi.input"], length, limit)


def media_type(accepted: list[str]) -> str:
    """The body's type, which must be one of these."""
    given = request.mimetype
    if not given and not request.content_length and accepted == [FORM]:
        return FORM  # a form without fields
    if given not in accepted:
        wants = " or ".join(accepted)
        raise UnsupportedMediaType(f"the body is {given or 'of no named type'}, this address takes {wants}")
    return given


def read_json(model: type[Model], limit: int) -> Model:
    """The JSON body as a model. Raises BadRequest, TooLarge, or RequestError with the fields' places."""
    raw = open_stream(limit).read()
    try:
        value = pydantic_core.from_json(raw, allow_inf_nan=False)
    except ValueError as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    _storable(value, "body")
    try:
        # From the bytes again: only JSON mode knows that 3.0 is no list and "2026-01-01" is a time.
        return model.model_validate_json(raw)
    except ValidationError as error:
        raise invalid(error, "body") from None


def read_form(model: type[Model], limit: int) -> Model:
    """A form's fields as a model. A field that the model has as a list or tuple may come several times.

    An empty field counts as one that was not given: a browser sends every text field of a form.
    """
    try:
        text = open_stream(limit).read().decode()
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS)
    except ValueError as error:
        raise BadRequest(f"the body is no form: {error}") from None
    values = _gathered(model, pairs)
    _storable(values, "form")
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error, "form") from None


def read_page_query(model: type[Model], pairs: list[tuple[str, str]]) -> Model:
    """The query of a page as a model, read as the fields of a form are."""
    return read_fields(model, _gathered(model, pairs), "query")


def _gathered(model: type[Model], pairs: list[tuple[str, str]]) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name, value in pairs:
        field = model.model_fields.get(name)
        if field is not None and get_origin(field.annotation) in {list, tuple}:
            values.setdefault(name, []).append(value)
        elif value != "":
            values[name] = value
    return values


def read_fields(model: type[Model], values: Mapping[str, Any], place: str) -> Model:
    """Query parameters or headers as a model."""
    _storable(dict(values), place)
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise invalid(error, place) from None


def _storable(value: object, place: str) -> None:
    """Refuse what JSON can say and no database column takes: NUL characters, infinities, integers over 64 bits."""
    says = ""
    if isinstance(value, str):
        says = "holds a NUL character" if "\x00" in value else ""
    elif isinstance(value, dict):
        for key, item in value.items():
            _storable(key, place)
            _storable(item, f"{place}.{key}")
    elif isinstance(value, list):
        for index, item in enumerate(value):
            _storable(item, f"{place}.{index}")
    elif isinstance(value, float):
        says = "" if math.isfinite(value) else "is not a finite number"
    elif isinstance(value, int):
        says = "" if -_INT64 <= value < _INT64 else "is larger than 64 bits"
    if says:
        clean = place.replace("\x00", "\\0")
        raise RequestError(f"{clean}: {says}", fields=[{"place": clean, "says": says}])

"""Files out: whole or one byte range, with validators, streamed or sent on to the store."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from flask import Response, redirect, request

from enginehouse.errors import RangeNotSatisfiable
from scheduler.serving import Served
from scheduler.store.port import content_disposition


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """The one range [start, end) that a Range header asks for; None: the whole file.

    What is malformed, of another unit, or several ranges, may be ignored (RFC 9110, 14.2).
    Raises RangeNotSatisfiable for a range outside the file.
    """
    unit, equals, spec = (header or "").partition("=")
    first, dash, last = spec.strip().partition("-")
    first, last = first.strip(), last.strip()
    plain = all(not text or (text.isascii() and text.isdigit() and len(text) < 20) for text in (first, last))
    if unit.strip().lower() != "bytes" or not equals or not dash or not plain or not (first or last):
        return None
    if not first:
        start, end = max(0, size - int(last)), size
    else:
        start, end = int(first), min(size, int(last) + 1) if last else size
        if last and int(last) < start:
            return None
    if start >= size or start >= end:
        raise RangeNotSatisfiable(f"the file has {size} bytes, the range was '{header}'", size=size)
    return start, end


def send(served: Served) -> Response:
    """The answer to GET or HEAD of a file."""
    etag = f'"{served.sha256}"'
    headers = {
        "ETag": etag,
        "Accept-Ranges": "bytes",
        "X-Content-SHA256": served.sha256,
        "Content-Disposition": content_disposition(served.path),
        "Cache-Control": "private, no-cache",
    }
    if _names(request.headers.get("If-None-Match"), etag):
        return Response(status=304, headers=headers)
    if served.url is not None and request.method == "GET":
        answer = redirect(served.url, 302)
        answer.headers.update({"Cache-Control": "no-store", "X-Content-SHA256": served.sha256})
        assert isinstance(answer, Response)
        return answer
    condition = request.headers.get("If-Range")
    span = None
    if request.method == "GET" and condition in {None, etag}:
        span = byte_range(request.headers.get("Range"), served.size)
    start, end = span or (0, served.size)
    if span is not None:
        headers["Content-Range"] = f"bytes {start}-{end - 1}/{served.size}"
    headers["Content-Length"] = str(end - start)
    kind = "application/json" if served.path.endswith(".json") else "application/octet-stream"
    body: Any = () if request.method == "HEAD" else _body(served, start, end)
    return Response(body, 206 if span else 200, headers, content_type=kind, direct_passthrough=True)


def _body(served: Served, start: int, end: int) -> _Pieces:
    chunks = served.open(start, end)
    # The first chunk before the headers: a store that is away becomes a problem, not a cut connection.
    return _Pieces(chain([next(chunks, b"")], chunks), chunks)


class _Pieces:
    """Chunks that close their source when the client goes away."""

    def __init__(self, chunks: Iterator[bytes], source: Any) -> None:
        self._chunks = chunks
        self._source = source

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        close = getattr(self._source, "close", None)
        if close is not None:
            close()


def _names(header: str | None, etag: str) -> bool:
    """Whether an If-None-Match header names this tag (weak comparison, as RFC 9110 has it)."""
    if header is None:
        return False
    tags = {tag.strip().removeprefix("W/") for tag in header.split(",")}
    return "*" in tags or etag in tags

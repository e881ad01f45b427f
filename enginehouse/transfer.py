"""Uploads: hashed first, then sent in parts, four at a time; an interrupted one goes on where it was."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed

from pydantic import BaseModel

from enginehouse.connection import BUSY, TRIES, Answered, Connection, error_from, pause
from enginehouse.errors import Conflict, FarmUnreachable, NotFound, UploadIncomplete
from enginehouse.sources import Progress, Source, no_progress, sha256_of
from enginehouse.uploads import PartRequest, PartsRequest, UploadRequest
from enginehouse.views import PartUrl, UploadView

PARALLEL = 4
DIRECT_BYTES = 64 * 1024 * 1024
"""Up to this size one streamed request is quicker than parts, and little is lost when it is cut off."""

LONG_S = 600.0
"""For answers that take as long as the farm reads all bytes again or inspects a model."""


class _PartUrls(BaseModel):
    parts: list[PartUrl]


class Counter:
    """Adds up bytes from several threads and tells a progress function."""

    def __init__(self, stage: str, total: int, progress: Progress, done: int = 0) -> None:
        self.done = done
        self._stage, self._total, self._progress = stage, total, progress
        self._lock = threading.Lock()

    def add(self, count: int) -> None:
        """``count`` more bytes; negative when a try was in vain."""
        with self._lock:
            self.done += count
            self._progress(self._stage, self.done, self._total)


def hashed(source: Source, progress: Progress = no_progress) -> str:
    """SHA-256 (hex) of the whole source."""
    return sha256_of(source, tell=Counter("hash", source.size, progress).add)


def streamed(source: Source, counter: Counter, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """A stretch of the source as a request's body."""
    for chunk in source.read(start, source.size - start if length is None else length):
        yield chunk
        counter.add(len(chunk))


def upload(connection: Connection, source: Source, sha256: str, progress: Progress = no_progress) -> UploadView:
    """Bring the bytes to the farm and return the completed upload.

    Bytes that the farm holds are not sent; parts that arrived before a kill are not sent again.
    """
    view = connection.post("/v1/uploads", UploadView, body=UploadRequest(sha256=sha256, size=source.size))
    for _ in range(3):
        if view.state == "complete":
            progress("upload", source.size, source.size)
            return view
        try:
            _send_missing(connection, source, view, progress)
            return connection.post(f"/v1/uploads/{view.id}/complete", UploadView, timeout=LONG_S)
        except UploadIncomplete:
            view = connection.get(f"/v1/uploads/{view.id}", UploadView)
        except (NotFound, Conflict):  # swept meanwhile, or completed by another client
            view = connection.post("/v1/uploads", UploadView, body=UploadRequest(sha256=sha256, size=source.size))
    raise UploadIncomplete(f"parts of {source.path} were sent three times and the farm still misses some")


def missing_parts(view: UploadView) -> list[tuple[int, int, int]]:
    """(number, start, length) of every part that has not arrived. Parts count from 1; an empty file has one."""
    have = {part.number for part in view.parts}
    count = max(1, -(-view.size // view.part_size))
    spans = ((n + 1, n * view.part_size, min(view.part_size, view.size - n * view.part_size)) for n in range(count))
    return [span for span in spans if span[0] not in have]


def _send_missing(connection: Connection, source: Source, view: UploadView, progress: Progress) -> None:
    missing = missing_parts(view)
    counter = Counter("upload", view.size, progress, done=view.size - sum(length for _, _, length in missing))
    stop = threading.Event()
    pool = ThreadPoolExecutor(max_workers=PARALLEL, thread_name_prefix="upload")
    try:
        futures = [pool.submit(_send_part, connection, source, view.id, span, counter, stop) for span in missing]
        for future in as_completed(futures):
            future.result()
    except BaseException:
        stop.set()  # an error or Ctrl-C: the other parts stop at their next piece
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _send_part(
    connection: Connection,
    source: Source,
    upload_id: str,
    span: tuple[int, int, int],
    counter: Counter,
    stop: threading.Event,
) -> None:
    """One part. Its address is asked for when it is needed: it cannot expire while it waits in line."""
    number, start, length = span
    part = PartsRequest(parts=[PartRequest(number=number, sha256=sha256_of(source, start, length))])
    for attempt in range(TRIES):
        place = connection.post(f"/v1/uploads/{upload_id}/parts", _PartUrls, body=part).parts[0]
        sent = Counter("upload", length, no_progress)
        body = _counted(source, start, length, counter, sent, stop)
        headers = {**place.headers, "Content-Length": str(length)}
        retry_after = None
        try:
            with connection.open("PUT", place.url, headers=headers, content=body, timeout=LONG_S):
                return
        except Answered as answer:
            # 403: the address expired while the part was on its way; a new one is asked for.
            if answer.response.status_code not in (*BUSY, 403) or attempt + 1 == TRIES:
                raise error_from(answer.response) from None
            retry_after = answer.response.headers.get("retry-after")
        except FarmUnreachable:
            if attempt + 1 == TRIES:
                raise
        counter.add(-sent.done)
        stop.wait(pause(attempt, retry_after, random.random()))  # noqa: S311 - jitter, not a secret


def _counted(
    source: Source, start: int, length: int, total: Counter, sent: Counter, stop: threading.Event
) -> Iterator[bytes]:
    for chunk in streamed(source, total, start, length):
        if stop.is_set():
            raise InterruptedError("the upload was stopped")
        yield chunk
        sent.add(len(chunk))

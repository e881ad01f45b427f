"""The worker's REST. What reports on a running build outlives an outage of the farm: it is sent until it is through."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from enginehouse.errors import FarmUnreachable, Fault, NotFound, Problem, from_failure
from enginehouse.views import BuildView, PartUrl
from enginehouse.work import (
    Claim,
    ClaimRequest,
    Complete,
    Fail,
    Heartbeat,
    HeartbeatReply,
    KeptUpdate,
    KeptView,
    LogBatch,
    PhaseUpdate,
    PublishReply,
    PublishRequest,
    SignedOn,
    SignOn,
)

Answer = TypeVar("Answer", bound=BaseModel)

_CHUNK = 1 << 20
_FIRST_WAIT_S = 0.1
_MOST_WAIT_S = 2.0
_AGAIN = frozenset({429, 500, 502, 503, 504})

OUTAGE_S = 60.0
"""How long a call about a running build is repeated."""


class FarmClient:
    """One connection pool to the farm, shared by the agent's threads."""

    def __init__(self, url: str, token: str) -> None:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._farm = httpx2.Client(base_url=url, headers=headers, timeout=httpx2.Timeout(10.0, read=60.0))
        self._closed = threading.Event()
        # Presigned addresses are another server's: it must not see the token.
        self._store = httpx2.Client(timeout=httpx2.Timeout(10.0, read=60.0))

    def close(self) -> None:
        """Close all connections; calls that are being repeated give up."""
        self._closed.set()
        self._farm.close()
        self._store.close()

    def sign_on(self, body: SignOn) -> SignedOn:
        """Announce the worker. One try."""
        return self._post("sign-on", body, SignedOn, patience_s=0)

    def heartbeat(self, body: Heartbeat) -> HeartbeatReply:
        """Renew the leases. One try, a short one: the next is due soon."""
        return self._post("heartbeat", body, HeartbeatReply, patience_s=0, timeout_s=5.0)

    def sign_off(self, worker: str, boot_id: str) -> None:
        """Leave. One try."""
        self._send("sign-off", {"worker": worker, "boot_id": boot_id}, patience_s=0, timeout_s=3.0)

    def claim(self, build: str, body: ClaimRequest, patience_s: float) -> Claim:
        """Take an attempt. Raises AttemptStale when it is no longer to be had."""
        return self._post(f"builds/{build}/claim", body, Claim, patience_s=patience_s)

    def phase(self, build: str, body: PhaseUpdate, request_id: str = "") -> None:
        """Tell the phase."""
        self._send(f"builds/{build}/phase", body, request_id=request_id)

    def log(self, build: str, body: LogBatch, request_id: str = "") -> None:
        """Send lines."""
        self._send(f"builds/{build}/log", body, request_id=request_id)

    def publish(self, build: str, body: PublishRequest, request_id: str = "") -> PublishReply:
        """Ask where the files go."""
        return self._post(f"builds/{build}/publish", body, PublishReply, request_id=request_id)

    def complete(self, build: str, body: Complete, request_id: str = "") -> BuildView:
        """Make the bundle the build's artifact. Repeating it is harmless."""
        return self._post(f"builds/{build}/complete", body, BuildView, request_id=request_id)

    def fail(self, build: str, body: Fail, request_id: str = "", patience_s: float = OUTAGE_S) -> BuildView:
        """End the attempt without an artifact. Repeating it is harmless."""
        return self._post(f"builds/{build}/fail", body, BuildView, request_id=request_id, patience_s=patience_s)

    def kept(self, key: str, patience_s: float) -> KeptView | None:
        """What the farm has of a toolchain's cache; None: nothing."""
        try:
            return self._read(self._persist(lambda: self._farm.get(f"/v1/work/caches/{key}"), patience_s), KeptView)
        except NotFound:
            return None

    def keep(self, key: str, update: KeptUpdate, content: bytes, patience_s: float) -> KeptView:
        """Give a toolchain's cache. Raises Conflict when another worker gave one meanwhile."""
        headers = {"Content-Type": "application/octet-stream"}
        send = lambda: self._farm.put(  # noqa: E731
            f"/v1/work/caches/{key}", params=update.model_dump(mode="json"), headers=headers, content=content
        )
        return self._read(self._persist(send, patience_s), KeptView)

    def download(self, url: str) -> Iterator[bytes]:
        """A file's bytes. ``url`` is absolute, or a path of the farm, which may redirect to its store. One try.

        Raises FarmUnreachable where one of them does not answer, cannot, or breaks off: the same may be asked again.
        """
        client = self._client(url)
        try:
            with client.stream("GET", url) as answer:
                if answer.is_redirect:
                    yield from self.download(answer.headers["location"])
                    return
                if answer.status_code in _AGAIN:
                    raise FarmUnreachable(f"an input is not to be had now: status {answer.status_code}")
                if not answer.is_success:
                    answer.read()
                    raise _error(answer)
                yield from answer.iter_bytes(_CHUNK)
        except httpx2.TransportError as error:
            raise FarmUnreachable(f"an input did not come: {error or type(error).__name__}") from error

    def put(self, part: PartUrl, path: Path, start: int, size: int) -> None:
        """Send one part of a file to its address."""

        def once() -> httpx2.Response:
            headers = {**part.headers, "Content-Length": str(size)}
            return self._client(part.url).put(part.url, content=_range(path, start, size), headers=headers)

        self._persist(once, OUTAGE_S)

    def _client(self, url: str) -> httpx2.Client:
        if url.startswith(("/", str(self._farm.base_url))):
            return self._farm
        return self._store

    def _post(self, path: str, body: BaseModel, answer: type[Answer], **options: Any) -> Answer:
        return self._read(self._send(path, body, **options), answer)

    @staticmethod
    def _read(response: httpx2.Response, answer: type[Answer]) -> Answer:
        try:
            return answer.model_validate_json(response.content)
        except ValidationError as error:
            path = response.request.url.path
            raise FarmUnreachable(f"the answer to {path} is none of a farm's ({error.error_count()} errors)") from error

    def _send(
        self,
        path: str,
        body: BaseModel | dict[str, str],
        *,
        request_id: str = "",
        patience_s: float = OUTAGE_S,
        timeout_s: float | None = None,
    ) -> httpx2.Response:
        headers = {"X-Request-Id": request_id} if request_id else {}
        content: dict[str, Any]
        if isinstance(body, BaseModel):
            headers["Content-Type"] = "application/json"
            content = {"content": body.model_dump_json()}
        else:
            content = {"json": body}
        if timeout_s is not None:
            content["timeout"] = timeout_s
        return self._persist(lambda: self._farm.post(f"/v1/work/{path}", headers=headers, **content), patience_s)

    def _persist(self, call: Callable[[], httpx2.Response], patience_s: float) -> httpx2.Response:
        """Repeat a call while the farm does not answer, or answers that it cannot, for as long as patience lasts."""
        until = time.monotonic() + patience_s
        wait = _FIRST_WAIT_S
        while True:
            try:
                response = call()
            except (httpx2.TransportError, RuntimeError) as error:
                if isinstance(error, RuntimeError) and not self._closed.is_set():
                    raise
                failure = FarmUnreachable(f"no answer: {error or type(error).__name__}")
                failure.__cause__ = error
            else:
                if response.is_success:
                    return response
                if response.status_code not in _AGAIN:
                    raise _error(response)
                failure = FarmUnreachable(f"the farm answers {response.status_code}")
            if time.monotonic() + wait > until or self._closed.wait(wait):
                raise failure
            wait = min(wait * 2, _MOST_WAIT_S)


def _error(response: httpx2.Response) -> Exception:
    try:
        return from_failure(Problem.model_validate_json(response.content))
    except ValidationError:
        status = response.status_code
        problem = Problem(title="", status=status, detail=f"status {status}", code="farm.internal", fault=Fault.FARM)
        return from_failure(problem)


def _range(path: Path, start: int, size: int) -> Iterator[bytes]:
    with path.open("rb") as file:
        file.seek(start)
        while size:
            data = file.read(min(_CHUNK, size))
            if not data:
                return
            size -= len(data)
            yield data

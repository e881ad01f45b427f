"""HTTP to the farm: the token, retries with backoff, problem documents turned into exceptions."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import httpx2
from pydantic import BaseModel, ValidationError

from enginehouse import __version__
from enginehouse.errors import (
    BadRequest,
    Conflict,
    EnginehouseError,
    FarmUnreachable,
    Forbidden,
    InternalError,
    MethodNotAllowed,
    NotFound,
    NotReady,
    Problem,
    RangeNotSatisfiable,
    RequestError,
    TooLarge,
    Unauthenticated,
    codes,
    from_failure,
)
from enginehouse.settings import ClientSettings, origin_of

Model = TypeVar("Model", bound=BaseModel)
Body = Callable[[], Iterator[bytes]]
"""Makes the body anew for every try."""

TRIES = 5
BUSY = frozenset({429, 500, 502, 503, 504})
_BY_STATUS: dict[int, type[EnginehouseError]] = {
    400: BadRequest,
    401: Unauthenticated,
    403: Forbidden,
    404: NotFound,
    405: MethodNotAllowed,
    409: Conflict,
    413: TooLarge,
    416: RangeNotSatisfiable,
    429: NotReady,
    502: NotReady,
    503: NotReady,
    504: NotReady,
}


def pause(attempt: int, retry_after: str | None = None, share: float = 1.0) -> float:
    """Seconds to wait after the failed try ``attempt`` (from 0): 0.2 s doubling to 5 s, ``share`` of it as jitter.

    A server's Retry-After in seconds is obeyed up to 60 s.
    """
    if retry_after and retry_after.strip().isdigit():
        return min(float(retry_after), 60.0)
    return float(min(0.2 * 2**attempt, 5.0)) * (0.5 + share / 2)


def error_from(response: httpx2.Response) -> EnginehouseError:
    """The exception that an error answer stands for; its body must have been read."""
    if response.headers.get("content-type", "").startswith("application/problem+json"):
        try:
            problem = Problem.model_validate_json(response.content)
        except ValidationError:
            problem = None
        if problem is not None:
            if problem.request_id:
                problem.where.setdefault("request_id", problem.request_id)
            if problem.code not in codes():  # a newer farm's
                return _by_status(problem.status)(problem.detail, advice=problem.advice or None, code=problem.code)
            return from_failure(problem)
    text = " ".join(response.text.split())[:200]
    place = f"{response.request.method} {response.request.url.copy_with(query=None)}"
    return _by_status(response.status_code)(f"{place} answered {response.status_code}" + (f": {text}" if text else ""))


def _by_status(status: int) -> type[EnginehouseError]:
    found = _BY_STATUS.get(status)
    if found is None:
        found = RequestError if 300 <= status < 500 else InternalError
    return found


class Connection:
    """Requests to one farm, and to the stores that it points at.

    Two HTTP clients: the farm's carries the token, the other one (made when it is first needed) never does.
    """

    def __init__(self, settings: ClientSettings, timeout: float = 30.0) -> None:
        self.settings = settings
        self.timeout = timeout
        local = settings.origin[1] in ("127.0.0.1", "localhost", "::1")
        headers = {"User-Agent": f"enginehouse/{__version__}", "Accept-Encoding": "identity"}
        if settings.token:
            headers["Authorization"] = f"Bearer {settings.token}"
        # No TLS context for an address without TLS (making one costs 50 ms), no proxy on the way to loopback.
        self._farm = httpx2.Client(
            headers=headers,
            timeout=httpx2.Timeout(timeout, connect=10.0),
            verify=settings.origin[0] == "https",
            trust_env=not local,
        )
        self._outside: httpx2.Client | None = None
        self.met = False

    def close(self) -> None:
        """Close all connections."""
        self._farm.close()
        if self._outside is not None:
            self._outside.close()

    def absolute(self, url: str) -> str:
        """A path of the farm as an address; an address stays."""
        if url.startswith(("http://", "https://")):
            return url
        return self.settings.url + "/" + url.lstrip("/")

    def is_farm(self, url: str) -> bool:
        """Whether the address is the farm itself, who alone may see the token."""
        return origin_of(url) == self.settings.origin

    def _client(self, url: str) -> httpx2.Client:
        if self.is_farm(url):
            return self._farm
        if self._outside is None:
            self._outside = httpx2.Client(
                headers={"User-Agent": f"enginehouse/{__version__}", "Accept-Encoding": "identity"},
                timeout=httpx2.Timeout(self.timeout, connect=10.0),
            )
        return self._outside

    @contextmanager
    def open(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        content: bytes | Iterator[bytes] | None = None,
        timeout: float | None = None,
        redirects: int = 0,
    ) -> Iterator[httpx2.Response]:
        """One try: the answer with its body unread. Raises what the answer, or its absence, stands for.

        ``redirects`` may be followed; each hop decides anew whether the token goes along.
        """
        address = self.absolute(url)
        query = {key: value for key, value in (params or {}).items() if value is not None}
        request = self._client(address).build_request(
            method,
            address,
            params=query or None,
            headers=dict(headers or {}),
            content=content,
            timeout=httpx2.Timeout(timeout, connect=10.0) if timeout else httpx2.USE_CLIENT_DEFAULT,
        )
        try:
            response = self._client(address).send(request, stream=True)
        except httpx2.TransportError as error:
            raise self._unreachable(address, error) from error
        self.met = True
        try:
            if response.has_redirect_location and redirects > 0:
                onward = str(response.url.join(response.headers["location"]))
                response.close()
                with self.open(method, onward, headers=headers, timeout=timeout, redirects=redirects - 1) as final:
                    yield final
                return
            if response.status_code >= 300:
                try:
                    response.read()
                except httpx2.TransportError as error:
                    raise self._unreachable(address, error) from error
                raise Answered(response)
            yield response
        finally:
            response.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        body: BaseModel | bytes | Body | None = None,
        timeout: float | None = None,
        tries: int = TRIES,
    ) -> httpx2.Response:
        """The answer, read whole. Tries again after lost connections and busy answers.

        Every caller's request may be repeated: it reads, is named by content, or carries an idempotency key.
        A farm that never answered is reported at once: retrying a wrong address only delays the message.
        """
        sent = dict(headers or {})
        if isinstance(body, BaseModel):
            sent["Content-Type"] = "application/json"
        for attempt in range(max(tries, 1)):
            content = _content(body)
            try:
                with self.open(method, url, params=params, headers=sent, content=content, timeout=timeout) as response:
                    try:
                        response.read()
                    except httpx2.TransportError as error:
                        raise self._unreachable(self.absolute(url), error) from error
                    return response
            except Answered as answer:
                retry_after = answer.response.headers.get("retry-after")
                status = answer.response.status_code
                # A 429 that names no time is a quota: it would only be refused again.
                busy = status in BUSY and (status != 429 or retry_after is not None)
                if not busy or attempt + 1 >= tries:
                    raise error_from(answer.response) from None
            except FarmUnreachable:
                if not self.met or attempt + 1 >= tries:
                    raise
                retry_after = None
            time.sleep(pause(attempt, retry_after, random.random()))  # noqa: S311 - jitter, not a secret
        raise AssertionError("unreachable")

    def get(self, url: str, model: type[Model], **kwargs: Any) -> Model:
        """GET a model."""
        return parsed(self.send("GET", url, **kwargs), model)

    def post(self, url: str, model: type[Model], **kwargs: Any) -> Model:
        """POST, and read a model from the answer."""
        return parsed(self.send("POST", url, **kwargs), model)

    def _unreachable(self, url: str, error: httpx2.TransportError) -> FarmUnreachable:
        scheme, host, port = origin_of(url)
        what = "the farm" if self.is_farm(url) else "the farm's store"
        said = re.sub(r"^\[Errno -?\d+\] ", "", str(error)) or type(error).__name__
        if isinstance(error, httpx2.TimeoutException):
            said = "no answer in time"
        return FarmUnreachable(f"{what} at {scheme}://{host}:{port} cannot be reached: {said}")


class Answered(EnginehouseError):
    """An error answer, raised by ``Connection.open`` before it is decided whether to try again.

    Callers turn it into the real error with ``error_from(answer.response)``.
    """

    def __init__(self, response: httpx2.Response) -> None:
        super().__init__(f"HTTP {response.status_code}")
        self.response = response


def parsed(response: httpx2.Response, model: type[Model]) -> Model:
    """The answer as a model. An answer of another shape comes from no farm, or from one of another version."""
    try:
        return model.model_validate_json(response.content)
    except ValidationError as error:
        place = response.request.url.copy_with(query=None)
        raise InternalError(
            f"the answer of {place} is not what this client knows as {model.__name__}: "
            f"{error.error_count()} fields differ",
            advice="Check the address with 'enginehouse doctor', and that client and farm are of one version.",
        ) from None


def _content(body: BaseModel | bytes | Body | None) -> bytes | Iterator[bytes] | None:
    if isinstance(body, BaseModel):
        return body.model_dump_json().encode()
    return body() if callable(body) else body

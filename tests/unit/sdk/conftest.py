"""A small farm over real HTTP: uploads, artifacts, jobs and events, with faults to order. No farm code in it."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from enginehouse.connection import Connection
from enginehouse.settings import ClientSettings, client_settings

NOW = "2026-11-21T00:00:00Z"
Handler = Callable[["Request"], None]


class Request(BaseHTTPRequestHandler):
    """One request; the answers are written by the farm's routes."""

    protocol_version = "HTTP/1.1"
    server: Any

    def log_message(self, *args: object) -> None:
        pass

    def handle_any(self) -> None:
        parts = urlsplit(self.path)
        self.query = dict(parse_qsl(parts.query))
        farm: SmallFarm = self.server.farm
        with farm.lock:
            farm.seen.append((self.command, parts.path, dict(self.headers)))
            fault = farm.faults.pop(0) if farm.faults and farm.faults[0][0] in f"{self.command} {parts.path}" else None
        if fault is not None:
            fault[1](self)
            return
        for method, pattern, handler in farm.routes:
            match = re.fullmatch(pattern, parts.path)
            if method == self.command and match:
                self.match = match
                handler(self)
                return
        self.problem(404, "request.not_found", f"nothing at {parts.path}")

    do_GET = do_PUT = do_POST = do_DELETE = do_HEAD = handle_any  # noqa: N815

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(
        self, status: int, value: object, headers: dict[str, str] | None = None, kind: str = "application/json"
    ) -> None:
        content = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        for name, text in {"Content-Type": kind, "Content-Length": str(len(content)), **(headers or {})}.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(content)

    def problem(self, status: int, code: str, detail: str, headers: dict[str, str] | None = None, **more: Any) -> None:
        self.body()
        value = {
            "title": "t",
            "status": status,
            "detail": detail,
            "code": code,
            "fault": "request",
            "advice": "Do.",
            **more,
        }
        self.answer(status, value, headers, "application/problem+json")

    def cut(self) -> None:
        """Close the connection without an answer."""
        self.close_connection = True
        self.connection.close()


class SmallFarm:
    """State, routes, and the list of what was asked."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.faults: list[tuple[str, Handler]] = []
        self.routes: list[tuple[str, str, Handler]] = []
        self.uploads: dict[str, dict[str, Any]] = {}
        self.stored: dict[str, bytes] = {}
        self.part_size = 64 * 1024
        self.part_base = ""
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self.server.daemon_threads = True
        self.server.handle_error = lambda *args: None  # type: ignore[method-assign] # clients that go away
        self.server.farm = self  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()
        self.route("POST", "/v1/uploads", self.open_upload)
        self.route("GET", "/v1/uploads/([^/]+)", lambda r: r.answer(200, self.view(r.match[1])))
        self.route("POST", "/v1/uploads/([^/]+)/parts", self.part_urls)
        self.route("PUT", r"/v1/uploads/([^/]+)/parts/(\d+)", self.put_part)
        self.route("POST", "/v1/uploads/([^/]+)/complete", self.complete)

    def route(self, method: str, pattern: str, handler: Handler) -> None:
        self.routes.append((method, pattern, handler))

    def calls(self, text: str) -> list[tuple[str, str, dict[str, str]]]:
        return [call for call in self.seen if text in f"{call[0]} {call[1]}"]

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def view(self, key: str) -> dict[str, Any]:
        upload = self.uploads[key]
        parts = [
            {"number": n, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
            for n, data in sorted(upload["parts"].items())
        ]
        return {
            "id": key, "sha256": key, "size": upload["size"], "state": "complete" if key in self.stored else "open",
            "part_size": self.part_size, "parts": parts, "expires": NOW,
        }  # fmt: skip

    def open_upload(self, request: Request) -> None:
        asked = json.loads(request.body())
        self.uploads.setdefault(asked["sha256"], {"size": asked["size"], "parts": {}})
        request.answer(201, self.view(asked["sha256"]))

    def part_urls(self, request: Request) -> None:
        number = json.loads(request.body())["parts"][0]["number"]
        url = f"{self.part_base}/v1/uploads/{request.match[1]}/parts/{number}?signature=abc"
        request.answer(200, {"parts": [{"number": number, "url": url, "headers": {"X-Signed": "yes"}}]})

    def put_part(self, request: Request) -> None:
        data = request.body()
        if len(data) < int(request.headers["Content-Length"]):
            return  # cut off: no part
        self.uploads[request.match[1]]["parts"][int(request.match[2])] = data
        request.answer(200, {})

    def complete(self, request: Request) -> None:
        upload = self.uploads[request.match[1]]
        data = b"".join(upload["parts"][n] for n in sorted(upload["parts"]))
        if len(data) != upload["size"]:
            request.problem(409, "upload.incomplete", "parts are missing")
            return
        if hashlib.sha256(data).hexdigest() != request.match[1]:
            request.problem(422, "upload.sha256_mismatch", "other bytes")
            return
        self.stored[request.match[1]] = data
        request.answer(200, self.view(request.match[1]))

    def serve_bundle(self, manifest: bytes, files: dict[str, bytes]) -> str:
        """Routes of an artifact; returns its id."""
        artifact = hashlib.sha256(manifest).hexdigest()
        contents = {"manifest.json": manifest, **files}

        def file(request: Request) -> None:
            data = contents.get(request.match[1])
            if data is None:
                request.problem(404, "request.not_found", "no such file")
                return
            given = request.headers.get("Range")
            if given:
                start = int(given.removeprefix("bytes=").rstrip("-"))
                request.answer(206, data[start:], {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})
            else:
                request.answer(200, data)

        self.route("GET", f"/v1/artifacts/{artifact}/files/(.+)", file)
        return artifact


@pytest.fixture
def small_farm() -> Iterator[SmallFarm]:
    farm = SmallFarm()
    yield farm
    farm.stop()


@pytest.fixture
def other_host() -> Iterator[SmallFarm]:
    """Another origin: the store that a farm points at."""
    farm = SmallFarm()
    yield farm
    farm.stop()


@pytest.fixture
def settings(small_farm: SmallFarm) -> ClientSettings:
    return client_settings(small_farm.url, "eh_secret", environ={"ENGINEHOUSE_HOME": "/nonexistent"})


@pytest.fixture
def connection(settings: ClientSettings) -> Iterator[Connection]:
    made = Connection(settings, timeout=5)
    yield made
    made.close()


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Back off for milliseconds; the true durations are tested as a pure function."""
    for module in ("connection", "transfer", "download", "watch"):
        monkeypatch.setattr(f"enginehouse.{module}.pause", lambda attempt, retry_after=None, share=1.0: 0.005)

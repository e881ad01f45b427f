"""The worker's half of a farm as a small real HTTP server that remembers what it was told."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from contract.backends_models import signature

from enginehouse.request import Limits, Recipe
from enginehouse.targets import parse_target
from enginehouse.work import Claim, InputFile


class SmallFarm:
    """One build, whose claim names the model at ``path``."""

    def __init__(self, path: Path, target: str = "openvino:fp32", port: int = 0, **recipe: Any) -> None:
        self.model = path.read_bytes()
        sha256 = hashlib.sha256(self.model).hexdigest()
        self.claim = Claim(
            build="build_1",
            job="job_1",
            attempt=1,
            fence=7,
            recipe=Recipe(model=sha256, target=parse_target(target), **recipe),
            signature=signature(path),
            model_files=[InputFile(path="model.onnx", sha256=sha256, size=len(self.model), url="/files/model")],
            limits=Limits(),
            request_id="request-1",
        )
        self.calls: list[tuple[str, Any]] = []
        self.puts: dict[str, bytes] = {}
        self.heartbeat: dict[str, Any] = {"known": True}
        self.down_until = 0.0
        self.tokens: set[str | None] = set()
        self.stale = False
        self.heartbeat_s = 0.1
        self.puts_wait_for: threading.Event | None = None
        self.broken_gets = 0
        """answers about the input that break off"""
        self.changed = threading.Condition()
        farm = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                if farm.broken_gets:
                    farm.broken_gets -= 1
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(farm.model)))
                    self.end_headers()
                    self.wfile.write(farm.model[:10])
                    self.close_connection = True
                    return
                self._answer(200, farm.model)

            def do_PUT(self) -> None:
                body = self._body()
                with farm.changed:
                    farm.puts[self.path] = body
                    farm.changed.notify_all()
                if farm.puts_wait_for is not None:
                    farm.puts_wait_for.wait(30)
                self._answer(200, b"{}")

            def do_POST(self) -> None:
                farm.tokens.add(self.headers.get("Authorization"))
                body = self._body()
                if time.monotonic() < farm.down_until:
                    self._answer(503, b"starting")
                    return
                status, answer = farm.answer(self.path.removeprefix("/v1/work/"), json.loads(body))
                self._answer(status, answer)

            def _body(self) -> bytes:
                return self.rfile.read(int(self.headers.get("Content-Length", 0)))

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def answer(self, path: str, body: Any) -> tuple[int, bytes]:
        with self.changed:
            self.calls.append((path.rpartition("/")[2], body))
            self.changed.notify_all()
        match path.rpartition("/")[2]:
            case "sign-on":
                answer = {"worker": "w1", "pool": "p", "queue": "pool.p", "own_queue": "worker.w1", "lease_s": 20}
                answer["heartbeat_s"] = self.heartbeat_s
            case "heartbeat":
                answer = self.heartbeat
            case "claim" if not self.stale:
                return 200, self.claim.model_dump_json().encode()
            case "claim":
                problem = {"title": "", "status": 409, "detail": "gone", "code": "farm.attempt_stale", "fault": "farm"}
                return 409, json.dumps(problem).encode()
            case "publish":
                answer = {"slots": [self._slot(index, file) for index, file in enumerate(body["files"])]}
            case "complete" | "fail":
                return 200, _build_view(self.claim)
            case _:
                return 204, b""
        return 200, json.dumps(answer).encode()

    def told(self, what: str) -> list[Any]:
        with self.changed:
            return [body for name, body in self.calls if name == what]

    def wait_for(self, found: Callable[[], Any], seconds: float = 20) -> Any:
        with self.changed:
            assert self.changed.wait_for(found, seconds), self.calls
        return found()

    def _slot(self, index: int, file: Any) -> Any:
        if file["size"] < 10:
            return {"sha256": file["sha256"], "have": True}
        parts = [{"number": n + 1, "url": f"/put/{index}/{n}", "headers": {}} for n in range(len(file["parts"]))]
        return {"sha256": file["sha256"], "have": False, "upload": f"up{index}", "parts": parts}


def _build_view(claim: Claim) -> bytes:
    view = {
        "id": claim.build, "job": claim.job, "model": claim.recipe.model, "target": claim.recipe.target.model_dump(),
        "state": "succeeded", "phase": None, "reason": "", "origin": None, "artifact": None, "failure": None,
        "attempts": [], "pool": None, "created": "2026-01-01T00:00:00Z", "started": None, "ended": None,
    }  # fmt: skip
    return json.dumps(view).encode()

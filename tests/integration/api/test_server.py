"""``python -m api`` under gunicorn on a loopback port: what only a socket can show."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx2
import psutil
import pytest
from integration.api.support import ADMIN, MIB, Served, is_problem, sha, tiny_model
from services.process import wait_until

_OCTETS = {"Content-Type": "application/octet-stream"}


def stored(served: Served) -> list[Path]:
    """Files of the store that hold bytes."""
    return [path for path in (served.settings.data_dir / "store").rglob("*") if path.is_file()]


def processes(served: Served) -> list[psutil.Process]:
    parent = psutil.Process(served.pid)
    return [parent, *parent.children(recursive=True)]


def workers(served: Served) -> list[psutil.Process]:
    """gunicorn's workers, without what they start for inspection."""
    return psutil.Process(served.pid).children()


def pieces(count: int, size: int = MIB) -> Iterator[bytes]:
    block = os.urandom(size)
    for number in range(count):
        yield number.to_bytes(8, "little") + block[8:]


def digest_of(count: int) -> tuple[list[bytes], str]:
    made = list(pieces(count))
    digest = hashlib.sha256()
    for piece in made:
        digest.update(piece)
    return made, digest.hexdigest()


class Watch:
    """The largest memory of the server's processes while the block runs, over what it was before (bytes)."""

    def __init__(self, served: Served) -> None:
        self._watched = processes(served)
        self._done = threading.Event()
        self.before = self.peak = self._now()
        self._thread = threading.Thread(target=self._run)

    def _now(self) -> int:
        return sum(process.memory_info().rss for process in self._watched)

    def _run(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, self._now())

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    @property
    def over(self) -> int:
        return self.peak - self.before


@pytest.fixture
def server(serve: Callable[..., Served]) -> Served:
    return serve()


def upload_in_parts(served: Served, client: httpx2.Client, made: list[bytes], digest: str) -> None:
    """The way of a large file: parts to signed addresses, then complete."""
    size = sum(map(len, made))
    opened = client.post("/v1/uploads", json={"sha256": digest, "size": size}).json()
    each = opened["part_size"] // MIB
    groups = [made[start : start + each] for start in range(0, len(made), each)]
    parts = [{"number": n, "sha256": sha(b"".join(group))} for n, group in enumerate(groups, start=1)]
    urls = client.post(f"/v1/uploads/{opened['id']}/parts", json={"parts": parts}).json()["parts"]
    with served.client(token=None) as stranger:
        for part, group in zip(urls, groups, strict=True):
            assert stranger.put(part["url"], content=iter(group)).status_code == 200
    done = client.post(f"/v1/uploads/{opened['id']}/complete")
    assert done.json()["state"] == "complete", done.text


def test_memory_stays_flat_while_large_bodies_pass(server: Served) -> None:
    count = 256
    made, digest = digest_of(count)
    with server.client() as client:
        client.get("/v1/jobs")
        with Watch(server) as watch:
            # In parts, and as one stream (refused only after it was stored and inspected: it is no model).
            upload_in_parts(server, client, made, digest)
            answer = client.post("/v1/models", content=iter(made), headers=_OCTETS)
            assert is_problem(answer, 422)["code"].startswith("model.")
        assert watch.over < 100 * MIB, f"{watch.over / MIB:.0f} MiB over idle"


def test_a_download_is_the_upload_whole_and_in_ranges(server: Served) -> None:
    data = tiny_model()
    with server.client() as client:
        made = client.post("/v1/models?name=m", content=data, headers=_OCTETS).json()
        path = f"/v1/models/{made['id']}/files/{made['files'][0]['path']}"
        assert client.get(path).content == data
        part = client.get(path, headers={"Range": "bytes=3-9"})
        assert (part.status_code, part.content) == (206, data[3:10])
        assert client.head(path).headers["Content-Length"] == str(len(data))
        is_problem(client.get(path, headers={"Range": "bytes=99999-"}), 416)


def raw(served: Served) -> socket.socket:
    host, port = served.url.removeprefix("http://").split(":")
    return socket.create_connection((host, int(port)), timeout=20)


def head(path: str, *lines: str) -> bytes:
    given = [f"POST {path} HTTP/1.1", "Host: localhost", f"Authorization: Bearer {ADMIN}", "Connection: close", *lines]
    return ("\r\n".join([*given, "Content-Type: application/octet-stream"]) + "\r\n\r\n").encode()


def answer_of(connection: socket.socket) -> bytes:
    got = b""
    while piece := connection.recv(65536):
        got += piece
    return got


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_a_client_that_stops_half_way_leaves_nothing(server: Served, framing: str) -> None:
    with raw(server) as connection:
        body = b"x" * 5000 if "Length" in framing else b"1388\r\n" + b"x" * 5000 + b"\r\n"
        connection.sendall(head("/v1/models?name=half", framing) + body)
        connection.shutdown(socket.SHUT_WR)  # it listens still, so it can be told
        got = answer_of(connection)
    assert got.startswith(b"HTTP/1.1 400 ")
    assert b"application/problem+json" in got
    assert b"cut off after" in got
    assert stored(server) == []
    with server.client() as client:
        assert client.get("/v1/models").json()["items"] == []


def test_a_client_that_vanishes_leaves_nothing(server: Served) -> None:
    with raw(server) as connection:
        connection.sendall(head("/v1/models", "Content-Length: 10000000") + b"x" * 3_000_000)
        time.sleep(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")  # RST
    until = time.monotonic() + 10
    while stored(server) and time.monotonic() < until:
        time.sleep(0.05)
    assert stored(server) == []
    with server.client() as client:
        assert client.get("/v1/jobs").status_code == 200


@pytest.mark.parametrize("declared", [True, False])
def test_too_many_bytes_are_refused_with_an_answer_that_arrives(serve: Callable[..., Served], declared: bool) -> None:
    server = serve(ENGINEHOUSE_MAX_UPLOAD_BYTES=str(4 * MIB))
    headers = _OCTETS | ({"Content-Length": str(24 * MIB)} if declared else {})
    with server.client() as client:
        answer = client.post("/v1/models", content=pieces(24), headers=headers)
        problem = is_problem(answer, 413, "request.too_large")
        assert problem["where"]["limit"] == 4 * MIB
        assert stored(server) == []
        assert client.get("/v1/jobs").status_code == 200


def test_an_unauthenticated_upload_is_refused_with_an_answer_that_arrives(server: Served) -> None:
    with server.client(token="wrong") as client:
        is_problem(client.post("/v1/models", content=pieces(16), headers=_OCTETS), 401)


def test_a_stalled_upload_gives_its_thread_back(serve: Callable[..., Served]) -> None:
    server = serve(ENGINEHOUSE_API_STALL_S="0.5", ENGINEHOUSE_API_THREADS="2")
    with raw(server) as first, raw(server) as second:
        for connection in (first, second):
            connection.sendall(head("/v1/models", "Content-Length: 1000") + b"x")
        with server.client() as client:
            assert client.get("/v1/jobs").status_code == 200
        for connection in (first, second):
            assert answer_of(connection).startswith(b"HTTP/1.1 400 ")
    assert stored(server) == []


def test_events_arrive_while_the_stream_is_open(server: Served) -> None:
    with server.client() as client, server.client() as writer, client.stream("GET", "/v1/events?after=0") as stream:
        assert stream.headers["Content-Type"].startswith("text/event-stream")
        lines = stream.iter_lines()
        assert next(lines) == "retry: 1000"
        writer.post("/v1/models?name=m", content=tiny_model(), headers=_OCTETS)
        assert next(line for line in lines if line.startswith("event: ")) == "event: model.created"


def test_a_stream_whose_listener_hung_up_gives_its_place_back(serve: Callable[..., Served]) -> None:
    server = serve(ENGINEHOUSE_API_STREAMS="1")
    with server.client() as client:
        for _ in range(4):  # a place is taken, given up by hanging up, and taken again
            wait_until(lambda: _takes_a_stream(client), 8, "the place of the stream before")


def _takes_a_stream(client: httpx2.Client) -> bool:
    with client.stream("GET", "/v1/events") as stream:
        return stream.status_code == 200


def test_open_streams_leave_room_for_others_and_for_the_end(serve: Callable[..., Served]) -> None:
    server = serve(ENGINEHOUSE_API_THREADS="4", ENGINEHOUSE_API_STREAMS="2")
    clients = [server.client() for _ in range(3)]
    streams = [client.stream("GET", "/v1/events") for client in clients[:2]]
    for stream in streams:
        stream.__enter__()
    is_problem(clients[2].get("/v1/events"), 503)
    assert clients[2].get("/v1/jobs").status_code == 200
    os.kill(server.pid, signal.SIGTERM)
    psutil.Process(server.pid).wait(60)  # the streams do not hold the process
    for stream in streams:
        stream.__exit__(None, None, None)
    for client in clients:
        client.close()


def test_a_running_upload_is_finished_at_shutdown(server: Served) -> None:
    data = tiny_model()
    with raw(server) as connection:
        connection.sendall(head("/v1/models?name=late", f"Content-Length: {len(data)}") + data[:10])
        time.sleep(0.3)
        os.kill(server.pid, signal.SIGTERM)
        time.sleep(0.3)
        connection.sendall(data[10:])
        assert answer_of(connection).startswith(b"HTTP/1.1 201 ")


def test_the_log_is_json_without_tokens(server: Served) -> None:
    with server.client() as client:
        client.get("/v1/jobs?limit=2", headers={"X-Request-Id": "find-me"})
    lines = [json.loads(line) for line in server.log.read_text().splitlines() if line.startswith("{")]
    found = [line for line in lines if line.get("request_id") == "find-me"]
    assert found
    assert found[0]["route"] == "/v1/jobs"
    assert ADMIN not in server.log.read_text()


def test_the_pages_of_a_browser_without_a_token_on_an_open_loopback(serve: Callable[..., Served]) -> None:
    server = serve(ENGINEHOUSE_OPEN_LOOPBACK="true")
    with server.client(token=None) as client:
        assert client.get("/jobs").status_code == 200
        refused = client.get("/jobs", headers={"Host": "rebound.example"})
        assert refused.status_code in {303, 401}
        is_problem(client.get("/v1/jobs", headers={"Host": "rebound.example"}), 401)

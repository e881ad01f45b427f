"""Server-sent events and the one tailer behind them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import ADMIN, is_problem, push, tiny_model, with_token

from api.app import create_app, door
from api.problems import Busy
from api.settings import ServeSettings
from api.tailer import Tailer
from api.v1 import events
from enginehouse.views import Event
from scheduler.farm import Farm


def frames(stream: Iterator[bytes]) -> Iterator[dict[str, str]]:
    """The stream's frames: field to value."""
    text = ""
    for piece in stream:
        text += piece.decode()
        while "\n\n" in text:
            frame, text = text.split("\n\n", 1)
            yield dict(
                line.split(": ", 1) if not line.startswith(":") else ("", line[2:]) for line in frame.split("\n")
            )


@pytest.fixture
def quick(farm: Farm) -> Iterator[Flask]:
    """Streams that end after a moment, and no more than two of them."""
    made = create_app(farm.settings, farm, ServeSettings(api_stream_s=1.5, api_streams=2))
    yield made
    door(made).tailer.close()


def test_given_a_cursor_i_expect_what_came_after_it_and_what_comes(quick: Flask) -> None:
    client = with_token(quick, ADMIN)
    model = push(client, tiny_model())["id"]
    answer = client.get("/v1/events?after=0", buffered=False)
    assert answer.headers["Content-Type"] == "text/event-stream; charset=utf-8"
    stream = frames(answer.response)
    assert next(stream) == {"retry": "1000"}
    first = next(stream)
    assert first["event"] == "model.created"
    assert Event.model_validate_json(first["data"]).id == int(first["id"])
    job = with_token(quick, ADMIN).post("/v1/jobs", json={"model": model, "targets": ["openvino:fp32"]}).json
    live = next(frame for frame in stream if "data" in frame)
    assert Event.model_validate_json(live["data"]).job == job["id"]
    seen = int(live["id"])
    assert all(int(frame["id"]) > seen for frame in stream if "id" in frame)  # and it ends by itself
    answer.close()
    resumed = client.get("/v1/events?after=0", headers={"Last-Event-ID": first["id"]}, buffered=False)
    stream = frames(resumed.response)
    next(stream)
    assert int(next(stream)["id"]) > int(first["id"])
    resumed.close()


def test_given_a_job_i_expect_its_events_alone(quick: Flask) -> None:
    client = with_token(quick, ADMIN)
    model = push(client, tiny_model())["id"]
    jobs = [client.post("/v1/jobs", json={"model": model, "targets": ["openvino:fp32"]}).json["id"] for _ in range(2)]
    for job in jobs:
        client.post(f"/v1/jobs/{job}/cancel")
    answer = client.get(f"/v1/events?after=0&job={jobs[0]}", buffered=False)
    found = {Event.model_validate_json(frame["data"]).job for frame in frames(answer.response) if "data" in frame}
    answer.close()
    assert found == {jobs[0]}
    is_problem(client.get("/v1/events?job=nothing"), 404)


def test_given_no_room_i_expect_503_and_room_again(quick: Flask) -> None:
    client = with_token(quick, ADMIN)
    held = [client.get("/v1/events", buffered=False) for _ in range(2)]
    refused = client.get("/v1/events")
    is_problem(refused, 503, "farm.not_ready")
    assert int(refused.headers["Retry-After"]) > 0
    held[0].close()  # without one byte read
    again = client.get("/v1/events", buffered=False)
    assert again.status_code == 200
    again.close()
    held[1].close()
    assert door(quick).tailer.listeners == 0


def test_given_silence_i_expect_pings(quick: Flask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "PING_S", 0.2)
    answer = with_token(quick, ADMIN).get("/v1/events", buffered=False)
    found = [frame for frame in frames(answer.response) if "" in frame]
    answer.close()
    assert len(found) >= 3
    assert found[0] == {"": "ping"}


def test_given_a_bad_cursor_i_expect_422(admin: FlaskClient) -> None:
    is_problem(admin.get("/v1/events?after=-1"), 422)
    is_problem(admin.get("/v1/events", headers={"Last-Event-ID": "x"}), 422)


class TestTailer:
    def test_it_looks_only_while_somebody_listens(self) -> None:
        looks: list[int] = []

        def newest() -> int:
            looks.append(1)
            return len(looks)

        tailer = Tailer(newest, interval_s=0.01)
        time.sleep(0.05)
        assert looks == []
        with tailer.listening():
            assert tailer.wait(0, 2) > 0
        time.sleep(0.1)
        after = len(looks)
        time.sleep(0.1)
        assert len(looks) == after
        with tailer.listening():
            assert tailer.wait(after, 2) != after

    def test_a_nudge_is_faster_than_the_interval(self) -> None:
        value = [1]
        tailer = Tailer(lambda: value[0], interval_s=3600)
        with tailer.listening():
            assert tailer.wait(0, 2) == 1
            value[0] = 2
            tailer.nudge()
            assert tailer.wait(1, 60) == 2

    def test_a_failing_registry_only_delays(self) -> None:
        answers: list[Callable[[], int]] = [lambda: 1 // 0, lambda: 7]
        tailer = Tailer(lambda: answers.pop(0)() if len(answers) > 1 else 7, interval_s=0.01)
        with tailer.listening():
            assert tailer.wait(0, 10) == 7

    def test_stop_ends_waiting_and_lets_nobody_in(self) -> None:
        tailer = Tailer(lambda: 0, interval_s=0.01)
        with tailer.listening():
            timer = threading.Timer(0.1, tailer.stop)
            timer.start()
            tailer.wait(0, 3600)
            timer.join()
        with pytest.raises(Busy):
            tailer.enter()

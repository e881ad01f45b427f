"""How often somebody may try: for all processes together, by each alone while Redis is away, and by whom."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from integration.api.people_support import PASSWORD, browser, enter, window
from integration.api.support import ADMIN, NO_BROKER, is_problem, push, tiny_model, with_token
from services.redis import RedisServer

from api import limits as api_limits
from api.app import create_app, door
from api.limits import Limits
from api.settings import ServeSettings
from enginehouse.errors import TooManyRequests
from scheduler.farm import Farm


@pytest.fixture
def make(lite: Callable[..., Farm], redis_url: str) -> Iterator[Callable[..., Flask]]:
    """Makes applications; Redis is empty."""
    made: list[Flask] = []

    def app(settings: dict[str, Any] | None = None, **serve: Any) -> Flask:
        farm = lite(**({"broker_url": redis_url} | (settings or {})))
        made.append(create_app(farm.settings, farm, ServeSettings(**serve)))
        return made[-1]

    yield app
    for one in made:
        door(one).tailer.close()


def attempt(app: Flask, login: str = "ana", peer: str = "192.0.2.1", password: str = "wrong wrong wrong") -> Any:
    form = {"login": login, "password": password}
    return window(app).post("/sign-in", data=form, environ_overrides={"REMOTE_ADDR": peer})


def test_an_address_tries_so_often_and_then_waits(make: Callable[..., Flask]) -> None:
    app = make(sign_in_limit="3/hour")
    enter(door(app).farm, "ana", "viewer", password=PASSWORD)
    assert [attempt(app).status_code for _ in range(3)] == [401, 401, 401]
    refused = attempt(app, "another", password=PASSWORD)
    assert refused.status_code == 429
    assert 1 <= int(refused.headers["Retry-After"]) <= 2 * 3600
    assert "Too many requests" in refused.text
    assert attempt(app, peer="192.0.2.2", password=PASSWORD).status_code == 303


def test_a_name_is_tried_so_often_from_everywhere(make: Callable[..., Flask]) -> None:
    app = make(sign_in_name_limit="3/hour")
    tried = [attempt(app, "ANA" if n % 2 else "ana", peer=f"192.0.2.{n}").status_code for n in range(4)]
    assert tried == [401, 401, 401, 429]
    assert attempt(app, "bo", peer="192.0.2.9").status_code == 401


def test_submissions_of_one_caller_are_limited_and_reading_is_not(make: Callable[..., Flask]) -> None:
    app = make(submit_limit="2/hour")
    enter(door(app).farm, "ana", "submitter")
    client, other = with_token(app, ADMIN), browser(app, "ana")
    model = push(client, tiny_model())["id"]
    asked = {"model": model, "targets": ["openvino:fp32"]}
    assert client.post("/v1/jobs", json=asked).status_code == 201
    assert client.post("/v1/batches", json={"jobs": [asked]}).status_code == 201
    refused = client.post("/v1/jobs", json=asked)
    problem = is_problem(refused, 429, "request.too_many")
    assert int(refused.headers["Retry-After"]) == problem["where"]["retry_after_s"]
    assert client.get("/v1/jobs").status_code == 200
    assert other.post("/v1/jobs", json=asked).status_code == 201
    lines: Any = client.get("/v1/audit?action=jobs_submit").json
    assert len(lines["items"]) == 2  # a flood fills no log


def test_the_processes_of_a_farm_count_together(redis_url: str) -> None:
    one, another = Limits(redis_url), Limits(redis_url)
    one.count("2/hour", "sign-in", "x")
    another.count("2/hour", "sign-in", "x")
    for each in (one, another):
        with pytest.raises(TooManyRequests):
            each.count("2/hour", "sign-in", "x")
        each.close()


def test_many_at_once_are_not_more_than_may(redis_url: str) -> None:
    limits, passed = Limits(redis_url), []

    def go() -> None:
        try:
            limits.count("5/hour", "sign-in", "x")
            passed.append(1)
        except TooManyRequests:
            pass

    threads = [threading.Thread(target=go) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    limits.close()
    assert len(passed) == 5


def test_while_redis_is_away_each_process_counts_alone(make: Callable[..., Flask]) -> None:
    app = make({"broker_url": NO_BROKER}, sign_in_limit="2/hour")
    enter(door(app).farm, "ana", "viewer", password=PASSWORD)
    assert attempt(app, password=PASSWORD).status_code == 303
    assert attempt(app).status_code == 401
    assert attempt(app, password=PASSWORD).status_code == 429


def test_redis_counts_again_once_it_is_back(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    client = redis_server.client()
    client.flushall()
    client.close()
    limits = Limits(redis_server.url)
    clock = [100.0]
    monkeypatch.setattr(api_limits.time, "monotonic", lambda: clock[0])
    redis_server.process.send_signal(signal.SIGSTOP)  # it hangs, as a machine does that is cut off
    try:
        limits.count("1/hour", "sign-in", "x")
    finally:
        redis_server.process.send_signal(signal.SIGCONT)
    with pytest.raises(TooManyRequests):
        limits.count("1/hour", "sign-in", "x")  # it is not asked yet
    clock[0] += api_limits.AWAY_S
    limits.count("1/hour", "sign-in", "x")
    limits.close()


@pytest.mark.parametrize("value", ["", "many", "3", "3/fortnight"])
def test_what_is_no_limit_is_refused_at_the_start(value: str) -> None:
    with pytest.raises(ValueError, match="submit_limit"):
        ServeSettings(submit_limit=value)

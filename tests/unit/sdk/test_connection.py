from __future__ import annotations

import socket
from typing import Any

import pytest

from enginehouse import errors
from enginehouse.connection import Connection
from enginehouse.connection import pause as real_pause
from enginehouse.settings import client_settings
from enginehouse.views import Health

HEALTH = {"ready": True, "version": "1", "checks": {}}


def connect(url: str, token: str | None = None) -> Connection:
    return Connection(client_settings(url, token, environ={}), timeout=5)


def test_pauses_grow_up_to_a_bound_and_obey_the_server() -> None:
    assert [real_pause(n) for n in range(6)] == pytest.approx([0.2, 0.4, 0.8, 1.6, 3.2, 5.0])
    assert real_pause(0, share=0.0) == pytest.approx(0.1)
    assert real_pause(0, "7") == 7.0
    assert real_pause(0, "9999") == 60.0
    assert real_pause(0, "Wed, 21 Oct 2026 07:28:00 GMT") == pytest.approx(0.2)


def test_the_token_goes_to_the_farm_and_to_nobody_else(
    small_farm: Any, other_host: Any, connection: Connection
) -> None:
    for host in (small_farm, other_host):
        host.route("GET", "/x", lambda request: request.answer(200, HEALTH))
    connection.get("/x", Health)
    connection.get(f"{other_host.url}/x", Health)
    assert small_farm.seen[0][2]["Authorization"] == "Bearer eh_secret"
    assert "Authorization" not in other_host.seen[0][2]


def test_a_redirect_to_another_host_loses_the_token(small_farm: Any, other_host: Any, connection: Connection) -> None:
    small_farm.route("GET", "/f", lambda request: request.answer(302, b"", {"Location": f"{other_host.url}/g"}))
    other_host.route("GET", "/g", lambda request: request.answer(200, b"bytes"))
    with connection.open("GET", "/f", headers={"Range": "bytes=0-"}, redirects=3) as response:
        assert response.read() == b"bytes"
    assert "Authorization" not in other_host.seen[0][2]
    assert other_host.seen[0][2]["Range"] == "bytes=0-"


def test_a_redirect_is_an_error_where_none_is_expected(small_farm: Any, connection: Connection) -> None:
    small_farm.route("GET", "/f", lambda request: request.answer(302, b"", {"Location": "http://127.0.0.1:1/"}))
    with pytest.raises(errors.RequestError, match="302"):
        connection.send("GET", "/f")


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_busy_answers_are_tried_again(small_farm: Any, connection: Connection, status: int) -> None:
    small_farm.route("GET", "/x", lambda request: request.answer(200, HEALTH))
    small_farm.faults = [("/x", lambda request: request.answer(status, b"", {"Retry-After": "0"}))] * 2
    assert connection.get("/x", Health).ready
    assert len(small_farm.calls("/x")) == 3


def test_a_quota_that_is_used_up_is_told_at_once(small_farm: Any, connection: Connection) -> None:
    small_farm.route("GET", "/x", lambda request: request.answer(429, b""))
    with pytest.raises(errors.EnginehouseError):
        connection.get("/x", Health)
    assert len(small_farm.calls("/x")) == 1


def test_a_lost_connection_is_tried_again_with_the_body_made_anew(small_farm: Any, connection: Connection) -> None:
    bodies = []

    def take(request: Any) -> None:
        bodies.append(request.body())
        request.answer(200, HEALTH)

    small_farm.route("POST", "/x", take)
    small_farm.route("GET", "/first", lambda request: request.answer(200, HEALTH))
    connection.get("/first", Health)
    small_farm.faults = [("/x", lambda request: request.cut())]
    connection.post("/x", Health, body=lambda: iter([b"ab", b"cd"]), headers={"Content-Length": "4"})
    assert bodies == [b"abcd"]


def test_it_gives_up_after_five_tries(small_farm: Any, connection: Connection) -> None:
    small_farm.route("GET", "/x", lambda request: request.answer(503, b"", {"Retry-After": "1"}))
    with pytest.raises(errors.NotReady, match="503"):
        connection.send("GET", "/x")
    assert len(small_farm.seen) == 5


def test_a_refusal_is_not_tried_again(small_farm: Any, connection: Connection) -> None:
    small_farm.route("GET", "/x", lambda request: request.problem(422, "target.invalid", "no"))
    with pytest.raises(errors.TargetError):
        connection.send("GET", "/x")
    assert len(small_farm.seen) == 1


@pytest.mark.parametrize("code", list(errors.codes()))
def test_every_code_comes_back_as_its_exception(small_farm: Any, connection: Connection, code: str) -> None:
    known = errors.codes()[code]
    where = {"field": "x", "advice": "a field of this name must not clash"}
    small_farm.route(
        "GET", "/x", lambda request: request.problem(known.status, code, "said so", where=where, request_id="r1")
    )
    with pytest.raises(known) as caught:
        connection.send("GET", "/x", tries=1)
    assert type(caught.value) is known
    assert (caught.value.detail, caught.value.hint) == ("said so", "Do.")
    assert caught.value.where == {**where, "request_id": "r1"}


def test_a_newer_farms_code_keeps_its_kind_and_its_name(small_farm: Any, connection: Connection) -> None:
    small_farm.route("GET", "/x", lambda request: request.problem(409, "job.too_new", "?"))
    with pytest.raises(errors.Conflict) as caught:
        connection.send("GET", "/x")
    assert caught.value.where["code"] == "job.too_new"


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (400, errors.BadRequest),
        (401, errors.Unauthenticated),
        (403, errors.Forbidden),
        (404, errors.NotFound),
        (413, errors.TooLarge),
        (418, errors.RequestError),
        (501, errors.InternalError),
    ],
)
def test_a_proxys_page_is_an_error_of_its_status(
    small_farm: Any, connection: Connection, status: int, expected: type[Exception]
) -> None:
    small_farm.route("GET", "/x", lambda request: request.answer(status, b"<h1>Sorry</h1>", kind="text/html"))
    with pytest.raises(expected, match="Sorry"):
        connection.send("GET", "/x")


def test_an_unreachable_farm_is_named_and_reported_at_once() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    made = connect(f"http://127.0.0.1:{port}", "eh_secret")
    with pytest.raises(errors.FarmUnreachable, match=f"http://127.0.0.1:{port} cannot be reached") as caught:
        made.send("GET", "/v1/jobs")
    made.close()
    assert "eh_secret" not in str(caught.value)


def test_an_answer_of_another_shape_is_no_farm(small_farm: Any, connection: Connection) -> None:
    small_farm.route("GET", "/x", lambda request: request.answer(200, b"<html>", kind="text/html"))
    with pytest.raises(errors.InternalError, match="not what this client knows as Health"):
        connection.get("/x", Health)


def test_relative_addresses_join_a_farm_under_a_path() -> None:
    made = connect("https://example.org/farm/")
    assert made.absolute("/v1/jobs") == "https://example.org/farm/v1/jobs"
    assert made.absolute("https://s3/x") == "https://s3/x"
    assert made.is_farm("https://EXAMPLE.org:443/farm/v1")
    assert not made.is_farm("http://example.org/farm/v1")
    made.close()

"""Who may do what: every route, every scope, and what a browser must not be made to do."""

from __future__ import annotations

import base64
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import ADMIN, WORKER, is_problem, with_token

from api.app import all_routes, create_app
from api.auth import TOKENLESS, Scope, allows, is_foreign, is_loopback_name
from api.routing import Route
from scheduler.farm import Farm

_GUARDED = [route for route in all_routes() if route.scope not in TOKENLESS and not route.page]
"""Of the API; test_roles.py asks the pages too."""


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: which registry it is does not matter here."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


def _call(client: FlaskClient, route: Route, **more: Any) -> Any:
    path = re.sub(r"<int:\w+>", "1", re.sub(r"<(?:path:)?\w+>", "nothing", route.rule))
    return client.open(path, method=route.method, **more)


def test_given_the_whole_map_i_expect_every_address_to_be_a_declared_route(app: Flask) -> None:
    declared = {(route.rule, route.method) for route in all_routes()}
    served = {(rule.rule, method) for rule in app.url_map.iter_rules() for method in (rule.methods or set()) - {"HEAD"}}
    assert served == declared
    assert all(isinstance(route.scope, Scope) for route in all_routes())
    public = {route.rule for route in all_routes() if route.scope is Scope.PUBLIC}
    pages = {"/assets/<path:name>", "/sign-in", "/sign-in/provider", "/sign-in/provider/back"}
    assert public == {"/healthz", "/readyz", "/v1/keys", *pages}
    assert {route.rule for route in all_routes() if route.scope is Scope.SIGNED} == {
        "/v1/uploads/<upload>/parts/<int:number>"
    }
    for route in all_routes():
        assert (route.scope is Scope.WORK) == route.rule.startswith("/v1/work/"), route.rule


def test_given_no_token_i_expect_401_everywhere(app: Flask) -> None:
    for route in _GUARDED:
        answer = _call(app.test_client(), route)
        is_problem(answer, 401, "request.unauthenticated")
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_given_a_workers_token_i_expect_403_on_all_that_is_not_work(worker: FlaskClient) -> None:
    for route in _GUARDED:
        if route.scope is not Scope.WORK:
            is_problem(_call(worker, route), 403, "request.forbidden")


def test_given_an_admins_token_i_expect_403_on_work(admin: FlaskClient) -> None:
    for route in _GUARDED:
        if route.scope is Scope.WORK:
            is_problem(_call(admin, route), 403, "request.forbidden")


def test_given_a_readers_token_i_expect_reading_alone(app: Flask, admin: FlaskClient) -> None:
    made = admin.post("/v1/tokens", json={"name": "eyes", "scopes": ["read"], "expires_days": 1}).json
    reader = with_token(app, made["token"])
    for route in _GUARDED:
        answer = _call(reader, route) if route.rule != "/v1/events" else reader.head("/v1/events")
        assert (answer.status_code == 403) == (route.scope is not Scope.READ), route.rule
        answer.close()


@pytest.mark.parametrize(
    "header",
    [
        "Bearer nonsense",
        "Bearer ",
        "Bearer",
        "Basic ???",
        "Basic",
        "Digest x=y",
        "nonsense",
        "Bearer \xe4\xf6",
        "Bearer a b",
    ],
)
def test_given_a_wrong_header_i_expect_401_also_on_an_open_loopback(lite: Callable[..., Farm], header: str) -> None:
    farm = lite(open_loopback=True)
    answer = create_app(farm.settings, farm).test_client().get("/v1/jobs", headers={"Authorization": header})
    is_problem(answer, 401)


def test_given_a_revoked_token_i_expect_401(app: Flask, admin: FlaskClient) -> None:
    made = admin.post("/v1/tokens", json={"name": "short", "scopes": ["read"]}).json
    client = with_token(app, made["token"])
    assert client.get("/v1/jobs").status_code == 200
    assert made["id"] in {item["id"] for item in admin.get("/v1/tokens").json["items"]}
    assert made["token"] not in admin.get("/v1/tokens").text
    assert admin.delete(f"/v1/tokens/{made['id']}").status_code == 204
    is_problem(client.get("/v1/jobs"), 401)


def test_given_a_browser_i_expect_basic_with_the_token_as_password(app: Flask) -> None:
    client = app.test_client()
    asked = client.get("/v1/jobs", headers={"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert is_problem(asked, 401)
    assert asked.headers["WWW-Authenticate"] == 'Basic realm="enginehouse"'
    assert client.get("/v1/jobs", auth=("anybody", ADMIN)).status_code == 200
    is_problem(client.get("/v1/jobs", auth=("anybody", "wrong")), 401)


def test_given_a_remembered_password_i_expect_other_sites_to_write_nothing(app: Flask) -> None:
    basic = "Basic " + base64.b64encode(f"me:{ADMIN}".encode()).decode()
    client = app.test_client()
    for foreign in (
        {"Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "null"},
    ):
        answer = client.post("/v1/jobs/x/cancel", headers={"Authorization": basic, **foreign})
        is_problem(answer, 403)
    own = client.post("/v1/jobs/x/cancel", headers={"Authorization": basic, "Origin": "http://localhost"})
    is_problem(own, 404)


class TestLoopback:
    @pytest.fixture
    def open_app(self, lite: Callable[..., Farm]) -> Flask:
        farm = lite(open_loopback=True)
        return create_app(farm.settings, farm)

    @pytest.mark.parametrize("host", ["localhost", "localhost:8470", "127.0.0.1:8470", "[::1]:8470", "127.9.9.9"])
    def test_given_a_loopback_peer_and_name_i_expect_the_admins_routes(self, open_app: Flask, host: str) -> None:
        assert open_app.test_client().get("/v1/tokens", headers={"Host": host}).status_code == 200

    def test_given_loopback_i_expect_no_work(self, open_app: Flask) -> None:
        is_problem(open_app.test_client().post("/v1/work/heartbeat", json={}), 403)

    @pytest.mark.parametrize(
        "host", ["evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "10.0.0.1", ""]
    )
    def test_given_a_foreign_name_i_expect_401(self, open_app: Flask, host: str) -> None:
        is_problem(open_app.test_client().get("/v1/jobs", environ_overrides={"HTTP_HOST": host}), 401)

    @pytest.mark.parametrize(
        "headers",
        [
            {"Origin": "https://evil.example"},
            {"Origin": "null"},
            {"Origin": "http://localhost:3000"},
            {"Sec-Fetch-Site": "cross-site"},
            {"Sec-Fetch-Site": "same-site"},
            {"X-Forwarded-For": "203.0.113.9"},
            {"Forwarded": "for=203.0.113.9"},
        ],
    )
    def test_given_another_sites_page_or_a_proxy_i_expect_401(self, open_app: Flask, headers: dict[str, str]) -> None:
        is_problem(open_app.test_client().get("/v1/jobs", headers=headers), 401)
        is_problem(open_app.test_client().post("/v1/jobs", headers=headers, json={}), 401)

    @pytest.mark.parametrize("peer", ["203.0.113.9", "10.1.2.3", ""])
    def test_given_another_peer_i_expect_401(self, open_app: Flask, peer: str) -> None:
        is_problem(open_app.test_client().get("/v1/jobs", environ_overrides={"REMOTE_ADDR": peer}), 401)

    def test_given_own_pages_i_expect_an_answer(self, open_app: Flask) -> None:
        headers = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
        assert open_app.test_client().get("/v1/jobs", headers=headers).status_code == 200

    def test_given_a_token_i_expect_it_to_count_and_not_the_loopback(self, open_app: Flask) -> None:
        is_problem(with_token(open_app, WORKER).get("/v1/jobs"), 403)

    def test_given_a_closed_farm_i_expect_401(self, lite: Callable[..., Farm]) -> None:
        farm = lite(open_loopback=False)
        is_problem(create_app(farm.settings, farm).test_client().get("/v1/jobs"), 401)


@pytest.mark.parametrize("held", ["read", "submit", "maintain", "admin", "operate", "work", "person"])
def test_scopes(held: str) -> None:
    own = {"read", "submit", "maintain"}
    implied = {"maintain": own, "admin": {*own, "admin"}, "operate": {*own, "admin", "operate"}}
    for needed in ("read", "submit", "maintain", "admin", "operate", "work", "person"):
        assert allows({held}, Scope(needed)) == (needed in implied.get(held, {held}))


def test_names_and_origins() -> None:
    assert is_loopback_name("[::1]")
    assert not is_loopback_name("[::1")
    assert not is_loopback_name("")
    assert is_foreign("http://localhost:1", None, "localhost")
    assert is_foreign("http://[", None, "localhost")
    assert not is_foreign("https://farm.example", "same-origin", "farm.example")
    assert not is_foreign(None, None, "farm.example")

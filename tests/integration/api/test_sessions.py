"""Signing in with a password, what the browser holds of it, and every way in which it ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from http.cookies import SimpleCookie
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.people_support import PASSWORD, browser, enter, window
from integration.api.support import ADMIN, is_problem, with_token
from sqlalchemy import update

from api.app import create_app, door
from api.settings import ServeSettings
from enginehouse.people import PersonChange
from scheduler import persons, sessions, tokens
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import SignIn

MANY = ServeSettings(sign_in_limit="100000/minute", sign_in_name_limit="100000/minute")
PAGE = {"Accept": "text/html"}


@pytest.fixture
def app(farm: Farm) -> Iterator[Flask]:
    """On SQLite and on PostgreSQL."""
    made = create_app(farm.settings, farm, MANY)
    enter(farm, "ana", "submitter", password=PASSWORD)
    yield made
    door(made).tailer.close()


def sign_in(client: FlaskClient, login: str = "ana", password: str = PASSWORD, **headers: str) -> Any:
    given = {"login": login, "password": password, "next": "/settings/project"}
    return client.post("/sign-in", data=given, headers=headers)


def cookie_of(answer: Any) -> Any:
    (name, morsel), *more = SimpleCookie(answer.headers["Set-Cookie"]).items()
    assert not more
    return name, morsel


def test_a_person_signs_in_asks_and_signs_out(app: Flask, farm: Farm) -> None:
    client = window(app)
    front = client.get("/settings/project?x=1")
    assert (front.status_code, front.headers["Location"]) == (303, "/sign-in?next=%2Fsettings%2Fproject%3Fx%3D1")
    answer = sign_in(client, "Ana")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/project")
    name, held = cookie_of(answer)
    assert name == "enginehouse"
    assert held["httponly"]
    assert (held["samesite"], held["path"], held["secure"]) == ("Lax", "/", "")
    me: Any = client.get("/v1/me").json
    assert (me["name"], me["kind"], me["role"], me["scopes"]) == ("ana", "person", "submitter", ["read", "submit"])
    secret = held.value.rpartition(".")[0]
    with farm.read() as session:
        assert secret not in str([vars(row) for row in session.query(SignIn)])
    out = client.post("/sign-out")
    assert out.status_code == 303
    assert cookie_of(out)[1].value == ""
    client.set_cookie("enginehouse", held.value)  # a copy that somebody kept
    is_problem(client.get("/v1/me"), 401, "request.unauthenticated")


def test_a_wrong_name_and_a_wrong_password_are_answered_alike(app: Flask) -> None:
    client = window(app)
    wrong, unknown = sign_in(client, password="not the one at all"), sign_in(client, "nobody")
    for answer in (wrong, unknown):
        assert answer.status_code == 401
        assert "The name or the password is wrong" in answer.text
        assert PASSWORD not in answer.text
        assert "Set-Cookie" not in answer.headers
    assert wrong.text.replace('value="ana"', "") == unknown.text.replace('value="nobody"', "")


def test_every_sign_in_is_a_new_session_and_ends_the_one_before(app: Flask, farm: Farm) -> None:
    client = window(app)
    first = cookie_of(sign_in(client))[1].value
    second = cookie_of(sign_in(client))[1].value
    assert first != second
    client.set_cookie("enginehouse", first)
    assert client.get("/v1/me").status_code == 401


@pytest.mark.parametrize("held", ["", "x", "a.b", "ö", "eyJ.x.y"])
def test_what_was_made_up_is_no_session(app: Flask, held: str) -> None:
    client = window(app)
    client.set_cookie("enginehouse", held)
    is_problem(client.get("/v1/me"), 401)


def test_a_cookie_of_another_farm_is_no_session(app: Flask, lite: Callable[..., Farm]) -> None:
    other = lite(secret_key="another secret of the tests")
    enter(other, "ana", "admin")
    there = create_app(other.settings, other, MANY)
    held = browser(there, "ana").get_cookie("enginehouse")
    assert held is not None
    client = window(app)
    client.set_cookie("enginehouse", held.value)
    is_problem(client.get("/v1/me"), 401)
    door(there).tailer.close()


@pytest.mark.parametrize("column", ["seen", "expires"])
def test_a_session_ends_unused_and_in_any_case(app: Flask, farm: Farm, column: str) -> None:
    client = browser(app, "ana")
    assert client.get("/v1/me").status_code == 200
    settings = farm.settings
    with farm.write() as session:
        past = now(session) - timedelta(seconds=settings.session_idle_s if column == "seen" else 0)
        session.execute(update(SignIn).values({column: past}))
    is_problem(client.get("/v1/me"), 401)
    with farm.write() as session:
        sessions.sweep(session, settings)
    with farm.read() as session:
        assert session.query(SignIn).count() == 0


def test_use_is_noted_to_within_a_minute(app: Flask, farm: Farm) -> None:
    client = browser(app, "ana")
    with farm.write() as session:
        before = now(session) - timedelta(minutes=5)
        session.execute(update(SignIn).values(seen=before))
    client.get("/v1/me")
    with farm.read() as session:
        seen = session.query(SignIn).one().seen
    assert seen > before
    client.get("/v1/me")
    with farm.read() as session:
        assert session.query(SignIn).one().seen == seen


def test_over_https_the_cookie_is_bound_to_the_host(lite: Callable[..., Farm]) -> None:
    farm = lite(public_url="https://farm.example.com")
    enter(farm, "ana", "viewer", password=PASSWORD)
    app = create_app(farm.settings, farm, MANY)
    client = window(app)
    answer = sign_in(client, Origin="https://farm.example.com")
    name, held = cookie_of(answer)
    assert name == "__Host-enginehouse"
    assert held["secure"]
    assert (held["path"], held["domain"]) == ("/", "")
    client.set_cookie(name, held.value, secure=False)  # Flask's client would send it over https alone
    assert client.get("/v1/me").status_code == 200
    door(app).tailer.close()


def test_behind_proxies_that_are_believed_the_scheme_and_the_address_are_theirs(lite: Callable[..., Farm]) -> None:
    farm = lite()
    enter(farm, "ana", "viewer", password=PASSWORD)
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "192.0.2.7, 203.0.113.9"}
    for proxies, name, peer in ((0, "enginehouse", "127.0.0.1"), (1, "__Host-enginehouse", "203.0.113.9")):
        app = create_app(farm.settings, farm, MANY.model_copy(update={"api_proxies": proxies}))
        assert cookie_of(sign_in(window(app), **headers))[0] == name
        with farm.read() as session:
            newest = session.query(SignIn).order_by(SignIn.id.desc()).first()
        assert newest is not None
        assert newest.peer == peer
        door(app).tailer.close()


FOREIGN = [
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": "http://localhost:3000"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
]


@pytest.mark.parametrize("headers", FOREIGN)
def test_what_another_sites_page_asks_changes_nothing(app: Flask, headers: dict[str, str]) -> None:
    client = browser(app, "ana")
    is_problem(client.delete("/v1/me/sessions", headers=headers), 403)
    assert client.post("/sign-out", headers=headers).status_code == 403
    assert client.post("/account/sessions/end-all", headers=headers).status_code == 403
    assert client.get("/v1/me").status_code == 200
    stranger = window(app)
    assert sign_in(stranger, **headers).status_code == 403  # nor is anybody signed in as somebody else
    assert "Set-Cookie" not in sign_in(stranger, **headers).headers


def test_own_pages_are_listened_to(app: Flask) -> None:
    client = browser(app, "ana")
    own = {"Origin": "http://localhost", "Sec-Fetch-Site": "same-origin"}
    assert client.delete("/v1/me/sessions", headers=own).status_code == 204


def test_under_its_public_name_too(lite: Callable[..., Farm]) -> None:
    farm = lite(public_url="http://farm.example.com")
    enter(farm, "ana", "viewer")
    app = create_app(farm.settings, farm, MANY)
    client = browser(app, "ana")
    headers = {"Origin": "http://farm.example.com", "Host": "10.0.0.5:8470"}
    client.set_cookie("enginehouse", client.get_cookie("enginehouse").value, domain="10.0.0.5")  # type: ignore[union-attr]
    assert client.delete("/v1/me/sessions", headers=headers).status_code == 204
    door(app).tailer.close()


def test_a_role_is_what_it_is_now(app: Flask, farm: Farm) -> None:
    client, admin = browser(app, "ana"), with_token(app, ADMIN)
    assert client.get("/v1/audit").status_code == 403
    assert admin.put("/v1/members/ana", json={"role": "admin"}).status_code == 200
    assert client.get("/v1/audit").status_code == 200
    admin.put("/v1/members/ana", json={"role": "viewer"})
    is_problem(client.get("/v1/audit"), 403, "request.forbidden")
    assert admin.delete("/v1/members/ana").status_code == 204
    refused = is_problem(client.get("/v1/jobs"), 403)
    assert "member of no project" in refused["detail"]
    assert client.get("/account").status_code == 200


def test_sign_out_everywhere_and_somewhere(app: Flask) -> None:
    here, there, third = browser(app, "ana"), browser(app, "ana"), browser(app, "ana")
    listed: Any = here.get("/v1/me/sessions").json
    assert [one["current"] for one in listed["items"]].count(True) == 1
    assert len(listed["items"]) == 3
    theirs: Any = third.get("/v1/me/sessions").json
    gone = next(one["id"] for one in theirs["items"] if one["current"])
    assert here.delete(f"/v1/me/sessions/{gone}").status_code == 204
    assert third.get("/v1/me").status_code == 401
    assert there.delete("/v1/me/sessions").status_code == 204
    assert here.get("/v1/me").status_code == 401
    enter(door(app).farm, "bo", "viewer")
    other = browser(app, "bo")
    alive: Any = browser(app, "ana").get("/v1/me/sessions").json
    is_problem(other.delete(f"/v1/me/sessions/{alive['items'][0]['id']}"), 404)


def test_a_new_password_ends_the_other_sessions(app: Flask, farm: Farm) -> None:
    here, there = browser(app, "ana"), browser(app, "ana")
    wrong = {"old": "not the one at all", "new": "some other plain words"}
    is_problem(here.put("/v1/me/password", json=wrong), 403)
    is_problem(here.put("/v1/me/password", json={"old": PASSWORD, "new": "short"}), 422)
    is_problem(here.put("/v1/me/password", json={"old": PASSWORD, "new": "ana ana ana ana"}), 422)
    assert here.put("/v1/me/password", json={"old": PASSWORD, "new": "some other plain words"}).status_code == 204
    assert here.get("/v1/me").status_code == 200
    assert there.get("/v1/me").status_code == 401
    assert sign_in(window(app)).status_code == 401
    assert sign_in(window(app), password="some other plain words").status_code == 303


def test_an_operator_sets_passwords_and_refuses_persons(app: Flask, farm: Farm) -> None:
    admin, client = with_token(app, ADMIN), browser(app, "ana")
    answer = admin.patch("/v1/persons/ana", json={"password": "a password of others"})
    assert answer.status_code == 200, answer.text
    assert "password" not in answer.text
    assert client.get("/v1/me").status_code == 401
    client = window(app)
    assert sign_in(client, password="a password of others").status_code == 303
    assert admin.patch("/v1/persons/ana", json={"disabled": True}).json["disabled"]
    assert client.get("/v1/me").status_code == 401
    assert sign_in(client, password="a password of others").status_code == 401
    assert admin.patch("/v1/persons/ana", json={"disabled": False}).json["disabled"] is None
    assert sign_in(client, password="a password of others").status_code == 303


def test_an_operator_does_not_lock_themselves_out(app: Flask, farm: Farm) -> None:
    enter(farm, "op", operator=True)
    client = browser(app, "op")
    is_problem(client.patch("/v1/persons/op", json={"disabled": True}), 409)
    is_problem(client.patch("/v1/persons/op", json={"operator": False}), 409)


def test_somebody_in_two_projects_chooses(app: Flask, farm: Farm) -> None:
    admin = with_token(app, ADMIN)
    admin.post("/v1/projects", json={"name": "vision"})
    assert admin.put("/v1/members/ana?project=vision", json={"role": "admin"}).status_code == 200
    client, elsewhere = browser(app, "ana"), browser(app, "ana")
    assert client.put("/v1/me/project", json={"project": "vision"}).status_code == 204
    me: Any = client.get("/v1/me").json
    assert (me["project"], me["role"]) == ("vision", "admin")
    assert me["projects"] == [{"project": "default", "role": "submitter"}, {"project": "vision", "role": "admin"}]
    assert elsewhere.get("/v1/me").json["project"] == "default"
    is_problem(client.put("/v1/me/project", json={"project": "nowhere"}), 404)
    admin.post("/v1/projects", json={"name": "secret"})
    is_problem(client.put("/v1/me/project", json={"project": "secret"}), 404)
    admin.delete("/v1/members/ana?project=vision")
    assert client.get("/v1/me").json["project"] == "default"


def test_a_persons_own_token_is_never_more_than_they_are(app: Flask, farm: Farm) -> None:
    client, admin = browser(app, "ana"), with_token(app, ADMIN)
    asked = {"name": "laptop", "scopes": ["read", "submit"], "expires_days": 30}
    made: Any = client.post("/v1/me/tokens", json=asked).json
    own = with_token(app, made["token"])
    me: Any = own.get("/v1/me").json
    assert (me["name"], me["kind"], me["scopes"]) == ("ana (laptop)", "token", ["read", "submit"])
    is_problem(client.post("/v1/me/tokens", json={**asked, "scopes": ["maintain"]}), 403)
    is_problem(client.post("/v1/me/tokens", json={**asked, "scopes": ["work"]}), 403)
    is_problem(client.post("/v1/me/tokens", json={"name": "x", "scopes": ["read"]}), 422)
    is_problem(own.get("/v1/me/sessions"), 403)  # a token signs nobody out
    listed: Any = client.get("/v1/me/tokens").json
    assert [one["name"] for one in listed["items"]] == ["laptop"]
    assert made["token"] not in client.get("/v1/me/tokens").text
    admin.put("/v1/members/ana", json={"role": "viewer"})
    assert own.get("/v1/me").json["scopes"] == ["read"]
    admin.delete("/v1/members/ana")
    is_problem(own.get("/v1/me"), 401)
    admin.put("/v1/members/ana", json={"role": "viewer"})
    assert own.get("/v1/me").status_code == 200
    enter(farm, "bo", "submitter")
    is_problem(browser(app, "bo").delete(f"/v1/me/tokens/{made['id']}"), 404)
    assert client.delete(f"/v1/me/tokens/{made['id']}").status_code == 204
    is_problem(own.get("/v1/me"), 401)


def test_members_and_the_last_admin(app: Flask, farm: Farm) -> None:
    enter(farm, "boss", "admin")
    boss, operator = browser(app, "boss"), with_token(app, ADMIN)
    is_problem(boss.delete("/v1/members/boss"), 409)
    is_problem(boss.put("/v1/members/boss", json={"role": "viewer"}), 409)
    is_problem(boss.put("/v1/members/nobody", json={"role": "viewer"}), 404)
    is_problem(boss.delete("/v1/members/nobody"), 404)
    is_problem(boss.put("/v1/members/ana", json={"role": "king"}), 422)
    assert boss.put("/v1/members/ana", json={"role": "admin"}).status_code == 200
    assert boss.put("/v1/members/boss", json={"role": "viewer"}).status_code == 200
    assert operator.delete("/v1/members/ana").status_code == 204
    page: Any = operator.get("/v1/members?limit=1").json
    assert ([one["login"] for one in page["items"]], page["next"]) == (["boss"], None)


def test_persons_over_rest(app: Flask, farm: Farm) -> None:
    admin = with_token(app, ADMIN)
    made = admin.post("/v1/persons", json={"login": "Bo@Example.com", "name": "Bo"})
    assert made.status_code == 201, made.text
    assert (made.json["login"], made.json["kind"], made.json["projects"]) == ("bo@example.com", "invited", [])
    is_problem(admin.post("/v1/persons", json={"login": "bo@example.com"}), 409)
    is_problem(admin.post("/v1/persons", json={"login": "a b"}), 422)
    is_problem(admin.post("/v1/persons", json={"login": "cy", "password": "short"}), 422)
    refused = is_problem(admin.post("/v1/persons", json={"login": "cy", "password": "cy cy cy cy cy"}), 422)
    assert "cy cy" not in str(refused)
    assert admin.get("/v1/persons/bo@example.com").json["name"] == "Bo"
    assert [one["login"] for one in admin.get("/v1/persons").json["items"]] == ["bo@example.com", "ana"]
    is_problem(admin.get("/v1/persons/nobody"), 404)


def test_the_first_person_is_made_once(lite: Callable[..., Farm]) -> None:
    farm = lite(admin_password="the first password")
    persons.bootstrap(farm)
    app = create_app(farm.settings, farm, MANY)
    client = window(app)
    assert sign_in(client, "admin", "the first password").status_code == 303
    me: Any = client.get("/v1/me").json
    assert me["role"] == "admin"
    assert "operate" in me["scopes"]
    with farm.read() as session:
        operator = tokens.loopback_principal(session)
    persons.change(farm, operator, "admin", PersonChange(password="quite another one"))  # type: ignore[arg-type]
    persons.bootstrap(farm)
    assert sign_in(window(app), "admin", "the first password").status_code == 401
    door(app).tailer.close()


def test_on_an_open_loopback_an_old_cookie_does_not_lock_out(lite: Callable[..., Farm]) -> None:
    farm = lite(open_loopback=True)
    enter(farm, "ana", "viewer")
    app = create_app(farm.settings, farm, MANY)
    client = browser(app, "ana")
    assert client.get("/v1/me").json["name"] == "ana"
    assert client.get("/v1/tokens").status_code == 403  # whoever is signed in is who they are
    with farm.write() as session:
        session.query(SignIn).delete()
    assert client.get("/v1/me").json["name"] == "loopback"
    door(app).tailer.close()

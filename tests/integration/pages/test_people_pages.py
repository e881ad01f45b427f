"""The pages of account and settings: what they show to whom, what their forms do, and that they escape all."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.people_support import PASSWORD, browser, enter, window
from integration.api.support import ADMIN, with_token
from integration.pages.reading import Reading, keeps_to_the_policy

from api.app import create_app, door
from api.pages.account import browser as named
from api.settings import ServeSettings
from scheduler.farm import Farm

MANY = ServeSettings(sign_in_limit="100000/minute", sign_in_name_limit="100000/minute")
SCRIPT = "<script>alert(1)</script>"


@pytest.fixture
def farm(lite: Callable[..., Farm]) -> Farm:
    return lite()


@pytest.fixture
def app(farm: Farm) -> Iterator[Flask]:
    made = create_app(farm.settings, farm, MANY)
    for role in ("viewer", "submitter", "maintainer", "admin"):
        enter(farm, role, role, password=PASSWORD)
    enter(farm, "op", "viewer", operator=True, name="Olga <b>")
    yield made
    door(made).tailer.close()


def read(client: FlaskClient, path: str, status: int = 200) -> Reading:
    answer = client.get(path)
    assert answer.status_code == status, answer.text
    return keeps_to_the_policy(answer.text)


def tabs(client: FlaskClient) -> list[str]:
    found = client.get("/settings/project").text.split('aria-label="Settings"')[1].split("</nav>")[0]
    return re.findall(r">([A-Z][a-z ]+)<", found)


def test_each_sees_the_settings_that_they_may(app: Flask) -> None:
    assert tabs(browser(app, "viewer")) == ["Project", "Members"]
    assert tabs(browser(app, "maintainer")) == ["Project", "Members"]
    assert tabs(browser(app, "admin")) == ["Project", "Members", "Tokens", "Webhooks", "Audit log"]
    assert tabs(browser(app, "op")) == ["Project", "Members", "Tokens", "Webhooks", "Audit log", "Persons"]


@pytest.mark.parametrize(
    "path",
    ["/account", "/settings/project", "/settings/members", "/settings/tokens", "/settings/audit", "/settings/persons"],
)
def test_every_page_is_whole_and_keeps_to_the_policy(app: Flask, path: str) -> None:
    op = browser(app, "op")
    enter(door(app).farm, "bo", "viewer", name=SCRIPT)
    op.post("/settings/tokens", data={"name": SCRIPT, "scopes": "read"})
    op.post("/account/tokens", data={"name": SCRIPT, "scopes": "read", "expires_days": "3"})
    found = read(op, path)
    assert SCRIPT not in op.get(path).text
    for address in {one for one in found.addresses if one.startswith("/") and "sign-" not in one}:
        answer = op.get(address.split("#")[0], follow_redirects=True)
        assert answer.status_code in {200, 405}, address  # 405: it is a form's


def test_the_sign_in_page_is_whole_for_nobody(app: Flask) -> None:
    found = read(window(app), "/sign-in?next=/jobs")
    assert found.headings == ["Sign in"]
    assert "ENGINEHOUSE_ADMIN_PASSWORD" in found.text
    assert "Sign in through" not in found.text


def test_a_viewer_has_no_forms_in_settings(app: Flask) -> None:
    viewer = browser(app, "viewer")
    for path in ("/settings/project", "/settings/members"):
        text = viewer.get(path).text.split("<main")[1].split("</main>")[0]
        assert "<form" not in text
        assert "<button" not in text


def test_an_admin_makes_members_changes_and_removes_them(app: Flask, farm: Farm) -> None:
    admin = browser(app, "admin")
    enter(farm, "bo", name="Bo")
    answer = admin.post("/settings/members", data={"login": "BO", "role": "submitter"})
    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/members")
    assert "Bo" in read(admin, "/settings/members").text
    assert admin.post("/settings/members", data={"login": "bo", "role": "admin"}).status_code == 303
    missing = admin.post("/settings/members", data={"login": "nobody", "role": "viewer"})
    assert missing.status_code == 404
    assert "there is no person nobody" in keeps_to_the_policy(missing.text).text
    assert admin.post("/settings/members", data={"login": "bo", "role": "king"}).status_code == 422
    assert admin.post("/settings/members/remove", data={"login": "bo"}).status_code == 303
    refused = admin.post("/settings/members/remove", data={"login": "admin"})
    assert refused.status_code == 409
    assert "no admin left" in refused.text


def test_a_tokens_secret_is_on_one_page_once(app: Flask) -> None:
    admin = browser(app, "admin")
    made = admin.post("/settings/tokens", data={"name": "ci", "scopes": ["read", "submit"], "expires_days": "7"})
    assert made.status_code == 200
    (secret,) = set(re.findall(r"eh_[\w-]{40,}", made.text))
    assert with_token(app, secret).get("/v1/me").json["scopes"] == ["read", "submit"]
    listed = admin.get("/settings/tokens").text
    assert secret not in listed
    token = re.search(r'name="token" value="(token_\w+)"', listed)
    assert token is not None
    assert admin.post("/settings/tokens/revoke", data={"token": token[1]}).status_code == 303
    assert with_token(app, secret).get("/v1/me").status_code == 401
    for form in ({"name": "", "scopes": "read"}, {"name": "x"}, {"name": "x", "scopes": "operate"}):
        assert admin.post("/settings/tokens", data=form).status_code in {403, 422}, form
    assert "operate" not in re.findall(r'name="scopes" value="(\w+)"', listed)


def test_an_account_is_ones_own(app: Flask, farm: Farm) -> None:
    ana = browser(app, "submitter")
    found = read(ana, "/account")
    assert "signs in as submitter" in found.text
    made = ana.post("/account/tokens", data={"name": "laptop", "scopes": ["read"], "expires_days": "30"})
    (secret,) = set(re.findall(r"eh_[\w-]{40,}", made.text))
    assert with_token(app, secret).get("/v1/me").json["name"] == "submitter (laptop)"
    token = re.search(r'name="token" value="(token_\w+)"', ana.get("/account").text)
    assert token is not None
    assert ana.post("/account/tokens/revoke", data={"token": token[1]}).status_code == 303
    form = {"old": PASSWORD, "new": "some other plain words", "again": "some other plain word"}
    assert "the two new passwords differ" in ana.post("/account/password", data=form).text
    form["again"] = form["new"]
    assert "wrong" in ana.post("/account/password", data={**form, "old": "x"}).text
    done = ana.post("/account/password", data=form)
    assert done.headers["Location"] == "/account?done=password"
    other = browser(app, "submitter")
    session = re.search(r'name="session" value="(session_\w+)"', ana.get("/account").text)
    assert session is not None
    assert ana.post("/account/sessions/end", data={"session": session[1]}).status_code == 303
    assert other.get("/account").status_code == 303
    assert ana.post("/account/sessions/end-all").headers["Location"] == "/sign-in"
    assert ana.get("/account").status_code == 303


def test_a_person_without_a_project_is_told_what_to_do(app: Flask, farm: Farm) -> None:
    enter(farm, "new")
    client = browser(app, "new")
    assert "You are a member of no project" in read(client, "/account").text
    refused = client.get("/settings/project")
    assert refused.status_code == 403
    assert "you are a member of no project" in keeps_to_the_policy(refused.text).text


def test_an_operator_switches_makes_projects_and_changes_quotas(app: Flask) -> None:
    op = browser(app, "op")
    assert op.post("/settings/projects", data={"name": "vision"}).status_code == 303
    assert op.post("/settings/projects", data={"name": "vision"}).status_code == 409
    assert op.post("/settings/projects", data={"name": "a b"}).status_code == 422
    assert op.post("/account/project", data={"project": "vision"}).status_code == 303
    assert read(op, "/settings/project").headings == ["Project vision"]
    form = {"weight": "2.5", "most_running": "3", "most_waiting": "", "most_bytes": "1048576"}
    assert op.post("/settings/project", data=form).status_code == 303
    text = read(op, "/settings/project").text
    assert "2.5 of busy slots" in text
    assert "at most: 3" in text
    assert "at most: 1.0 MiB" in text
    wrong = op.post("/settings/project", data={**form, "weight": "heavy"})
    assert wrong.status_code == 422
    assert 'value="heavy"' in wrong.text
    assert op.post("/account/project", data={"project": "nowhere"}).status_code == 404


def test_an_operator_enters_and_changes_persons(app: Flask) -> None:
    op = browser(app, "op")
    form = {"login": "bo", "name": "Bo", "password": "words of no other", "operator": "true"}
    assert op.post("/settings/persons", data=form).status_code == 303
    assert op.post("/settings/persons", data=form).status_code == 409
    short = op.post("/settings/persons", data={"login": "cy", "password": "short"})
    assert short.status_code == 422
    assert "short" not in Reading(short.text).text.replace("shortcuts", "")
    bo = browser(app, "bo")
    for what, status in (("no-operator", 403), ("operator", 200), ("sign-out", 303)):
        assert op.post("/settings/persons/change", data={"login": "bo", "what": what}).status_code == 303
        assert bo.get("/settings/persons").status_code == status, what
    op.post("/settings/persons/change", data={"login": "bo", "what": "disable"})
    assert "not let in" in read(op, "/settings/persons").text
    given = {"login": "bo", "what": "password", "password": "words of no other now"}
    assert op.post("/settings/persons/change", data=given).status_code == 303
    assert op.post("/settings/persons/change", data={"login": "op", "what": "disable"}).status_code == 409


def test_the_audit_page_filters_by_its_address(app: Flask) -> None:
    admin = browser(app, "admin")
    admin.post("/settings/tokens", data={"name": "ci", "scopes": "read"})
    browser(app, "viewer").post("/settings/tokens", data={"name": "x", "scopes": "read"})
    assert "page_settings_tokens_make" in read(admin, "/settings/audit").text
    assert "request.forbidden" in read(admin, "/settings/audit?who=viewer").text
    assert "No such line" in read(admin, "/settings/audit?who=viewer&action=jobs_submit&since=&until=").text
    assert "No such line" in read(admin, "/settings/audit?until=2020-01-01").text
    kept = admin.get("/settings/audit?who=viewer&since=2020-01-01").text
    assert 'value="viewer"' in kept
    assert 'value="2020-01-01"' in kept
    assert admin.get("/settings/audit?everywhere=true").status_code == 403
    for day in ("9999-12-31", "0001-01-01", "yesterday"):
        assert admin.get(f"/settings/audit?until={day}").status_code in {200, 422}, day  # a page's query may be lenient
    assert "Project" in read(browser(app, "op"), "/settings/audit?everywhere=true").text


def test_long_lists_go_on_by_key(app: Flask, farm: Farm) -> None:
    for number in range(120):
        enter(farm, f"p{number:03d}", "viewer")
    op = browser(app, "op")
    for path in ("/settings/members", "/settings/persons"):
        text = op.get(path).text
        onward = re.search(r'href="([^"]+after=[^"]+)"', text)
        assert onward is not None, path
        assert "p119" in text + op.get(onward[1].replace("&amp;", "&")).text


def test_with_a_token_the_pages_offer_a_sign_in_and_no_account(app: Flask) -> None:
    admin = with_token(app, ADMIN)
    text = admin.get("/settings/project").text
    assert 'href="/sign-in"' in text
    assert 'action="/sign-out"' not in text
    refused = admin.get("/account")
    assert refused.status_code == 403
    signed: Any = browser(app, "admin").get("/settings/project").text
    assert 'action="/sign-out"' in signed
    assert 'href="/account"' in signed


@pytest.mark.parametrize(
    ("agent", "said"),
    [
        ("Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 Chrome/150.0.0.0 Safari/537.36", "Chrome on Linux"),
        ("Mozilla/5.0 (Windows NT 10.0) AppleWebKit/537.36 Chrome/150 Safari/537.36 Edg/150", "Edge on Windows"),
        ("Mozilla/5.0 (iPhone; CPU iPhone OS 20_0 like Mac OS X) Version/20 Safari/604.1", "Safari on iPhone"),
        ("Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "Firefox on Linux"),
        ("curl/8.5", "curl/8.5"),
        ("", "unknown"),
    ],
)
def test_a_browser_in_two_words(agent: str, said: str) -> None:
    assert named(agent) == said

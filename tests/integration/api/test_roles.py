"""Every route asked as every role, and compared with the table; the table is the committed one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.people_support import Things, browser, enter, push_samples, submit_all, window
from integration.api.support import WORKER, push, tiny_model, with_token

from api.app import all_routes, create_app, door
from api.auth import Scope
from api.bodies import FORM
from api.roles import NO, NOBODY, OWN, ROLES, current, rule
from api.routing import Route
from enginehouse.people import Role
from enginehouse.views import ProjectChange
from scheduler import projects
from scheduler.farm import Farm

ROOT = Path(__file__).parents[3]
PERSONS = [role.value for role in Role]
BODIES: dict[tuple[str, str], dict[str, Any]] = {
    ("PATCH", "/v1/jobs/<job>"): {"priority": "low"},
    ("POST", "/v1/uploads/<upload>/parts"): {"parts": [{"number": 1, "sha256": "0" * 64}]},
    ("POST", "/v1/webhooks/<webhook>/replay"): {"since": "2026-01-01T00:00:00Z"},
    ("PUT", "/v1/members/<person>"): {"role": "viewer"},
}
FORMS: dict[tuple[str, str], dict[str, str]] = {("POST", "/jobs/<job>/priority"): {"priority": "low"}}
WORLD_WIDE = {
    "worker",
    "pool",
    "key",
    "name",
    "number",
    "path",
    "sha256",
    "person",
    "project",
    "session",
    "token",
    "attempt",
}
"""Parts of addresses that name nothing of a project, or nothing that the tests have made."""


@pytest.fixture
def farm(lite: Callable[..., Farm]) -> Farm:
    return lite()


@pytest.fixture
def app(farm: Farm) -> Iterator[Flask]:
    made = create_app(farm.settings, farm)
    with farm.write() as session:
        projects.create(session, "other", ProjectChange())
    for role in PERSONS:
        enter(farm, role, role)
    enter(farm, "operator", operator=True)
    enter(farm, "owner", "submitter")
    enter(farm, "stranger", "admin", "other")
    yield made
    door(made).tailer.close()


@pytest.fixture
def theirs(app: Flask, farm: Farm) -> Things:
    """What somebody else than the roles has submitted."""
    made = submit_all(farm, browser(app, "owner"), with_token(app, WORKER), 3.0)
    admin = browser(app, "admin")
    webhook: Any = admin.post("/v1/webhooks", json={"url": "https://1.1.1.1/hook", "kinds": ["*"]}).json
    delivery: Any = admin.post(f"/v1/webhooks/{webhook['id']}/test").json
    return Things({**made.ids, "webhook": webhook["id"], "delivery": delivery["id"]})


def client_of(app: Flask, role: str) -> FlaskClient:
    if role == NOBODY:
        return window(app)
    return with_token(app, WORKER) if role == "worker" else browser(app, role)


def ask(client: FlaskClient, route: Route, ids: dict[str, str]) -> Any:
    path = re.sub(r"<int:\w+>", "1", route.rule)
    if route.rule.endswith(("/pin", "/unpin")) and "built" in ids:
        ids = {**ids, "build": ids["built"], "job": ids["ended"]}  # of its artifact
    path = re.sub(r"<(?:path:)?(\w+)>", lambda found: ids.get(found[1], "nothing"), path)
    more: dict[str, Any] = {}
    if FORM in route.takes:
        more = {"data": FORMS.get((route.method, route.rule), {"": ""}), "content_type": FORM}
    elif route.takes:
        more = {"json": BODIES.get((route.method, route.rule), {})}
    method = "HEAD" if route.rule == "/v1/events" else route.method
    return client.open(path, method=method, **more)


def is_refused(route: Route, answer: Any) -> bool:
    if route.page and answer.status_code == 303:
        return bool(answer.headers["Location"].startswith("/sign-in?"))
    if "request.sign_in_failed" in answer.text:
        return False  # they may try
    return answer.status_code in {401, 403}


def test_the_table_is_the_committed_one() -> None:
    written = (ROOT / "docs" / "routes.md").read_text(encoding="utf-8")
    assert written == current(), "run: make routes"


def test_every_address_that_is_served_has_a_row(app: Flask) -> None:
    table = current()
    for served in app.url_map.iter_rules():
        for method in (served.methods or set()) - {"HEAD", "OPTIONS"}:
            assert f"| {method} | `{served.rule}` |" in table, (method, served.rule)


@pytest.mark.parametrize("role", ROLES)
def test_every_route_answers_each_role_as_the_table_says(app: Flask, theirs: Things, role: str) -> None:
    """Of what others submitted: 'own' is refused here."""
    wrong = []
    for route in all_routes():
        if route.scope is Scope.SIGNED:
            continue  # its address is the key; test_resources.py tries others
        answer = ask(client_of(app, role), route, theirs.ids)  # a session each: some routes end it
        if is_refused(route, answer) != (rule(route, role) in {NO, OWN}):
            wrong.append((route.method, route.rule, rule(route, role), answer.status_code))
        assert answer.status_code < 500 or route.rule == "/readyz", (route.rule, answer.text)  # it is not migrated
        answer.close()
    assert wrong == []


def test_what_they_submitted_themselves_submitters_may_change(app: Flask, farm: Farm) -> None:
    mine = submit_all(farm, browser(app, "submitter"), with_token(app, WORKER), 5.0)
    more = {**mine.ids, "dataset": push_samples(browser(app, "submitter"), 6.0)}
    own = [route for route in all_routes() if rule(route, "submitter") == OWN]
    assert len(own) >= 10
    for route in own:
        answer = ask(browser(app, "submitter"), route, more if route.page else mine.ids)  # one is forgotten
        assert answer.status_code not in {401, 403, 404}, (route.method, route.rule, answer.text)


def test_a_member_of_another_project_finds_nothing_of_this_one(app: Flask, theirs: Things) -> None:
    """Not even that it is there: what an admin may ask is answered as for a thing that does not exist."""
    asked = 0
    for route in all_routes():
        parts = set(re.findall(r"<(?:\w+:)?(\w+)>", route.rule))
        if not parts & set(theirs.ids) or rule(route, "admin") == NO or route.scope is Scope.SIGNED:
            continue
        answer = ask(browser(app, "stranger"), route, theirs.ids)
        missing = ask(browser(app, "stranger"), route, dict.fromkeys(theirs.ids, "nothing"))
        assert answer.status_code == 404, (route.method, route.rule, answer.status_code, answer.text)
        assert missing.status_code in {404, 422}, (route.method, route.rule, missing.text)
        asked += 1
    assert asked >= 20
    assert {part for route in all_routes() for part in re.findall(r"<(?:\w+:)?(\w+)>", route.rule)} <= {
        *theirs.ids,
        *WORLD_WIDE,
    }, "a new kind of thing: let the tests make one"


def test_lists_show_nothing_of_another_project(app: Flask, theirs: Things) -> None:
    stranger = browser(app, "stranger")
    for noun in ("models", "datasets", "jobs", "batches", "artifacts"):
        assert stranger.get(f"/v1/{noun}").json == {"items": [], "next": None}, noun
    listed: Any = stranger.get("/v1/members").json
    assert [one["login"] for one in listed["items"]] == ["stranger"]
    lines: Any = stranger.get("/v1/audit").json
    assert lines["items"] == []
    assert stranger.get("/v1/audit?everywhere=true").status_code == 403
    assert stranger.get("/v1/members?project=default").status_code == 403


def test_a_projects_token_changes_what_tokens_submitted_and_nothing_of_persons(
    app: Flask, farm: Farm, theirs: Things
) -> None:
    admin = browser(app, "admin")
    made = [
        with_token(app, admin.post("/v1/tokens", json={"name": f"ci{n}", "scopes": ["read", "submit"]}).json["token"])
        for n in range(2)
    ]
    model = push(made[0], tiny_model(6.0))["id"]
    job: Any = made[0].post("/v1/jobs", json={"model": model, "targets": ["onnxruntime:fp32"]}).json
    assert made[1].post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    assert made[1].post(f"/v1/jobs/{theirs.ids['job']}/cancel").status_code == 403
    assert browser(app, "submitter").post(f"/v1/jobs/{job['id']}/retry", json={}).status_code == 403
    keeper = {"name": "keeper", "scopes": ["maintain"]}
    keeping = with_token(app, admin.post("/v1/tokens", json=keeper).json["token"])
    assert keeping.post(f"/v1/jobs/{theirs.ids['job']}/cancel").status_code == 200
    shown: Any = admin.get(f"/v1/jobs/{job['id']}").json
    assert shown["submitted_by"] == "token ci0"
    shown = admin.get(f"/v1/jobs/{theirs.ids['job']}").json
    assert shown["submitted_by"] == "owner"

"""The audit log: a line for every change, in the change's own transaction; whose it is, and what it does not hold."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.people_support import PASSWORD, browser, enter
from integration.api.support import ADMIN, WORKER, is_problem, push, sign_on_body, tiny_model, with_token
from sqlalchemy import update
from sqlalchemy.exc import SQLAlchemyError

from api.app import all_routes, create_app, door
from api.auth import Scope
from api.settings import ServeSettings
from scheduler import audit, jobs, tokens
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import AuditRow
from scheduler.retention import run


@pytest.fixture
def app(farm: Farm) -> Iterator[Flask]:
    """On SQLite and on PostgreSQL."""
    made = create_app(
        farm.settings, farm, ServeSettings(sign_in_limit="100000/minute", sign_in_name_limit="10000/minute")
    )
    for role in ("submitter", "admin"):
        enter(farm, role, role, password=PASSWORD)
    yield made
    door(made).tailer.close()


def lines(client: FlaskClient, **query: Any) -> Any:
    answer = client.get("/v1/audit", query_string=query)
    assert answer.status_code == 200, answer.text
    return answer.json["items"]


def test_who_did_what_on_what_from_where_and_with_what_outcome(app: Flask) -> None:
    ana, admin = browser(app, "submitter"), browser(app, "admin")
    model = push(ana, tiny_model())["id"]
    job: Any = ana.post(
        "/v1/jobs",
        json={"model": model, "targets": ["openvino:fp32"], "name": "nightly"},
        headers={"X-Request-Id": "the-request"},
        environ_overrides={"REMOTE_ADDR": "192.0.2.4"},
    ).json
    admin.post(f"/v1/jobs/{job['id']}/cancel")
    is_problem(admin.post("/v1/jobs/nothing/cancel"), 404)
    found = lines(admin)
    assert [(one["who"], one["action"], one["outcome"]) for one in found] == [
        ("admin", "jobs_cancel", "request.not_found"),
        ("admin", "jobs_cancel", "done"),
        ("submitter", "jobs_submit", "done"),
        ("submitter", "models_create", "done"),
    ]
    submitted = next(one for one in found if one["action"] == "jobs_submit")
    assert (submitted["kind"], submitted["project"], submitted["peer"]) == ("person", "default", "192.0.2.4")
    assert submitted["request_id"] == "the-request"
    assert submitted["on"] == f"job {job['id']} (nightly)"
    assert found[1]["on"] == f"/v1/jobs/{job['id']}/cancel"


def test_a_refusal_for_want_of_a_role_is_a_line(app: Flask) -> None:
    ana, admin = browser(app, "submitter"), browser(app, "admin")
    is_problem(ana.post("/v1/tokens", json={"name": "x", "scopes": ["read"]}), 403)
    (line,) = lines(admin, who="submitter")
    assert (line["action"], line["outcome"]) == ("tokens_create", "request.forbidden")


def test_attempts_to_sign_in_are_lines_of_the_farms_own(app: Flask) -> None:
    operator = with_token(app, ADMIN)
    client = app.test_client()
    for login, password in (("admin", "wrong wrong wrong"), ("my secret password", "x"), ("admin", PASSWORD)):
        client.post("/sign-in", data={"login": login, "password": password})
    found = lines(operator, everywhere="true", action="page_sign_in_enter")
    assert [(one["who"], one["kind"], one["outcome"], one["project"]) for one in found] == [
        ("admin", "person", "done", "default"),
        ("nobody", "nobody", "request.sign_in_failed", None),
        ("admin", "nobody", "request.sign_in_failed", None),
    ]
    assert "my secret password" not in str(lines(operator, everywhere="true"))
    assert lines(browser(app, "admin"), action="page_sign_in_enter") == [found[0]]


def test_no_line_holds_a_secret(app: Flask) -> None:
    operator = with_token(app, ADMIN)
    made: Any = operator.post("/v1/tokens", json={"name": "ci", "scopes": ["read"]}).json
    operator.post("/v1/persons", json={"login": "bo", "password": "words of no other"})
    operator.patch("/v1/persons/bo", json={"password": "words of no other now"})
    found = str(lines(operator, everywhere="true"))
    assert made["token"] not in found
    assert "words of no other" not in found
    assert f"token {made['id']} (ci): read" in found
    assert "person bo: password" in found


def test_filters_pages_and_whose_log_it_is(app: Flask, farm: Farm) -> None:
    operator, admin = with_token(app, ADMIN), browser(app, "admin")
    operator.post("/v1/projects", json={"name": "vision"})
    operator.put("/v1/members/submitter?project=vision", json={"role": "admin"})
    for number in range(5):
        operator.post("/v1/tokens", json={"name": f"t{number}", "scopes": ["read"]})
    first = operator.get("/v1/audit?limit=2&action=tokens_create").json
    second = operator.get(f"/v1/audit?limit=2&action=tokens_create&after={first['next']}").json
    third = operator.get(f"/v1/audit?limit=2&action=tokens_create&after={second['next']}").json
    assert [len(page["items"]) for page in (first, second, third)] == [2, 2, 1]
    assert third["next"] is None
    assert [one["on"].split("(")[1][:2] for page in (first, second, third) for one in page["items"]] == [
        "t4", "t3", "t2", "t1", "t0",
    ]  # fmt: skip
    soon, ago = (datetime.now(UTC) + timedelta(hours=n) for n in (1, -1))
    assert lines(admin, since=soon.isoformat()) == []
    assert lines(admin, until=ago.isoformat()) == []
    assert len(lines(admin, since=ago.isoformat(), until=soon.isoformat())) == 5
    mine = browser(app, "submitter")
    mine.put("/v1/me/project", json={"project": "vision"})
    assert {one["action"] for one in lines(mine)} == {"projects_create", "members_put", "me_switch"}
    is_problem(admin.get("/v1/audit?everywhere=true"), 403)
    is_problem(admin.get("/v1/audit?after=x"), 422)
    is_problem(admin.get("/v1/audit?since=yesterday"), 422)
    is_problem(admin.get("/v1/audit", query_string={"since": "0001-01-01T00:00:00+09:00"}), 422)


def test_a_line_stands_and_falls_with_its_change(app: Flask, farm: Farm, monkeypatch: pytest.MonkeyPatch) -> None:
    client = with_token(app, ADMIN)
    model = push(client, tiny_model())["id"]
    before = len(lines(client))
    entered = audit.add_to

    def breaks(session: Any) -> None:
        entered(session)
        session.flush()
        raise SQLAlchemyError("the disk is gone")

    monkeypatch.setattr(audit, "add_to", breaks)
    answer = client.post("/v1/jobs", json={"model": model, "targets": ["openvino:fp32"]})
    assert answer.status_code == 500
    monkeypatch.undo()
    with farm.read() as session:
        assert jobs.list_(session, tokens.loopback_principal(session)).items == []
    assert len(lines(client)) == before


def test_what_workers_say_and_what_is_only_read_is_not_in_it(app: Flask) -> None:
    operator, worker = with_token(app, ADMIN), with_token(app, WORKER)
    worker.post("/v1/work/sign-on", json=sign_on_body())
    operator.get("/v1/jobs")
    model = push(operator, tiny_model())["id"]
    before = lines(operator, everywhere="true")
    operator.post("/v1/resolve", json={"model": model, "host": {}})
    assert lines(operator, everywhere="true") == before
    assert app.test_client().post("/v1/jobs", json={}).status_code == 401
    assert lines(operator, everywhere="true") == before


def test_every_unsafe_route_that_is_not_a_workers_is_entered() -> None:
    unsafe = [route for route in all_routes() if route.method != "GET"]
    assert {route.rule for route in unsafe if not route.audited} == {
        route.rule for route in unsafe if route.scope in {Scope.WORK, Scope.SIGNED}
    }
    assert {route.rule for route in unsafe if not route.changes} == {"/v1/resolve"}


def test_lines_expire_and_nothing_else_removes_them(app: Flask, farm: Farm) -> None:
    operator = with_token(app, ADMIN)
    operator.post("/v1/tokens", json={"name": "old", "scopes": ["read"]})
    with farm.write() as session:
        old = now(session) - timedelta(days=farm.settings.keep_audit_days + 1)
        session.execute(update(AuditRow).values(time=old))
    operator.post("/v1/tokens", json={"name": "new", "scopes": ["read"]})
    assert run.run(farm, dry_run=True).audit == 1
    assert len(lines(operator, action="tokens_create")) == 2
    assert run.run(farm).audit == 1
    (line,) = lines(operator, action="tokens_create")
    assert "(new)" in line["on"]

"""Projects over REST: who may make and change them, what their tokens can do, and what a full quota answers."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import is_problem, push, sign_on_body, tiny_model, with_token


def token_of(operator: FlaskClient, project: str, *scopes: str) -> str:
    made: Any = operator.post("/v1/tokens", json={"name": "t", "scopes": list(scopes), "project": project}).json
    return str(made["token"])


def test_a_project_is_made_changed_and_listed(admin: FlaskClient) -> None:
    made = admin.post("/v1/projects", json={"name": "vision", "weight": 2, "most_waiting": 5})
    assert made.status_code == 201, made.text
    changed: Any = admin.patch("/v1/projects/vision", json={"most_running": 3}).json
    assert (changed["weight"], changed["most_running"], changed["most_waiting"]) == (2.0, 3, 5)
    back: Any = admin.patch("/v1/projects/vision", json={"most_running": None}).json
    assert back["most_running"] is None
    listed: Any = admin.get("/v1/projects").json
    assert [item["name"] for item in listed["items"]] == ["default", "vision"]


def test_wrong_input_is_refused(admin: FlaskClient) -> None:
    assert admin.post("/v1/projects", json={"name": "vision"}).status_code == 201
    is_problem(admin.post("/v1/projects", json={"name": "vision"}), 409, "request.conflict")
    for body in ({"name": "a b"}, {"name": "x", "weight": 0}, {"name": "x", "most_running": 0}, {"name": "x", "y": 1}):
        is_problem(admin.post("/v1/projects", json=body), 422, "request.invalid")
    is_problem(admin.patch("/v1/projects/nobody", json={"weight": 2}), 404, "request.not_found")
    is_problem(
        admin.post("/v1/tokens", json={"name": "t", "scopes": ["read"], "project": "x"}), 404, "request.not_found"
    )


def test_a_projects_admin_is_no_operator(app: Flask, admin: FlaskClient) -> None:
    admin.post("/v1/projects", json={"name": "vision"})
    theirs = with_token(app, token_of(admin, "vision", "admin"))
    is_problem(theirs.get("/v1/projects"), 403, "request.forbidden")
    is_problem(theirs.patch("/v1/projects/vision", json={"weight": 9}), 403, "request.forbidden")
    for scopes in (["operate"], ["work"]):
        is_problem(theirs.post("/v1/tokens", json={"name": "t", "scopes": scopes}), 403, "request.forbidden")
    elsewhere = {"name": "t", "scopes": ["read"], "project": "default"}
    is_problem(theirs.post("/v1/tokens", json=elsewhere), 403, "request.forbidden")
    assert theirs.post("/v1/tokens", json={"name": "t", "scopes": ["read"], "project": "vision"}).status_code == 201


def test_projects_do_not_see_each_other(app: Flask, admin: FlaskClient) -> None:
    admin.post("/v1/projects", json={"name": "vision"})
    theirs = with_token(app, token_of(admin, "vision", "submit", "read"))
    model = push(admin, tiny_model())["id"]
    is_problem(theirs.get(f"/v1/models/{model}"), 404, "request.not_found")
    is_problem(theirs.put(f"/v1/models/{model}/shared"), 404, "request.not_found")
    assert push(theirs, tiny_model())["id"] == model
    shared: Any = theirs.put(f"/v1/models/{model}/shared").json
    assert shared["shared"]
    mine: Any = admin.get(f"/v1/models/{model}").json
    assert not mine["shared"]
    back: Any = theirs.delete(f"/v1/models/{model}/shared").json
    assert not back["shared"]


def test_a_full_line_answers_429_with_the_number(app: Flask, admin: FlaskClient, worker: FlaskClient) -> None:
    worker.post("/v1/work/sign-on", json=sign_on_body())
    admin.post("/v1/projects", json={"name": "vision", "most_waiting": 1})
    theirs = with_token(app, token_of(admin, "vision", "submit", "read"))
    model = push(theirs, tiny_model())["id"]
    asked = {"model": model, "targets": ["onnxruntime:fp32"]}
    assert theirs.post("/v1/jobs", json={**asked, "seed": 1}).status_code == 201
    refused = theirs.post("/v1/jobs", json={**asked, "seed": 2})
    is_problem(refused, 429, "request.quota_exceeded")
    problem: Any = refused.json
    assert problem["where"] == {"waiting": 1, "asked": 1, "most": 1}
    listed: Any = theirs.get("/v1/jobs").json
    assert len(listed["items"]) == 1

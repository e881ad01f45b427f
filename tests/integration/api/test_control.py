"""The control routes over a real farm: what they take, what they answer, who may call them."""

from __future__ import annotations

from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import is_problem, push, sign_on_body, tiny_model, with_token

from enginehouse.views import MaintenanceView, PoolView, WorkerView
from scheduler import events
from scheduler.farm import Farm

_TARGET = "onnxruntime:fp32"


def sign_on(worker: FlaskClient) -> dict[str, Any]:
    answer = worker.post("/v1/work/sign-on", json=sign_on_body())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def submit(admin: FlaskClient, *targets: str) -> dict[str, Any]:
    model = push(admin, tiny_model())["id"]
    answer = admin.post("/v1/jobs", json={"model": model, "targets": list(targets or (_TARGET,))})
    assert answer.status_code == 201, answer.text
    found: dict[str, Any] = answer.json
    return found


def test_a_worker_is_drained_paused_and_resumed(admin: FlaskClient, worker: FlaskClient) -> None:
    signed = sign_on(worker)
    assert signed["mode"] == "open"
    for name in ("hands", signed["worker"]):
        paused = admin.post(f"/v1/workers/{name}/pause", json={"reason": "new disks"})
        assert WorkerView.model_validate(paused.json).mode_reason == "new disks"
        assert admin.get("/v1/workers").json["items"][0]["mode"] == "paused"
        assert admin.post(f"/v1/workers/{name}/resume").json["mode"] == "open"
    leaving = admin.post("/v1/workers/hands/drain", json={"leave": True})
    assert leaving.json["mode"] == "leaving"
    body = {"worker": signed["worker"], "boot_id": "boot-0001", "held": []}
    beat = worker.post("/v1/work/heartbeat", json=body).json
    assert (beat["mode"], beat["leave"]) == ("leaving", True)
    assert admin.post("/v1/workers/hands/drain", json={}).json["mode"] == "drained"
    is_problem(admin.post("/v1/workers/feet/drain", json={}), 404, "request.not_found")
    is_problem(admin.post("/v1/workers/hands/pause", json={"reason": "x" * 201}), 422, "request.invalid")
    is_problem(admin.post("/v1/workers/hands/pause", json={"why": "x"}), 422, "request.invalid")


def test_a_pool_is_paused_and_its_name_stands_in_the_reason(admin: FlaskClient, worker: FlaskClient) -> None:
    pool = sign_on(worker)["pool"]
    paused = admin.post(f"/v1/pools/{pool}/pause", json={"reason": "a new driver"})
    assert PoolView.model_validate(paused.json).mode == "paused"
    build = submit(admin)["builds"][0]
    assert build["reason"] == f"pool {pool} is paused: a new driver"
    (listed,) = admin.get("/v1/pools").json["items"]
    assert (listed["name"], listed["mode_reason"], listed["waiting"]) == (pool, "a new driver", 1)
    assert admin.post(f"/v1/pools/{pool}/resume").json["mode"] == "open"
    is_problem(admin.post("/v1/pools/nowhere/pause", json={}), 404, "request.not_found")


def test_maintenance_is_switched_on_and_off(farm: Farm, admin: FlaskClient, worker: FlaskClient) -> None:
    sign_on(worker)
    assert admin.get("/v1/maintenance").json == {"on": False, "reason": "", "by": "", "since": None}
    on = MaintenanceView.model_validate(
        admin.put("/v1/maintenance", json={"on": True, "reason": "the store moves"}).json
    )
    assert (on.on, on.reason, on.by) == (True, "the store moves", "admin (settings)")
    assert on.since is not None
    assert submit(admin)["builds"][0]["reason"] == "the farm is in maintenance: the store moves"
    assert not admin.put("/v1/maintenance", json={"on": False}).json["on"]
    is_problem(admin.put("/v1/maintenance", json={"reason": "x"}), 422, "request.invalid")
    with farm.read() as session:
        told = [event.data for event in events.after(session, 0) if event.kind == "farm.maintenance"]
    assert [(data["on"], data["by"]) for data in told] == [(True, "admin (settings)"), (False, "admin (settings)")]


def test_a_build_is_retried_a_job_cloned_and_its_priority_changed(admin: FlaskClient) -> None:
    job = submit(admin)
    build = job["builds"][0]["id"]
    is_problem(admin.post(f"/v1/builds/{build}/retry", json={}), 409, "request.conflict")
    high = admin.patch(f"/v1/jobs/{job['id']}", json={"priority": "high"})
    assert high.json["priority"] == "high"
    is_problem(admin.patch(f"/v1/jobs/{job['id']}", json={"priority": "urgent"}), 422, "request.invalid")
    assert admin.post(f"/v1/jobs/{job['id']}/cancel").json["state"] == "cancelled"
    is_problem(admin.patch(f"/v1/jobs/{job['id']}", json={"priority": "low"}), 409, "request.conflict")
    key = {"Idempotency-Key": "once"}
    first = admin.post(f"/v1/builds/{build}/retry", json={"elsewhere": True}, headers=key)
    again = admin.post(f"/v1/builds/{build}/retry", json={"elsewhere": True}, headers=key)
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json["id"] == again.json["id"] != job["id"]
    assert first.headers["Location"] == f"/v1/jobs/{first.json['id']}"
    assert build in first.json["builds"][0]["note"]
    whole = admin.post(f"/v1/jobs/{job['id']}/retry", json={})
    assert whole.status_code == 201
    cloned = admin.post(f"/v1/jobs/{job['id']}/clone", json={"name": "again", "limits": {"time_s": 9}})
    assert cloned.status_code == 201, cloned.text
    assert (cloned.json["name"], cloned.json["limits"]["time_s"], cloned.json["priority"]) == ("again", 9, "high")
    assert job["id"] in cloned.json["builds"][0]["note"]
    is_problem(admin.post(f"/v1/jobs/{job['id']}/clone", json={"targets": ["what"]}), 422)
    is_problem(admin.post(f"/v1/jobs/{job['id']}/clone", json={"colour": "red"}), 422, "request.invalid")
    is_problem(admin.post("/v1/jobs/job_none/clone", json={}), 404, "request.not_found")


def test_nothing_is_in_quarantine_that_was_not_put_there(admin: FlaskClient) -> None:
    assert admin.get("/v1/quarantine").json == {"items": [], "next": None}
    build = submit(admin)["builds"][0]["id"]
    is_problem(admin.post(f"/v1/builds/{build}/release"), 404, "request.not_found")


def test_a_submitter_may_retry_and_not_operate(app: Flask, admin: FlaskClient, worker: FlaskClient) -> None:
    pool = sign_on(worker)["pool"]
    made = admin.post("/v1/tokens", json={"name": "user", "scopes": ["read", "submit"]}).json
    user = with_token(app, made["token"])
    job = submit(user)
    assert user.post(f"/v1/jobs/{job['id']}/cancel").status_code == 200
    assert user.post(f"/v1/jobs/{job['id']}/retry", json={}).status_code == 201
    assert user.get("/v1/pools").status_code == 200
    for answer in (
        user.post("/v1/workers/hands/pause", json={}),
        user.post(f"/v1/pools/{pool}/pause", json={}),
        user.put("/v1/maintenance", json={"on": True}),
        user.get("/v1/quarantine"),
        user.post(f"/v1/builds/{job['builds'][0]['id']}/release"),
    ):
        is_problem(answer, 403, "request.forbidden")

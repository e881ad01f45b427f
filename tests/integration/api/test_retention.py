"""Pins, deletion and collection over HTTP."""

from __future__ import annotations

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import is_problem, push, tiny_model, with_token
from integration.api.test_resources import claim, finish, sign_on, submit
from integration.scheduler.clock import pass_time

from enginehouse.collection import Collection
from enginehouse.views import ArtifactView
from scheduler.farm import Farm


@pytest.fixture
def artifact(farm: Farm, admin: FlaskClient, worker: FlaskClient) -> str:
    """The artifact of a build that succeeded."""
    model = push(admin, tiny_model())["id"]
    build = submit(admin, model).json["builds"][0]["id"]
    done = finish(worker, build, claim(farm, worker, sign_on(worker), build))
    assert done.status_code == 200, done.text
    found: str = done.json["artifact"]
    return found


def test_a_pin_over_http(admin: FlaskClient, worker: FlaskClient, artifact: str) -> None:
    url = f"/v1/artifacts/{artifact}/pin"
    pinned = ArtifactView.model_validate(admin.put(url, json={"note": "keep"}).json)
    assert (pinned.pinned, pinned.pin_note) == (True, "keep")
    assert admin.get(f"/v1/artifacts/{artifact}").json["pinned"]
    assert admin.get("/v1/artifacts").json["items"][0]["pinned"]
    assert not admin.delete(url).json["pinned"]
    assert not admin.delete(url).json["pinned"]
    is_problem(admin.put(url, json={"note": "x" * 201}), 422)
    is_problem(admin.put("/v1/artifacts/none/pin", json={}), 404)
    is_problem(worker.put(url, json={}), 403)


def test_who_may_only_read_pins_and_deletes_nothing(app: Flask, admin: FlaskClient, artifact: str) -> None:
    made = admin.post("/v1/tokens", json={"name": "r", "scopes": ["read"]}).json["token"]
    reader = with_token(app, made)
    is_problem(reader.put(f"/v1/artifacts/{artifact}/pin", json={}), 403)
    is_problem(reader.delete(f"/v1/models/{'0' * 64}"), 403)
    is_problem(reader.delete("/v1/datasets/d@1"), 403)
    made = admin.post("/v1/tokens", json={"name": "s", "scopes": ["read", "submit"]}).json["token"]
    is_problem(with_token(app, made).post("/v1/gc"), 403)


def test_a_model_in_flight_is_not_deleted(admin: FlaskClient, worker: FlaskClient) -> None:
    sign_on(worker)
    model = push(admin, tiny_model())["id"]
    job = submit(admin, model).json
    problem = is_problem(admin.delete(f"/v1/models/{model}"), 409)
    assert problem["where"]["build"] == job["builds"][0]["id"]
    admin.post(f"/v1/jobs/{job['id']}/cancel")
    assert admin.delete(f"/v1/models/{model}").status_code == 204
    is_problem(admin.get(f"/v1/models/{model}"), 404)
    assert admin.get(f"/v1/jobs/{job['id']}").json["model"] == model
    is_problem(admin.delete("/v1/datasets/d"), 422)
    is_problem(admin.delete("/v1/datasets/d@1"), 404)


def test_a_collection_told_done_and_seen(farm: Farm, admin: FlaskClient, artifact: str) -> None:
    farm.settings.keep_days = 1
    pass_time(farm, days=2)
    told = Collection.model_validate(admin.post("/v1/gc?dry_run=1").json)
    assert (told.dry_run, told.artifacts.count, told.artifacts.first[0].name) == (True, 1, artifact)
    assert admin.get(f"/v1/artifacts/{artifact}/files/model.onnx").status_code == 200
    pass_time(farm, days=2)
    done = Collection.model_validate(admin.post("/v1/gc").json)
    assert (done.dry_run, done.artifacts.count, done.unneeded.bytes) == (False, 1, len(b"an engine"))
    problem = is_problem(admin.get(f"/v1/artifacts/{artifact}/files/model.onnx"), 410)
    assert (problem["code"], "pin" in problem["advice"]) == ("artifact.evicted", True)
    assert admin.get(f"/v1/artifacts/{artifact}/files/manifest.json").status_code == 200
    assert admin.get(f"/v1/artifacts/{artifact}").json["evicted"]
    is_problem(admin.put(f"/v1/artifacts/{artifact}/pin", json={}), 410)
    is_problem(admin.post("/v1/gc?dry_run=perhaps"), 422)

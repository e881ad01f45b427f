"""Persons for tests: entered by the farm's own services, and signed in without the time that a password takes."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import push, tiny_model
from integration.api.test_resources import claim, finish, sign_on
from sqlalchemy import select

from api.app import door
from enginehouse.people import PersonRequest, Role
from scheduler import members, persons, sessions, tokens
from scheduler.farm import Farm
from scheduler.registry.tables import Person

PASSWORD = "four plain words here"


def enter(farm: Farm, login: str, role: str | None = None, project: str = "default", **more: Any) -> None:
    """A person, and what they are in a project."""
    with farm.read() as session:
        known = session.scalar(select(Person.id).where(Person.login == login)) is not None
    if not known:
        persons.create(farm, PersonRequest(login=login, **more))
    if role is not None:
        with farm.write() as session:
            members.put(session, tokens.loopback_principal(session), login, Role(role), project)


def window(app: Flask) -> FlaskClient:
    """A browser in which nobody is signed in."""
    client = app.test_client()
    client.environ_base["HTTP_ACCEPT"] = "text/html,application/xhtml+xml,*/*;q=0.8"
    return client


def browser(app: Flask, login: str) -> FlaskClient:
    """A browser in which the person is signed in."""
    farm, cookie = door(app).farm, door(app).gate.cookie
    with farm.write() as session:
        secret = sessions.begin(session, farm.settings, members.by_login(session, login), "127.0.0.1", "a browser")
    client = window(app)
    client.set_cookie("enginehouse", cookie._signer.sign(secret).decode())
    return client


@dataclass
class Things:
    """Ids of one thing of each kind that somebody submitted, by the name that addresses have for them."""

    ids: dict[str, str] = field(default_factory=dict)


def push_samples(client: FlaskClient, value: float) -> str:
    """A dataset of its own for each value: its id."""
    packed = io.BytesIO()
    np.savez(packed, x=np.full((3, 1, 4), value, dtype=np.float32))
    name = f"d{int(value)}"
    answer = client.post(f"/v1/datasets?name={name}", data=packed.getvalue(), content_type="application/octet-stream")
    assert answer.status_code == 201, answer.text
    return f"{name}@1"


def submit_all(farm: Farm, client: FlaskClient, worker: FlaskClient, weight: float) -> Things:
    """A model, a dataset, a job with a build, a batch, an artifact, and an upload that is open, all by this client."""
    model = push(client, tiny_model(weight))["id"]
    dataset = push_samples(client, weight)
    asked = {"model": model, "targets": ["onnxruntime:fp32"]}
    done: Any = client.post("/v1/jobs", json=asked)
    assert done.status_code == 201, done.text
    build = done.json["builds"][0]["id"]
    finished = finish(worker, build, claim(farm, worker, sign_on(worker), build), f"an engine {weight}".encode())
    assert finished.status_code == 200, finished.text
    job: Any = client.post("/v1/jobs", json={**asked, "seed": 7}).json
    batch: Any = client.post("/v1/batches", json={"jobs": [{**asked, "seed": 8}]}).json
    upload: Any = client.post("/v1/uploads", json={"sha256": f"{int(weight):064x}", "size": 10}).json
    return Things(
        {
            "model": model,
            "dataset": dataset,
            "job": job["id"],
            "build": job["builds"][0]["id"],
            "batch": batch["id"],
            "built": build,
            "ended": done.json["id"],
            "artifact": finished.json["artifact"],
            "upload": upload["id"],
        }
    )

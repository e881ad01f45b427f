"""The nouns of v1 over a real farm: models, jobs, builds, uploads, artifacts, and the worker's side of it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import ADMIN, NO_BROKER, is_problem, push, sha, sign_on_body, tiny_model, with_token
from sqlalchemy import text

from api.app import create_app
from enginehouse.bundle import BundleFile, Manifest
from enginehouse.report import Report
from enginehouse.targets import parse_target
from enginehouse.views import ArtifactView, BuildView, JobView, ModelView, WorkerView
from scheduler.dispatch import tick
from scheduler.farm import Farm

_TARGET = "onnxruntime:fp32"


def submit(client: FlaskClient, model: str, *targets: str, **headers: str) -> Any:
    return client.post("/v1/jobs", json={"model": model, "targets": list(targets or (_TARGET,))}, headers=headers)


def sign_on(worker: FlaskClient) -> dict[str, Any]:
    answer = worker.post("/v1/work/sign-on", json=sign_on_body())
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def claim(
    farm: Farm, worker: FlaskClient, signed: dict[str, Any], build: str, boot: str = "boot-0001"
) -> dict[str, Any]:
    """The dispatcher's round, then what the worker does with its message."""
    tick(farm)
    body = {"worker": signed["worker"], "boot_id": boot, "attempt": 1}
    answer = worker.post(f"/v1/work/builds/{build}/claim", json=body)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json
    return found


def finish(worker: FlaskClient, build: str, given: dict[str, Any], content: bytes = b"an engine") -> Any:
    """Publish one file and complete."""
    digest = sha(content)
    files = [{"sha256": digest, "size": len(content), "parts": [digest]}]
    slots = worker.post(f"/v1/work/builds/{build}/publish", json={"fence": given["fence"], "files": files}).json[
        "slots"
    ]
    uploads = [slot["upload"] for slot in slots if not slot["have"]]
    for slot in slots:
        for part in slot["parts"]:
            assert worker.application.test_client().put(part["url"], data=content).status_code == 200
    manifest = Manifest(
        model=given["recipe"]["model"],
        target=parse_target(_TARGET),
        entry="model.onnx",
        runtime={"onnxruntime": "1.31.1"},
        hardware_class="cpu-test",
        files=[BundleFile(path="model.onnx", sha256=digest, size=len(content), role="model")],
    )
    report = Report(model=given["recipe"]["model"], target=_TARGET, size=len(content))
    return worker.post(
        f"/v1/work/builds/{build}/complete",
        json={
            "fence": given["fence"],
            "uploads": uploads,
            "manifest": manifest.model_dump(mode="json"),
            "report": report.model_dump(mode="json"),
        },
    )


def test_a_model_is_pushed_listed_shown_and_read_back(admin: FlaskClient) -> None:
    data = tiny_model()
    made = ModelView.model_validate(push(admin, data, "first"))
    other = push(admin, tiny_model(3.0), "second")
    assert made.id == sha(data)
    assert [item["name"] for item in admin.get("/v1/models").json["items"]] == ["second", "first"]
    page = admin.get("/v1/models?limit=1").json
    assert [item["id"] for item in page["items"]] == [other["id"]]
    assert [item["id"] for item in admin.get(f"/v1/models?limit=1&after={page['next']}").json["items"]] == [made.id]
    assert admin.get(f"/v1/models/{made.id}").json == made.model_dump(mode="json")
    answer = admin.get(f"/v1/models/{made.id}/files/{made.files[0].path}")
    assert answer.data == data
    is_problem(admin.get(f"/v1/models/{made.id}/files/../../etc/passwd"), 404)
    is_problem(admin.get(f"/v1/models/{made.id}/files/%2Fetc%2Fpasswd"), 404)


def test_an_upload_in_parts_is_resumed_and_becomes_a_model(app: Flask, admin: FlaskClient) -> None:
    data = tiny_model(5.0)
    wanted = {"sha256": sha(data), "size": len(data)}
    opened = admin.post("/v1/uploads", json=wanted)
    assert opened.status_code == 201
    upload = opened.json["id"]
    is_problem(admin.post(f"/v1/uploads/{upload}/complete"), 409, "upload.incomplete")
    asked = admin.post(f"/v1/uploads/{upload}/parts", json={"parts": [{"number": 1, "sha256": sha(data)}]})
    url = asked.json["parts"][0]["url"]
    stranger = app.test_client()
    is_problem(stranger.put(url, data=data[:-1]), 422, "upload.sha256_mismatch")
    is_problem(stranger.put(url.replace("signature=", "signature=0"), data=data), 403)
    is_problem(stranger.put(url.replace("parts/1", "parts/2"), data=data), 403)
    assert admin.post("/v1/uploads", json=wanted).json["id"] == upload
    assert admin.get(f"/v1/uploads/{upload}").json["parts"] == []
    assert stranger.put(url, data=data, content_type="text/plain").status_code == 200
    assert [part["number"] for part in admin.get(f"/v1/uploads/{upload}").json["parts"]] == [1]
    assert admin.post(f"/v1/uploads/{upload}/complete").json["state"] == "complete"
    assert admin.post("/v1/uploads", json=wanted).json["state"] == "complete"
    made = admin.post("/v1/models", json={"name": "parts", "files": [{"path": "m.onnx", "sha256": sha(data)}]})
    assert made.status_code == 201
    is_problem(admin.delete(f"/v1/uploads/{upload}"), 409, "request.conflict")


def test_an_upload_is_forgotten(admin: FlaskClient) -> None:
    upload = admin.post("/v1/uploads", json={"sha256": "1" * 64, "size": 10}).json["id"]
    assert admin.delete(f"/v1/uploads/{upload}").status_code == 204
    is_problem(admin.get(f"/v1/uploads/{upload}"), 404)


def test_a_job_waits_with_its_reason_and_is_cancelled(admin: FlaskClient) -> None:
    model = push(admin, tiny_model())["id"]
    answer = submit(admin, model, _TARGET, "openvino:fp16")
    assert answer.status_code == 201
    job = JobView.model_validate(answer.json)
    assert answer.headers["Location"] == f"/v1/jobs/{job.id}"
    assert all(build.state == "waiting" and build.reason for build in job.builds)
    assert BuildView.model_validate(admin.get(f"/v1/builds/{job.builds[0].id}").json).job == job.id
    assert [item["id"] for item in admin.get("/v1/jobs?state=waiting").json["items"]] == [job.id]
    assert admin.get("/v1/jobs?state=succeeded").json["items"] == []
    assert admin.get(f"/v1/jobs?model={'0' * 64}").json["items"] == []
    one = admin.post(f"/v1/builds/{job.builds[0].id}/cancel")
    assert one.json["state"] == "cancelled"
    assert admin.post(f"/v1/jobs/{job.id}/cancel").json["state"] == "cancelled"


def test_the_same_idempotency_key_is_the_same_job(admin: FlaskClient) -> None:
    model = push(admin, tiny_model())["id"]
    first = submit(admin, model, **{"Idempotency-Key": "once"})
    again = submit(admin, model, **{"Idempotency-Key": "once"})
    assert (first.status_code, again.status_code) == (201, 200)
    assert first.json["id"] == again.json["id"]
    assert len(admin.get("/v1/jobs").json["items"]) == 1
    is_problem(submit(admin, model, "openvino:fp16", **{"Idempotency-Key": "once"}), 409, "request.conflict")


def test_a_build_goes_all_the_way(app: Flask, farm: Farm, admin: FlaskClient, worker: FlaskClient) -> None:
    data = tiny_model()
    model = push(admin, data)["id"]
    signed = sign_on(worker)
    assert WorkerView.model_validate(admin.get("/v1/workers").json["items"][0]).state == "online"
    answer = admin.post(
        "/v1/jobs", json={"model": model, "targets": [_TARGET]}, headers={"X-Request-Id": "from-the-client"}
    )
    build = answer.json["builds"][0]["id"]
    given = claim(farm, worker, signed, build)
    assert given["request_id"] == "from-the-client"
    url = given["model_files"][0]["url"]
    assert worker.get(url).data == data
    is_problem(with_token(app, "wrong").get(url), 401)
    is_problem(worker.get(url.replace(f"fence={given['fence']}", "fence=77")), 409, "farm.attempt_stale")

    held = {"build": build, "fence": given["fence"]}
    beat = worker.post("/v1/work/heartbeat", json={"worker": signed["worker"], "boot_id": "boot-0001", "held": [held]})
    assert beat.json["known"]
    assert beat.json["cancel"] == beat.json["drop"] == []
    assert (
        worker.post(f"/v1/work/builds/{build}/phase", json={"fence": given["fence"], "phase": "compile"}).status_code
        == 204
    )
    lines = [{"seq": n, "time": datetime.now(UTC).isoformat(), "text": f"line {n} <b>"} for n in (1, 2, 3)]
    for _ in range(2):  # delivered twice
        assert (
            worker.post(f"/v1/work/builds/{build}/log", json={"fence": given["fence"], "lines": lines}).status_code
            == 204
        )
    log = admin.get(f"/v1/builds/{build}/log?after=1").json
    assert [line["text"] for line in log["lines"]] == ["line 2 <b>", "line 3 <b>"]
    assert not log["ended"]

    stale = worker.post(f"/v1/work/builds/{build}/phase", json={"fence": given["fence"] + 1, "phase": "verify"})
    is_problem(stale, 409, "farm.attempt_stale")
    done = finish(worker, build, given)
    assert done.status_code == 200, done.text
    assert done.json["state"] == "succeeded"
    assert admin.get(f"/v1/builds/{build}/log").json["ended"]

    artifact = ArtifactView.model_validate(admin.get(f"/v1/artifacts/{done.json['artifact']}").json)
    assert [item["id"] for item in admin.get(f"/v1/artifacts?model={model}").json["items"]] == [artifact.id]
    assert admin.get(f"/v1/artifacts/{artifact.id}/files/model.onnx").data == b"an engine"
    manifest = admin.get(f"/v1/artifacts/{artifact.id}/files/manifest.json")
    assert sha(manifest.data) == artifact.id == manifest.headers["X-Content-SHA256"]

    cached = submit(admin, model).json
    assert cached["state"] == "succeeded"
    assert cached["builds"][0]["origin"] == "cache"


def test_a_failure_reaches_the_client(farm: Farm, admin: FlaskClient, worker: FlaskClient) -> None:
    signed = sign_on(worker)
    build = submit(admin, push(admin, tiny_model())["id"]).json["builds"][0]["id"]
    given = claim(farm, worker, signed, build)
    failure = {
        "code": "build.unsupported_operator",
        "title": "The toolchain cannot convert an operator",
        "detail": "operator If",
        "fault": "model",
        "where": {"operator": "If"},
    }
    ended = worker.post(f"/v1/work/builds/{build}/fail", json={"fence": given["fence"], "failure": failure})
    assert ended.json["state"] == "failed"
    assert admin.get(f"/v1/builds/{build}").json["failure"]["where"] == {"operator": "If"}


def test_a_worker_signs_off(admin: FlaskClient, worker: FlaskClient) -> None:
    signed = sign_on(worker)
    answer = worker.post("/v1/work/sign-off", json={"worker": signed["worker"], "boot_id": "boot-0001"})
    assert answer.status_code == 204
    assert answer.data == b""
    assert admin.get("/v1/workers").json["items"] == []


def test_projects_do_not_see_each_other(app: Flask, farm: Farm, admin: FlaskClient) -> None:
    from scheduler.registry.engine import now
    from scheduler.registry.tables import Project
    from scheduler.tokens import Principal, create

    with farm.write() as session:
        session.add(Project(id="other", name="other", created=now(session)))
        session.flush()
        stranger = Principal(None, "other", frozenset({"admin"}), "test")
        _, secret = create(session, stranger, "theirs", ["admin"], None)
    model = push(admin, tiny_model())["id"]
    job = submit(admin, model).json
    other = with_token(app, secret)
    for path in (f"models/{model}", f"jobs/{job['id']}", f"builds/{job['builds'][0]['id']}", f"events?job={job['id']}"):
        is_problem(other.get(f"/v1/{path}"), 404)
    assert other.get("/v1/jobs").json["items"] == []
    is_problem(submit(other, model), 404)
    held = {"name": "taken", "files": [{"path": "m.onnx", "sha256": model}]}
    is_problem(other.post("/v1/models", json=held), 404)


def test_a_dataset_needs_a_name(admin: FlaskClient) -> None:
    answer = admin.post("/v1/datasets", data=b"PK", content_type="application/octet-stream")
    is_problem(answer, 422, "request.invalid")
    is_problem(
        admin.post("/v1/datasets?name=ds", data=b"PK", content_type="application/octet-stream"),
        422,
        "dataset.unreadable",
    )


def test_health_and_readiness(farm: Farm, app: Flask, admin: FlaskClient) -> None:
    stranger = app.test_client()
    assert stranger.get("/healthz").json["ready"] is True
    with farm.write() as session:
        session.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32))"))
    whole = stranger.get("/readyz")
    assert whole.status_code == 200, whole.text
    assert set(whole.json["checks"].values()) == {"ok"}


def test_a_stranger_learns_that_a_part_is_down_and_not_why(lite: Callable[..., Farm]) -> None:
    farm = lite(broker_url=NO_BROKER)
    app = create_app(farm.settings, farm)
    answer = app.test_client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json["checks"]["broker"] == "does not answer"
    assert answer.json["checks"]["store"] == "ok"
    assert "Redis" in with_token(app, ADMIN).get("/readyz").json["checks"]["broker"]

"""Every error is a problem document, whoever raised it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from typing import Any

import pytest
import structlog
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import MIB, is_problem, push, tiny_model, with_token

from api.app import create_app
from scheduler import jobs
from scheduler.farm import Farm

_SHA = "0" * 64


def _job(**more: Any) -> dict[str, Any]:
    return {"model": _SHA, "targets": ["onnxruntime:fp32"], **more}


def test_404_for_an_unknown_address(admin: FlaskClient) -> None:
    for path in ("/nowhere", "/v1/jobs/", "/v1//jobs", "/v1/jobs/a\0b", "/v2/jobs"):
        is_problem(admin.get(path), 404, "request.not_found")


def test_404_for_an_unknown_thing(admin: FlaskClient) -> None:
    for path in ("jobs/x", "builds/x", "builds/x/log", "models/x", "artifacts/x", "datasets/x", "uploads/x"):
        is_problem(admin.get(f"/v1/{path}"), 404, "request.not_found")
    is_problem(admin.post("/v1/jobs", json=_job()), 404)


def test_405_names_what_is_allowed(admin: FlaskClient) -> None:
    answer = admin.put("/v1/jobs")
    is_problem(answer, 405, "request.method_not_allowed")
    assert answer.headers["Allow"] == "GET, HEAD, POST"
    is_problem(admin.options("/v1/jobs"), 405)


@pytest.mark.parametrize(
    "body", [b"", b"{", b"nonsense", b"\xff\xfe", b'{"a": NaN}', b"[" * 100_000, b'"\\ud800"', b"{}{}"]
)
def test_400_for_what_is_not_json(admin: FlaskClient, body: bytes) -> None:
    answer = admin.post("/v1/jobs", data=body, content_type="application/json")
    is_problem(answer, 400, "request.malformed")


def test_413_for_a_json_body_that_is_too_large(lite: Callable[..., Farm]) -> None:
    farm = lite(max_json_bytes=2048, open_loopback=True)
    client = create_app(farm.settings, farm).test_client()
    problem = is_problem(client.post("/v1/jobs", json=_job(name="x" * 4096)), 413, "request.too_large")
    assert problem["where"]["limit"] == 2048


def test_415_for_another_type(admin: FlaskClient) -> None:
    for path, kinds in (
        ("/v1/jobs", ["application/json"]),
        ("/v1/models", ["application/octet-stream", "application/json"]),
    ):
        for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", None):
            detail = is_problem(admin.post(path, data=b"{}", content_type=kind), 415)["detail"]
            assert all(kind in detail for kind in kinds)


def test_422_names_the_places_and_repeats_no_value(admin: FlaskClient) -> None:
    answer = admin.post("/v1/jobs", json=_job(gates={"min_cosine": 7}, limits={"time_s": "my secret"}, wrong=1))
    problem = is_problem(answer, 422, "request.invalid")
    places = {field["place"] for field in problem["where"]["fields"]}
    assert places == {"body.gates.min_cosine", "body.limits.time_s", "body.wrong"}
    assert "my secret" not in answer.text


@pytest.mark.parametrize(
    ("target", "code"),
    [
        ("openvino:fp7", "target.unknown_precision"),
        ("openvino", "target.invalid"),
        ("a:fp32@B!", "target.invalid"),
        ("openvino:fp32@cpu.cores=>8", "target.invalid_constraint"),
    ],
)
def test_422_for_a_target_keeps_the_targets_code(admin: FlaskClient, target: str, code: str) -> None:
    problem = is_problem(admin.post("/v1/jobs", json=_job(targets=[target])), 422, code)
    assert problem["where"]["fields"][0]["place"].startswith("body.targets.0")


@pytest.mark.parametrize("name", ["with\\u0000nul", pytest.param("x" * 300, id="long")])
def test_422_for_text_that_no_column_takes(admin: FlaskClient, name: str) -> None:
    body = json.dumps(_job()).replace("}", f', "name": "{name}"}}')
    is_problem(admin.post("/v1/jobs", data=body, content_type="application/json"), 422, "request.invalid")


@pytest.mark.parametrize(
    "options", ['{"a": 1e999}', '{"a": 99999999999999999999999}', '{"a\\u0000": 1}', '{"a": ["\\u0000"]}']
)
def test_422_for_values_that_no_column_takes(admin: FlaskClient, options: str) -> None:
    target = f'{{"backend": "onnxruntime", "precision": "fp32", "options": {options}}}'
    body = f'{{"model": "{_SHA}", "targets": [{target}]}}'
    is_problem(admin.post("/v1/jobs", data=body, content_type="application/json"), 422, "request.invalid")


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "limit=1000", "state=nothing", "model=short", "unknown=1", "after=%00"]
)
def test_422_for_a_query(admin: FlaskClient, query: str) -> None:
    problem = is_problem(admin.get(f"/v1/jobs?{query}"), 422, "request.invalid")
    assert problem["where"]["fields"][0]["place"].startswith("query.")


def test_422_for_a_header(admin: FlaskClient) -> None:
    answer = admin.post("/v1/jobs", json=_job(), headers={"Idempotency-Key": "with space"})
    assert is_problem(answer, 422)["where"]["fields"][0]["place"] == "header.Idempotency-Key"


def test_500_tells_the_request_id_and_no_internals(
    app: Flask, admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def breaks(*_args: object) -> None:
        raise ValueError("the password is hunter2")

    monkeypatch.setattr(jobs, "list_", breaks)
    for testing in (False, True):
        app.testing = testing
        with structlog.testing.capture_logs() as lines:
            answer = admin.get("/v1/jobs", headers={"X-Request-Id": "trace-me.1"})
        problem = is_problem(answer, 500, "farm.internal")
        assert problem["request_id"] == "trace-me.1"
        assert "hunter2" not in answer.text
        assert any(line["event"] == "unexpected_error" for line in lines)


def test_503_when_the_registry_is_away(farm: Farm, admin: FlaskClient) -> None:
    with farm.write() as session:
        session.connection().exec_driver_sql("DROP TABLE outbox")
        session.connection().exec_driver_sql("ALTER TABLE jobs RENAME TO jobs_hidden")
    answer = admin.get("/v1/jobs")
    assert answer.status_code in {500, 503}
    is_problem(answer, answer.status_code)
    assert "SELECT" not in answer.text


def test_request_ids_are_kept_when_they_are_safe(admin: FlaskClient) -> None:
    assert admin.get("/v1/jobs", headers={"X-Request-Id": "a-b_c.9"}).headers["X-Request-Id"] == "a-b_c.9"
    for unsafe in ("a b", "x" * 101, "<script>", "\xe4"):
        made = admin.get("/v1/jobs", headers={"X-Request-Id": unsafe}).headers["X-Request-Id"]
        assert made != unsafe
        assert len(made) == 32


def test_logs_hold_no_token_and_no_signature(app: Flask, admin: FlaskClient) -> None:
    made = admin.post("/v1/tokens", json={"name": "eyes", "scopes": ["read"]}).json
    with structlog.testing.capture_logs() as lines:
        with_token(app, made["token"]).get("/v1/jobs?limit=3")
        app.test_client().put(f"/v1/uploads/x/parts/1?sha256={_SHA}&expires=1&signature=abc")
    assert [line["event"] for line in lines].count("request") == 2
    assert lines[0]["principal"] == "eyes"
    assert made["token"] not in repr(lines)
    assert "signature=" not in repr(lines)


def test_headers_keep_browsers_in_bounds(admin: FlaskClient) -> None:
    for path in ("/", "/v1/jobs", "/nowhere", "/openapi"):
        headers = admin.get(path).headers
        assert "default-src 'none'" in headers["Content-Security-Policy"]
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Cache-Control"] == "no-store"
        assert "Access-Control-Allow-Origin" not in headers


class TestStreams:
    def test_413_with_and_without_a_declared_length(self, lite: Callable[..., Farm]) -> None:
        farm = lite(max_upload_bytes=2 * MIB, open_loopback=True)
        client = create_app(farm.settings, farm).test_client()
        data = bytes(3 * MIB)
        declared = client.post("/v1/models", data=data, content_type="application/octet-stream")
        is_problem(declared, 413, "request.too_large")
        undeclared = client.post(
            "/v1/models",
            input_stream=io.BytesIO(data),
            content_type="application/octet-stream",
            headers={"Transfer-Encoding": "chunked"},
            environ_overrides={"wsgi.input_terminated": True},
        )
        is_problem(undeclared, 413, "request.too_large")
        assert not list((farm.settings.data_dir / "store").rglob("blob*"))

    def test_400_for_a_body_that_ends_early(self, farm: Farm, admin: FlaskClient) -> None:
        answer = admin.post(
            "/v1/models",
            input_stream=io.BytesIO(b"half"),
            content_type="application/octet-stream",
            environ_overrides={"CONTENT_LENGTH": "8"},
        )
        problem = is_problem(answer, 400, "request.malformed")
        assert problem["where"]["received"] == 4
        store = farm.settings.data_dir / "store"
        assert not [path for path in store.rglob("*") if path.is_file()]

    def test_422_for_another_digest_and_nothing_stored(self, farm: Farm, admin: FlaskClient) -> None:
        answer = admin.post(
            "/v1/models", data=b"bytes", content_type="application/octet-stream", headers={"X-Content-SHA256": _SHA}
        )
        is_problem(answer, 422, "upload.sha256_mismatch")
        store = farm.settings.data_dir / "store"
        assert not [path for path in store.rglob("*") if path.is_file()]

    def test_422_for_random_bytes(self, admin: FlaskClient) -> None:
        answer = admin.post("/v1/models", data=b"\x00random" * 99, content_type="application/octet-stream")
        problem = answer.json
        assert problem["code"].startswith("model.")
        is_problem(answer, 422)

    def test_a_model_twice_is_one_model(self, admin: FlaskClient) -> None:
        data = tiny_model()
        first = admin.post("/v1/models?name=a", data=data, content_type="application/octet-stream")
        again = admin.post("/v1/models?name=a", data=data, content_type="application/octet-stream")
        assert (first.status_code, again.status_code) == (201, 200)
        assert push(admin, data)["id"] == first.json["id"] == again.json["id"]

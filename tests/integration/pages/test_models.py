"""Models, datasets, the graph viewer, workers and the farm without a browser."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import push, sign_on_body, tiny_model, with_token
from integration.pages.reading import Reading, keeps_to_the_policy
from onnx import TensorProto, helper

from scheduler.store.local import LocalStore


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: which registry it is does not matter here."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def reader(admin: FlaskClient, app: Flask) -> FlaskClient:
    made = admin.post("/v1/tokens", json={"name": "reader", "scopes": ["read"]}).json
    assert made is not None
    return with_token(app, made["token"])


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def put_dataset(client: FlaskClient, name: str, data: bytes) -> None:
    answer = client.post(f"/v1/datasets?name={name}", data=data, content_type="application/octet-stream")
    assert answer.status_code == 201, answer.text


def hostile_model() -> bytes:
    """Its names are markup."""
    bad = "<script>alert(1)</script>"
    node = helper.make_node("Relu", [bad], ["y"], name='"><img src=x onerror=alert(1)>')
    graph = helper.make_graph(
        [node],
        bad,
        [helper.make_tensor_value_info(bad, TensorProto.FLOAT, ["<b>n</b>", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10, producer_name=bad)
    return made.SerializeToString()


# --- models ----------------------------------------------------------------------------------


def test_no_model_teaches_the_first_step(admin: FlaskClient, reader: FlaskClient) -> None:
    found = keeps_to_the_policy(admin.get("/models").text)
    assert "enginehouse model push" in found.text
    assert "/submit" in found.addresses
    assert "/submit" not in [one for one in Reading(reader.get("/models").text).addresses if "assets" not in one]


def test_models_are_listed_by_key(admin: FlaskClient) -> None:
    ids = [push(admin, tiny_model(weight), f"m{weight}")["id"] for weight in range(1, 53)]
    first = admin.get("/models")
    links = [one for one in Reading(first.text).addresses if one.startswith("/models/")]
    assert links == [f"/models/{one}" for one in reversed(ids[2:])]
    older = next(one for one in Reading(first.text).addresses if one.startswith("/models?after="))
    rest = Reading(admin.get(older).text).addresses
    assert [one for one in rest if one.startswith("/models/")] == [f"/models/{ids[1]}", f"/models/{ids[0]}"]


def test_a_model_shows_what_it_is_and_what_came_of_it(admin: FlaskClient, worker: FlaskClient) -> None:
    worker.post("/v1/work/sign-on", json=sign_on_body())
    model = push(admin, tiny_model(), "tiny")["id"]
    before = keeps_to_the_policy(admin.get(f"/models/{model}").text)
    assert "Nothing was built of it yet" in before.text
    job = admin.post("/v1/jobs", json={"model": model, "targets": ["onnxruntime:fp32"]}).json
    assert job is not None
    found = keeps_to_the_policy(admin.get(f"/models/{model}").text)
    assert f"/jobs/{job['id']}" in found.addresses
    assert f"/builds/{job['builds'][0]['id']}" in found.addresses
    assert "Mul" in found.text
    assert "1 \u00d7 4" in found.text
    assert "can be built" in found.text
    assert admin.get(f"/models/{'0' * 64}").status_code == 404


def test_names_out_of_a_model_are_text(admin: FlaskClient, worker: FlaskClient) -> None:
    worker.post("/v1/work/sign-on", json=sign_on_body())
    model = push(admin, hostile_model(), "%3Cscript%3Ealert(2)%3C/script%3E")["id"]
    for path in ("/models", f"/models/{model}", f"/models/{model}/graph", "/submit", f"/submit?model={model}"):
        text = admin.get(path).text
        assert "<script>alert" not in text, path
        assert "<b>n</b>" not in text, path
        assert "<img src=x" not in text, path
    assert "&lt;script&gt;alert(1)" in admin.get(f"/models/{model}").text


def test_a_model_is_shared_kept_and_forgotten(admin: FlaskClient, reader: FlaskClient) -> None:
    model = push(admin, tiny_model())["id"]
    assert reader.post(f"/models/{model}/share").status_code == 403
    assert admin.post(f"/models/{model}/share").headers["Location"] == f"/models/{model}"
    assert "shared with other projects" in admin.get(f"/models/{model}").text
    admin.post(f"/models/{model}/unshare")
    assert "shared with other projects" not in admin.get(f"/models/{model}").text
    assert reader.post(f"/models/{model}/delete").status_code == 403
    admin.post("/v1/jobs", json={"model": model, "targets": ["openvino:fp32"]})
    refused = admin.post(f"/models/{model}/delete")
    assert refused.status_code == 409
    assert "in flight" in refused.text
    other = push(admin, tiny_model(3.0))["id"]
    assert admin.post(f"/models/{other}/delete").headers["Location"] == "/models"
    assert admin.get(f"/models/{other}").status_code == 404


# --- the graph viewer ------------------------------------------------------------------------


def test_the_viewer_s_page_knows_no_date_no_version_and_no_stranger(admin: FlaskClient, app: Flask) -> None:
    answer = admin.get("/netron/")
    assert answer.status_code == 200
    policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["connect-src"] == policy["script-src"] == policy["frame-ancestors"] == "'self'"
    assert policy["default-src"] == policy["form-action"] == "'none'"
    assert 'name="date"' not in answer.text  # without one it takes today, and never grows old
    assert '<meta name="version" content="0.0.0">' in answer.text  # reports come from released versions only
    assert "consent=" in answer.headers["Set-Cookie"]  # without it, it asks ipinfo.io where the reader is
    assert 'src="index.js"' in answer.text
    assert "javascript:" not in answer.text
    assert app.test_client().get("/netron/").status_code in {303, 401}


@pytest.mark.parametrize(
    ("name", "kind"),
    [("index.js", "text/javascript"), ("onnx-metadata.json", "application/json"), ("grapher.css", "text/css")],
)
def test_the_viewer_s_files_are_the_package_s(admin: FlaskClient, name: str, kind: str) -> None:
    answer = admin.get(f"/netron/{name}?cb=123")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith(kind)
    assert len(answer.data) > 100


@pytest.mark.parametrize("name", ["server.py", "__init__.py", "index.html", "nothing.js", "..%2Fnetron%2Fserver.py"])
def test_nothing_else_of_the_package_is_served(admin: FlaskClient, name: str) -> None:
    assert admin.get(f"/netron/{name}").status_code == 404


def test_the_viewer_s_files_come_through_the_api_even_where_the_store_has_addresses(
    admin: FlaskClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tiny_model()
    found = push(admin, data)
    path = f"/netron/files/models/{found['id']}/{found['files'][0]['path']}"
    monkeypatch.setattr(LocalStore, "presign_get", lambda *_: "https://s3.example.org/x")
    assert admin.get(f"/v1/models/{found['id']}/files/{found['files'][0]['path']}").status_code == 302
    answer = admin.get(path)
    assert (answer.status_code, answer.data) == (200, data)
    assert admin.get(f"/netron/files/models/{'0' * 64}/model.onnx").status_code == 404
    assert admin.get(f"/netron/files/artifacts/{'0' * 64}/model.xml").status_code == 404


def test_a_model_s_graph_is_framed_from_here(admin: FlaskClient) -> None:
    found = push(admin, tiny_model())
    answer = admin.get(f"/models/{found['id']}/graph")
    frames = [one for one in Reading(answer.text).addresses if one.startswith("/netron/")]
    assert frames[0] == f"/netron/?url=files%2Fmodels%2F{found['id']}%2Fmodel.onnx"
    assert "frame-src 'self'" in answer.headers["Content-Security-Policy"]
    assert admin.get(f"/models/{found['id']}/graph?artifact={'0' * 64}").status_code == 404


# --- datasets --------------------------------------------------------------------------------


def test_no_dataset_teaches_the_first_step(admin: FlaskClient) -> None:
    found = keeps_to_the_policy(admin.get("/datasets").text)
    assert "No dataset yet" in found.text
    assert "Drop a dataset here" in found.text


def test_a_dataset_shows_its_versions_statistics_and_jobs(admin: FlaskClient, reader: FlaskClient) -> None:
    model = push(admin, tiny_model())["id"]
    put_dataset(admin, "digits", npz(x=np.ones((16, 1, 4), np.float32)))
    put_dataset(admin, "digits", npz(x=np.zeros((32, 1, 4), np.float32), labels=np.zeros(32, np.int64)))
    assert "digits" in keeps_to_the_policy(admin.get("/datasets").text).text
    job = admin.post("/v1/jobs", json={"model": model, "targets": ["openvino:fp32"], "dataset": "digits@1"}).json
    assert job is not None
    first = keeps_to_the_policy(admin.get("/datasets/digits@1").text)
    assert f"/jobs/{job['id']}" in first.addresses
    assert "/datasets/digits@2" in first.addresses
    newest = keeps_to_the_policy(admin.get("/datasets/digits").text)
    assert "with labels" in newest.text
    assert "100.0 %" in newest.text  # zeros
    assert f"/jobs/{job['id']}" not in newest.addresses
    assert reader.post("/datasets/digits@2/delete").status_code == 403
    assert admin.post("/datasets/digits@1/delete").status_code == 409
    assert admin.post("/datasets/digits@2/delete").headers["Location"] == "/datasets"
    assert admin.get("/datasets/digits@2").status_code == 404


# --- workers and the farm --------------------------------------------------------------------


@pytest.fixture
def operator(admin: FlaskClient) -> FlaskClient:
    """The administrator's token operates the farm, too."""
    return admin


def test_no_worker_teaches_the_first_step(admin: FlaskClient) -> None:
    found = keeps_to_the_policy(admin.get("/workers").text)
    assert "No worker has signed on" in found.text
    assert "python -m workers" in found.text


def test_a_worker_is_paused_drained_and_resumed_by_operators_alone(
    operator: FlaskClient, reader: FlaskClient, worker: FlaskClient
) -> None:
    worker.post("/v1/work/sign-on", json=sign_on_body("hands.2"))
    found = keeps_to_the_policy(operator.get("/workers").text)
    assert "Test CPU, 2 cores, 4.0 GiB" in found.text
    assert "onnxruntime 1.31.1" in found.text
    assert "0.0 %" in found.text
    path = "/workers/hands.2"
    assert f'action="{path}/pause"' in operator.get("/workers").text
    assert "/pause" not in reader.get("/workers").text
    assert reader.post(f"{path}/pause", data={"reason": "x"}).status_code == 403
    assert operator.post(f"{path}/pause", data={"reason": "<b>new fan</b>"}).headers["Location"] == "/workers"
    text = reader.get("/workers").text
    assert "paused: &lt;b&gt;new fan&lt;/b&gt;" in text
    assert operator.post(f"{path}/resume").status_code == 303
    assert "new fan" not in reader.get("/workers").text
    assert operator.post(f"{path}/drain").status_code == 303
    assert "drained" in reader.get("/workers").text
    assert operator.post("/workers/nobody/pause", data={}).status_code == 404


def test_a_pool_is_paused_and_resumed(operator: FlaskClient, reader: FlaskClient, worker: FlaskClient) -> None:
    worker.post("/v1/work/sign-on", json=sign_on_body())
    (pool,) = (one["name"] for one in operator.get("/v1/pools").json["items"])  # type: ignore[index]
    assert operator.get("/pools").headers["Location"] == "/workers#pools"
    assert reader.post(f"/pools/{pool}/pause").status_code == 403
    operator.post(f"/pools/{pool}/pause", data={"reason": "moved"})
    assert "moved" in reader.get("/workers").text
    operator.post(f"/pools/{pool}/resume")
    assert "moved" not in reader.get("/workers").text


@pytest.mark.parametrize("query", ["", "?window=week", "?window=month&of=project", "?of=farm"])
def test_the_farm_in_numbers(operator: FlaskClient, reader: FlaskClient, worker: FlaskClient, query: str) -> None:
    empty = keeps_to_the_policy(operator.get(f"/farm{query}").text)
    assert "Nothing ended in this stretch of time" in empty.text
    worker.post("/v1/work/sign-on", json=sign_on_body())
    model = push(operator, tiny_model())["id"]
    job = operator.post("/v1/jobs", json={"model": model, "targets": ["onnxruntime:fp32"]}).json
    assert job is not None
    operator.post(f"/v1/jobs/{job['id']}/cancel")
    found = keeps_to_the_policy(operator.get(f"/farm{query}").text)
    assert "1 of them cancelled" in found.text
    assert "Whole store" in found.text
    theirs = keeps_to_the_policy(reader.get(f"/farm{query}").text)
    assert "Whole store" not in theirs.text
    assert "Builds of project" in theirs.text


def test_a_window_that_nobody_knows_is_refused(admin: FlaskClient) -> None:
    assert admin.get("/farm?window=year").status_code == 422

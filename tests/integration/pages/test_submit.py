"""Submit without a browser: the form, what would become of it, and commands that submit exactly the same."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient
from integration.api.support import ADMIN, Served, push, sign_on_body, tiny_model, with_token
from integration.pages.reading import keeps_to_the_policy
from onnx import TensorProto, helper
from sqlalchemy import select

from api.pages.commands import as_command, as_curl, as_python
from enginehouse.cli import run
from enginehouse.request import JobRequest
from scheduler import jobs
from scheduler.farm import Farm
from scheduler.registry.tables import Job

SCHEMA = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "hint": {"type": "string", "enum": ["latency", "throughput"], "default": "latency", "description": "what for"},
        "threads": {"type": "integer", "minimum": 1, "maximum": 64},
        "keep": {"type": "array", "items": {"type": "string"}, "default": []},
        "prune": {"type": "string", "enum": ["none", "2:4"], "default": "none"},
        "label": {"type": "string"},
        "share": {"type": "number", "minimum": 0, "maximum": 1},
        "scopes": {"type": "object"},
    },
}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: which registry it is does not matter here."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


def announced(name: str = "hands") -> dict[str, Any]:
    """A worker with two backends, of which one takes samples for int8."""
    body = sign_on_body(name)
    ort = body["capabilities"][0]
    openvino = ort | {
        "backend": "openvino",
        "toolchain": {"openvino": "2026.4.1"},
        "precisions": ["fp32", "fp16", "int8"],
        "options_schema": SCHEMA,
    }
    return body | {"capabilities": [ort, openvino]}


def dynamic_model() -> bytes:
    node = helper.make_node("Relu", ["x"], ["y"])
    shape = ["batch", 3, "side"]
    graph = helper.make_graph(
        [node],
        "dynamic",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10).SerializeToString()


@pytest.fixture
def model(admin: FlaskClient, worker: FlaskClient) -> str:
    assert worker.post("/v1/work/sign-on", json=announced()).status_code == 200
    return str(push(admin, tiny_model(), "tiny")["id"])


def planned(client: FlaskClient, **fields: Any) -> str:
    answer = client.post("/submit/plan", data=fields)
    assert answer.status_code == 200, answer.text
    assert answer.headers["Content-Type"].startswith("text/html")
    return unescape(re.sub(r"<[^>]+>", " ", answer.text))


def reach(client: FlaskClient, **fields: Any) -> dict[str, Any]:
    text = client.post("/submit/plan", data=fields).text
    found = re.search(r'<script type="application/json" id="reach">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    told: dict[str, Any] = json.loads(found.group(1))
    return told


def test_an_empty_farm_teaches_the_first_step(admin: FlaskClient) -> None:
    answer = admin.get("/submit")
    found = keeps_to_the_policy(answer.text)
    assert "Drop a model here" in found.text
    assert "No worker has signed on yet" in found.text
    assert "Uploads from this page need JavaScript" in found.text  # hidden where scripts run
    assert "enginehouse submit MODEL.onnx" in found.text


def test_a_model_that_is_here_can_be_chosen(admin: FlaskClient, model: str) -> None:
    text = admin.get("/submit").text
    assert f'href="/submit?model={model}"' in text
    assert "No worker has signed on yet" not in text


def test_the_form_shows_what_can_be_built_and_why_not(admin: FlaskClient, model: str) -> None:
    text = admin.get(f"/submit?model={model}").text
    found = keeps_to_the_policy(text)
    assert "<h1>tiny</h1>" in text
    for name in ("openvino:fp32", "openvino:fp16", "openvino:int8", "onnxruntime:fp32"):
        assert f'name="target" value="{name}"' in text
    assert 'value="onnxruntime:int8"' not in text
    assert "needs more" in found.text
    assert "takes its ranges from samples" in found.text
    assert '<option value="throughput">' in text  # from the schema of the backend
    assert "what for" in found.text
    assert 'id="h-shapes"' not in text  # nothing is left open in this model


def test_open_dimensions_are_asked_for(admin: FlaskClient, worker: FlaskClient) -> None:
    worker.post("/v1/work/sign-on", json=announced())
    model = push(admin, dynamic_model(), "dynamic")["id"]
    text = admin.get(f"/submit?model={model}").text
    for name in ("shape:x", "min:x", "opt:x", "max:x"):
        assert f'name="{name}"' in text
    wrong = planned(admin, model=model, target="openvino:fp32", shaped="one", **{"shape:x": "1, 4, 8"})
    assert "shapes.invalid" in wrong or "takes" in wrong
    right = planned(admin, model=model, target="openvino:fp32", shaped="one", verify="true", **{"shape:x": "1, 3, 8"})
    assert "1 build" in right


def test_a_format_that_nobody_reads_is_greyed_with_the_reason(admin: FlaskClient, worker: FlaskClient) -> None:
    body = announced()
    for capability in body["capabilities"]:
        capability["formats"] = ["tflite"]
    worker.post("/v1/work/sign-on", json=body)
    model = push(admin, tiny_model())["id"]
    text = admin.get(f"/submit?model={model}").text
    assert re.search(r'value="openvino:fp16"\s+disabled', text)
    assert "takes tflite, not onnx" in unescape(text)


def test_what_the_form_brings_along_changes_what_is_possible(admin: FlaskClient, model: str) -> None:
    assert reach(admin, model=model)["openvino:int8"]["reach"] == "needs"
    dataset = _npz()
    made = admin.post("/v1/datasets?name=ones", data=dataset, content_type="application/octet-stream")
    assert made.status_code == 201, made.text
    assert reach(admin, model=model, dataset="ones@1")["openvino:int8"]["reach"] == "yes"
    text = planned(admin, model=model, target="openvino:int8", dataset="ones@1", verify="true")
    assert "begins at once" in text
    assert "how long is not known yet" in text


def _npz() -> bytes:
    import io

    import numpy as np

    stream = io.BytesIO()
    np.savez(stream, x=np.ones((16, 1, 4), dtype=np.float32))
    return stream.getvalue()


def test_what_is_wrong_is_said_before_it_is_sent_and_when(admin: FlaskClient, model: str) -> None:
    fields = {"model": model, "target": "openvino:fp16", "option:openvino:threads": "100", "verify": "true"}
    assert "100 is greater than the maximum of 64" in planned(admin, **fields)
    answer = admin.post("/submit", data=fields | {"name": "kept <b>", "gate:min_cosine": "0.9"})
    assert answer.status_code == 422
    found = keeps_to_the_policy(answer.text)
    assert "100 is greater than the maximum of 64" in found.text
    assert "request.invalid_option" in found.text or "option" in found.text
    for kept in ('value="kept &lt;b&gt;"', 'name="gate:min_cosine"', 'value="0.9"', 'value="100"'):
        assert kept in answer.text
    assert re.search(r'value="openvino:fp16" checked', answer.text)
    assert admin.get("/v1/jobs").json["items"] == []  # type: ignore[index]


def test_nothing_chosen_is_no_error_until_it_is_sent(admin: FlaskClient, model: str) -> None:
    assert "Choose at least one target" in planned(admin, model=model)
    answer = admin.post("/submit", data={"model": model})
    assert answer.status_code == 422
    assert "no target is chosen" in answer.text


def test_sent_twice_from_one_page_it_is_one_job(admin: FlaskClient, model: str) -> None:
    fields = {"model": model, "target": "openvino:fp16", "verify": "true", "benchmark": "true", "key": "k" * 32}
    first, second = (admin.post("/submit", data=fields) for _ in range(2))
    assert first.status_code == second.status_code == 303
    assert first.headers["Location"] == second.headers["Location"]
    other = admin.post("/submit", data=fields | {"name": "other"})
    assert other.status_code == 303
    assert other.headers["Location"] != first.headers["Location"]


def test_another_project_s_model_is_not_there(admin: FlaskClient, model: str) -> None:
    assert admin.get(f"/submit?model={'0' * 64}").status_code == 404
    assert admin.post("/submit/plan", data={"model": "0" * 64}).status_code == 404
    assert admin.post("/submit", data={"model": "0" * 64, "target": "openvino:fp16"}).status_code == 404


def test_a_reader_may_not_submit(admin: FlaskClient, app: Any, model: str) -> None:
    made = admin.post("/v1/tokens", json={"name": "reader", "scopes": ["read"]}).json
    assert made is not None
    reader = with_token(app, made["token"])
    assert reader.get("/submit").status_code == 403
    assert reader.post("/submit", data={"model": model, "target": "openvino:fp16"}).status_code == 403
    assert reader.get(f"/models/{model}").status_code == 200
    assert "/submit?model=" not in reader.get(f"/models/{model}").text


def test_a_page_of_another_site_cannot_submit(admin: FlaskClient, app: Any, model: str) -> None:
    made = app.test_client()
    answer = made.post(
        "/submit",
        data={"model": model, "target": "openvino:fp16"},
        headers={"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site"},
        auth=("x", ADMIN),
    )
    assert answer.status_code == 403


def test_a_job_fills_the_form_again(admin: FlaskClient, model: str) -> None:
    fields = {
        "model": model,
        "target": "openvino:fp16",
        "option:openvino:hint": "throughput",
        "gate:min_cosine": "0.99",
        "ladder": "true",
        "verify": "true",
        "benchmark": "true",
        "priority": "high",
        "name": "the first",
    }
    job = admin.post("/submit", data=fields).headers["Location"].rpartition("/")[2]
    text = admin.get(f"/submit?job={job}").text
    assert re.search(r'value="openvino:fp16" checked', text)
    assert re.search(r'<option value="throughput" selected>', text)
    assert re.search(r'name="ladder" value="true" checked', text)
    assert "<option selected>high</option>" in text
    assert 'value="the first"' in text
    assert admin.get("/submit?job=job_nothing").status_code == 404


# --- the same as a command, as Python, as curl -----------------------------------------------

REQUESTS: dict[str, dict[str, Any]] = {
    "least": {"targets": ["openvino:fp16"]},
    "two backends": {"targets": ["openvino:fp16", "onnxruntime:fp32"], "priority": "high", "name": 'it\'s "one" $HOME'},
    "options": {
        "targets": [
            {
                "backend": "openvino",
                "precision": precision,
                "options": {
                    "hint": "throughput",
                    "threads": 4,
                    "keep": ["a b", "'c'"],
                    "prune": "2:4",
                    "label": "1",
                    "share": 0.25,
                    "scopes": {"names": ["x/y"]},
                },
            }
            for precision in ("fp32", "fp16")
        ]
    },
    "gates": {
        "targets": ["openvino:fp16"],
        "gates": {
            "min_speedup": {"source": 1.5, "openvino:fp32": 1.25},
            "min_cosine": 0.99999,
            "max_bytes": 5000000,
            "max_abs_error": 1e-7,
            "max_metric_loss": {"top1": 0.01},
        },
        "target_gates": {"openvino:fp16": {"max_p50_ms": 3.5}},
        "ladder": True,
        "baselines": ["onnxruntime:fp32"],
    },
    "one bound": {"targets": ["openvino:fp16"], "gates": {"min_speedup": 2}},
    "limits": {"targets": ["openvino:fp32"], "limits": {"time_s": 90, "memory_mb": 1000}, "verify": False, "seed": 7},
    "no benchmark": {"targets": ["openvino:fp32"], "benchmark": False, "priority": "low"},
    "where": {"targets": ["openvino:fp16@cpu.cores>=2+x86_64", "openvino:fp32@cpu"]},
    "shapes": {"targets": ["openvino:fp32"], "shapes": {"x": [1, 3, 8]}},
    "range": {
        "targets": ["openvino:fp32"],
        "profiles": [{"x": {"min": [1, 3, 8], "opt": [2, 3, 8], "max": [4, 3, 32]}}],
    },
}


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    found = serve()
    with found.client("worker-token-for-tests") as client:
        assert client.post("/v1/work/sign-on", json=announced()).status_code == 200
    return found


def test_each_way_to_write_it_submits_the_same(served: Served, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The farm gets the very request that the form stands for, by its digest."""
    with served.client() as client:
        answer = client.post("/v1/models?name=m", content=dynamic_model(), headers=OCTETS)
        model = answer.json()["id"]
    monkeypatch.setenv("ENGINEHOUSE_URL", served.url)
    monkeypatch.setenv("ENGINEHOUSE_TOKEN", ADMIN)
    farm = Farm(served.settings)
    try:
        for name, fields in REQUESTS.items():
            asked = JobRequest.model_validate({"model": model, **fields})
            wanted = jobs._digest(asked, None)
            ways = {
                "command": lambda asked=asked: _run_command(as_command(asked)),
                "python": lambda asked=asked: _run_python(as_python(asked, served.url)),
                "curl": lambda asked=asked: _run_curl(as_curl(asked, served.url)),
            }
            for way, send in ways.items():
                send()
                with farm.read() as session:
                    newest = session.scalars(select(Job).order_by(Job.id.desc()).limit(1)).one()
                assert newest.request_digest == wanted, (name, way)
    finally:
        farm.dispose()


OCTETS = {"Content-Type": "application/octet-stream"}


def _run_command(text: str) -> None:
    """As a shell reads it, with the command line in this process; it does not wait for the builds."""
    read = subprocess.run(
        ["bash", "-c", 'printf "%s\\0" ' + text.removeprefix("enginehouse ")], capture_output=True, check=True
    )
    words = read.stdout.decode().split("\0")[:-1]
    assert run([*words, "--no-wait"]) == 0, text


def _run_python(text: str) -> None:
    """All of it but the wait, which would last until a worker comes."""
    head, waits, _ = text.partition("    for build in farm.jobs.wait(job).builds:\n")
    assert waits
    exec(compile(head, "snippet", "exec"), {})


def _run_curl(text: str) -> None:
    env = {**os.environ, "ENGINEHOUSE_TOKEN": ADMIN, "no_proxy": "127.0.0.1"}
    done = subprocess.run(["bash", "-c", text], capture_output=True, text=True, env=env, timeout=60)
    assert done.returncode == 0, (text, done.stdout, done.stderr)
    assert json.loads(done.stdout)["id"].startswith("job_")


def test_the_page_shows_these_words_for_what_is_chosen(admin: FlaskClient, model: str) -> None:
    fields = {
        "model": model,
        "target": ["openvino:fp16", "openvino:fp32"],
        "option:openvino:hint": "throughput",
        "verify": "true",
        "benchmark": "true",
        "name": "a b",
    }
    said = planned(admin, **fields)
    target = {"backend": "openvino", "options": {"hint": "throughput"}}
    asked = JobRequest(
        model=model, targets=[target | {"precision": "fp16"}, target | {"precision": "fp32"}], name="a b"
    )
    assert as_command(asked) in said
    assert as_curl(asked, "http://localhost") in said
    assert as_python(asked, "http://localhost") in said

"""``POST /v1/resolve``: who may ask, what a bad request is told, and the statuses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from integration.api.support import is_problem, push, sign_on_body, tiny_model, with_token

from api.app import create_app, door
from enginehouse.resolution import Resolution
from scheduler import tokens
from scheduler.farm import Farm

HOST: dict[str, Any] = {
    "hardware": {
        "hardware_class": "cpu-test", "tags": ["cpu", "x86_64"], "cpu_model": "Test CPU", "cores": 2, "memory_mb": 4096,
    },
    "runtimes": {"onnxruntime": "1.31.1"},
}  # fmt: skip


def test_an_answer_a_job_and_who_may_ask_for_which(lite: Callable[..., Farm]) -> None:
    farm = lite()
    app = create_app(farm.settings, farm)
    try:
        admin, worker = with_token(app, "admin-token-for-tests"), with_token(app, "worker-token-for-tests")
        with farm.write() as session:
            _, secret = tokens.create(session, tokens.loopback_principal(session), "reader", ["read"], None)
        reader = with_token(app, secret)
        model = push(admin, tiny_model())["id"]
        body = {"model": model, "host": HOST}

        answer = reader.post("/v1/resolve", json=body)
        assert answer.status_code == 200, answer.text
        found = Resolution.model_validate(answer.json)
        assert (found.best, found.code, found.buildable) == (None, "resolve.not_built", [])
        assert "Location" not in answer.headers

        assert worker.post("/v1/work/sign-on", json=sign_on_body()).status_code == 200
        is_problem(reader.post("/v1/resolve", json=body | {"enqueue": True}), 403, "request.forbidden")
        made = admin.post("/v1/resolve", json=body | {"enqueue": True})
        assert made.status_code == 202, made.text
        assert made.headers["Location"] == f"/v1/jobs/{made.json['job']}"
        again = admin.post("/v1/resolve", json=body | {"enqueue": True})
        assert (again.status_code, again.json["job"]) == (202, made.json["job"])
        assert len(admin.get("/v1/jobs").json["items"]) == 1
        assert [str(one["target"]["precision"]) for one in admin.get(made.headers["Location"]).json["builds"]] == [
            "fp32"
        ]

        is_problem(worker.post("/v1/resolve", json=body), 403, "request.forbidden")
        is_problem(app.test_client().post("/v1/resolve", json=body), 401, "request.unauthenticated")
        is_problem(reader.post("/v1/resolve", json=body | {"model": "0" * 64}), 404, "request.not_found")
        is_problem(reader.post("/v1/resolve", json=body | {"backends": ["abacus"]}), 422, "target.unknown_backend")
        is_problem(reader.post("/v1/resolve", json=body | {"shapes": {"q": [1]}}), 422)
        is_problem(reader.post("/v1/resolve", json=body | {"goal": "glory"}), 422, "request.invalid")
        is_problem(reader.post("/v1/resolve", json={"model": model}), 422, "request.invalid")
    finally:
        door(app).tailer.close()

"""What the tests of the API share: a farm's settings, a tiny model, a worker's announcement, what a problem is."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from flask import Flask
from flask.testing import FlaskClient
from onnx import TensorProto, helper

from enginehouse.capability import Capability, Hardware
from enginehouse.targets import Precision
from enginehouse.work import SignOn
from scheduler import tokens
from scheduler.farm import Farm
from scheduler.registry.tables import Base
from scheduler.settings import Settings

ADMIN, WORKER = "admin-token-for-tests", "worker-token-for-tests"
MIB = 1024**2
NO_BROKER = "redis://127.0.0.1:1/0"


def make_settings(database_url: str, folder: Path, **more: Any) -> Settings:
    values: dict[str, Any] = {
        "data_dir": folder,
        "database_url": database_url,
        "broker_url": NO_BROKER,
        "secret_key": "a secret of the tests",
        "signing_key": "5" * 64,
        "admin_token": ADMIN,
        "worker_token": WORKER,
        "max_upload_bytes": 64 * MIB,
    }
    return Settings(**(values | more))


def make_farm(settings: Settings) -> Farm:
    farm = Farm(settings)
    Base.metadata.create_all(farm.engine)
    tokens.bootstrap(farm)
    return farm


def with_token(app: Flask, token: str) -> FlaskClient:
    client = app.test_client()
    client.environ_base["HTTP_AUTHORIZATION"] = f"Bearer {token}"
    return client


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def tiny_model(weight: float = 2.0) -> bytes:
    """An ONNX model: y = x * weight. Another weight makes another model."""
    node = helper.make_node("Mul", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 4])],
        [helper.make_tensor("w", TensorProto.FLOAT, [1], [weight])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    return model.SerializeToString()


def push(client: FlaskClient, data: bytes, name: str = "tiny") -> dict[str, Any]:
    answer = client.post(f"/v1/models?name={name}", data=data, content_type="application/octet-stream")
    assert answer.status_code in {200, 201}, answer.text
    found: dict[str, Any] = answer.json
    return found


def sign_on_body(name: str = "hands", boot: str = "boot-0001") -> dict[str, Any]:
    """A CPU worker that builds with ONNX Runtime."""
    return SignOn(
        name=name,
        boot_id=boot,
        slots=1,
        pipeline="1",
        hardware=Hardware(
            hardware_class="cpu-test", tags=["cpu", "x86_64"], cpu_model="Test CPU", cores=2, memory_mb=4096
        ),
        capabilities=[
            Capability(
                backend="onnxruntime",
                toolchain={"onnxruntime": "1.31.1"},
                precisions=[Precision.FP32],
                formats=["onnx"],
                options_schema={"type": "object", "additionalProperties": False},
            )
        ],
    ).model_dump(mode="json")


def is_problem(answer: Any, status: int, code: str | None = None) -> dict[str, Any]:
    """The answer is a whole problem document of this status."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    body: dict[str, Any] = answer.json if isinstance(answer.json, dict) else answer.json()
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["request_id"] == answer.headers["X-Request-Id"]
    if code is not None:
        assert body["code"] == code
    return body


@dataclass(frozen=True)
class Served:
    """A running gunicorn: its address, its farm's settings, its process."""

    url: str
    settings: Settings
    pid: int
    log: Path

    def client(self, token: str | None = ADMIN, **more: Any) -> httpx2.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx2.Client(base_url=self.url, headers=headers, timeout=30, trust_env=False, **more)

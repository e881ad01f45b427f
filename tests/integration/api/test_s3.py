"""The door of a farm whose store is S3: bytes go past the API, both ways."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import ADMIN, push, sha, tiny_model, with_token

from api.app import create_app
from scheduler.farm import Farm

if TYPE_CHECKING:
    from services.s3 import S3Bucket


@pytest.fixture
def far(lite: Callable[..., Farm], s3: S3Bucket) -> Flask:
    farm = lite(store=s3.store, s3_endpoint=s3.endpoint, s3_access_key=s3.access_key, s3_secret_key=s3.secret_key)
    return create_app(farm.settings, farm)


@pytest.fixture
def client(far: Flask) -> FlaskClient:
    return with_token(far, ADMIN)


def test_given_s3_i_expect_parts_to_go_straight_to_the_store_and_files_to_come_from_it(client: FlaskClient) -> None:
    data = tiny_model(11.0)
    upload = client.post("/v1/uploads", json={"sha256": sha(data), "size": len(data)}).json["id"]
    wanted = {"parts": [{"number": 1, "sha256": sha(data)}]}
    part = client.post(f"/v1/uploads/{upload}/parts", json=wanted).json["parts"][0]
    assert part["url"].startswith("http")
    put = httpx2.put(part["url"], headers=part["headers"], content=data, trust_env=False)
    assert put.status_code == 200, put.text
    assert client.post(f"/v1/uploads/{upload}/complete").json["state"] == "complete"
    made = client.post("/v1/models", json={"name": "far", "files": [{"path": "m.onnx", "sha256": sha(data)}]}).json

    path = f"/v1/models/{made['id']}/files/m.onnx"
    answer = client.get(path)
    assert answer.status_code == 302
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Content-SHA256"] == sha(data)
    assert httpx2.get(answer.headers["Location"], trust_env=False).content == data
    ranged = httpx2.get(answer.headers["Location"], headers={"Range": "bytes=2-5"}, trust_env=False)
    assert (ranged.status_code, ranged.content) == (206, data[2:6])

    # A presigned address is for GET alone, so the API answers HEAD itself.
    head = client.head(path)
    assert (head.status_code, head.headers["Content-Length"]) == (200, str(len(data)))
    assert client.get(path, headers={"If-None-Match": f'"{sha(data)}"'}).status_code == 304


def test_given_s3_i_expect_one_stream_through_the_api_to_work_too(client: FlaskClient) -> None:
    data = tiny_model(12.0)
    made = push(client, data)
    answer = client.get(f"/v1/models/{made['id']}/files/{made['files'][0]['path']}")
    assert httpx2.get(answer.headers["Location"], trust_env=False).content == data

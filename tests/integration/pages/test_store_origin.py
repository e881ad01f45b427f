"""A page may send parts straight to an S3 store: our policy allows its origin, and the server's CORS allows ours."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import httpx2
import pytest
from flask.testing import FlaskClient
from integration.api.support import ADMIN, sha, tiny_model, with_token

from api.app import create_app
from scheduler.farm import Farm

if TYPE_CHECKING:
    from services.s3 import S3Bucket

PAGE = "https://farm.example.org"
RULE = {
    "AllowedOrigins": [PAGE],
    "AllowedMethods": ["PUT"],
    "AllowedHeaders": ["x-amz-checksum-sha256", "content-type"],
    "MaxAgeSeconds": 3600,
}


@pytest.fixture
def client(lite: Callable[..., Farm], s3: S3Bucket) -> FlaskClient:
    farm = lite(store=s3.store, s3_endpoint=s3.endpoint, s3_access_key=s3.access_key, s3_secret_key=s3.secret_key)
    return with_token(create_app(farm.settings, farm), ADMIN)


def part_of(client: FlaskClient, data: bytes) -> dict[str, object]:
    upload = client.post("/v1/uploads", json={"sha256": sha(data), "size": len(data)}).json["id"]
    wanted = {"parts": [{"number": 1, "sha256": sha(data)}]}
    return client.post(f"/v1/uploads/{upload}/parts", json=wanted).json["parts"][0]


def preflight(url: str, origin: str) -> httpx2.Response:
    """What a browser asks before it sends the part."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "x-amz-checksum-sha256",
    }
    return httpx2.request("OPTIONS", url, headers=headers, trust_env=False)


def test_the_policy_of_pages_names_the_store(client: FlaskClient, s3: S3Bucket) -> None:
    policy = client.get("/submit").headers["Content-Security-Policy"]
    assert s3.endpoint in next(part for part in policy.split("; ") if part.startswith("connect-src"))


def test_with_the_rule_of_the_docs_a_part_goes_through(client: FlaskClient, s3: S3Bucket) -> None:
    s3.client().put_bucket_cors(Bucket=s3.bucket, CORSConfiguration={"CORSRules": [RULE]})
    data = tiny_model(21.0)
    part = part_of(client, data)
    url, headers = str(part["url"]), dict(part["headers"])  # type: ignore[call-overload]
    asked = preflight(url, PAGE)
    assert asked.status_code in {200, 204}, asked.text
    assert asked.headers["Access-Control-Allow-Origin"] in {PAGE, "*"}
    assert "PUT" in asked.headers["Access-Control-Allow-Methods"]
    assert "x-amz-checksum-sha256" in asked.headers["Access-Control-Allow-Headers"].lower()
    assert set(headers) - {"Content-Length"} == {"x-amz-checksum-sha256"}  # what the rule names, and no more
    put = httpx2.put(url, headers={**headers, "Origin": PAGE}, content=data, trust_env=False)
    assert put.status_code == 200, put.text
    assert put.headers["Access-Control-Allow-Origin"] in {PAGE, "*"}


def test_with_the_rule_another_site_is_refused(client: FlaskClient, s3: S3Bucket) -> None:
    s3.client().put_bucket_cors(Bucket=s3.bucket, CORSConfiguration={"CORSRules": [RULE]})
    asked = preflight(str(part_of(client, tiny_model(22.0))["url"]), "https://evil.example")
    assert asked.headers.get("Access-Control-Allow-Origin") not in {"https://evil.example", "*"}

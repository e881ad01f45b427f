"""The farm as in production: PostgreSQL and S3 in the place of SQLite and a folder, the code being the same."""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator

import httpx2
import numpy as np
import pytest

from enginehouse.client import Client
from enginehouse.errors import DigestMismatch
from enginehouse.states import JobState, Origin
from farm.embedded import EmbeddedFarm
from scheduler.registry.migrate import upgrade
from zoo.fetch import model_path


@pytest.fixture
def production(tmp_path, postgres_database: str, s3) -> Iterator[EmbeddedFarm]:
    upgrade(postgres_database)
    environment = {
        "ENGINEHOUSE_DATABASE_URL": postgres_database,
        "ENGINEHOUSE_STORE": s3.store,
        "ENGINEHOUSE_S3_ENDPOINT": s3.endpoint,
        "ENGINEHOUSE_S3_ACCESS_KEY": s3.access_key,
        "ENGINEHOUSE_S3_SECRET_KEY": s3.secret_key,
        "ENGINEHOUSE_OPEN_LOOPBACK": "false",
    }
    with EmbeddedFarm(tmp_path / "home", environment=environment) as farm:
        yield farm


def test_the_main_job_on_postgresql_and_s3(production: EmbeddedFarm, tmp_path, s3):
    assert httpx2.get(f"{production.url}/v1/jobs").status_code == 401
    with Client(production.url, production.token) as client:
        model = client.models.push(model_path("ppocr-rec"))
        job = client.jobs.submit(model=model.id, targets=["openvino:fp16", "onnxruntime:fp32"])
        ended = client.jobs.wait(job, timeout=240)
        assert ended.state is JobState.SUCCEEDED, [build.failure for build in ended.builds]
        artifact = str(ended.builds[0].artifact)
        manifest = client.artifacts.download(artifact, tmp_path / "out")
        assert (tmp_path / "out" / manifest.entry).stat().st_size > 0
        again = client.jobs.submit(model=model.id, targets=["openvino:fp16", "onnxruntime:fp32"])
        assert {build.origin for build in again.builds} == {Origin.CACHE}
        headers = {"Authorization": f"Bearer {production.token}"}
        redirected = httpx2.get(
            f"{production.url}/v1/artifacts/{artifact}/files/{manifest.entry}", headers=headers, follow_redirects=False
        )
        assert redirected.status_code == 302
        assert redirected.headers["location"].startswith(s3.endpoint)
        part = httpx2.get(redirected.headers["location"], headers={"Range": "bytes=0-4"})
        assert (part.status_code, part.content) == (206, (tmp_path / "out" / manifest.entry).read_bytes()[:5])


def test_an_upload_goes_straight_to_s3_and_is_checked_there(production: EmbeddedFarm, tmp_path):
    headers = {"Authorization": f"Bearer {production.token}"}
    np.savez(tmp_path / "big.npz", x=np.frombuffer(secrets.token_bytes(40 * 2**20), np.uint8).reshape(10, -1))
    with Client(production.url, production.token) as client:
        dataset = client.datasets.push(tmp_path / "big.npz")
        assert (dataset.samples, dataset.size) == (10, (tmp_path / "big.npz").stat().st_size)
    with httpx2.Client(base_url=production.url, headers=headers) as http:
        content = b"these are not the bytes that were declared"
        lie = http.post("/v1/uploads", json={"sha256": "0" * 64, "size": len(content)}).json()
        wanted = {"parts": [{"number": 1, "sha256": hashlib.sha256(content).hexdigest()}]}
        (url,) = http.post(f"/v1/uploads/{lie['id']}/parts", json=wanted).json()["parts"]
        assert not url["url"].startswith("/")
        assert httpx2.put(url["url"], content=content, headers=url["headers"]).is_success
        refused = http.post(f"/v1/uploads/{lie['id']}/complete")
        assert refused.json()["code"] == DigestMismatch.code

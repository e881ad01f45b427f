"""Bad input gets a clear answer and loses nothing: afterwards the farm builds as before."""

from __future__ import annotations

import hashlib
import secrets
import struct

import httpx2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from watching import until

from enginehouse.client import Client
from enginehouse.errors import (
    DigestMismatch,
    ExternalDataOutside,
    ModelFormatUnsupported,
    ModelUnreadable,
    UnknownBackend,
    UnknownPrecision,
)
from enginehouse.request import Limits
from enginehouse.states import BuildState
from farm.embedded import EmbeddedFarm
from zoo.fetch import model_path


@pytest.fixture(autouse=True)
def the_farm_builds_afterwards(client: Client, seed: int):
    """What every test here must leave behind."""
    yield
    model = client.models.push(model_path("ppocr-cls"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp16"], verify=False, benchmark=False, seed=seed)
    assert client.jobs.wait(job, timeout=60).builds[0].state is BuildState.SUCCEEDED


def external(location: str) -> bytes:
    weights = TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[4], data_location=TensorProto.EXTERNAL)
    weights.external_data.add(key="location", value=location)
    graph = helper.make_graph(
        [helper.make_node("Add", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [4])],
        [weights],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]).SerializeToString()


def test_random_bytes_named_onnx(client: Client, tmp_path):
    (tmp_path / "noise.onnx").write_bytes(secrets.token_bytes(100_000))
    with pytest.raises(ModelUnreadable) as caught:
        client.models.push(tmp_path / "noise.onnx")
    assert caught.value.hint


def test_a_truncated_model(client: Client, tmp_path):
    whole = model_path("ppocr-cls").read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(ModelUnreadable):
        client.models.push(tmp_path / "cut.onnx")


def test_an_empty_file(client: Client):
    with pytest.raises(ModelUnreadable):
        client.models.push(b"")


def test_a_pickle_is_refused_with_the_way_out(client: Client):
    import pickle

    with pytest.raises(ModelFormatUnsupported) as caught:
        client.models.push(pickle.dumps({"weights": [1, 2, 3]}))
    assert "onnx" in caught.value.hint.lower()


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "a/../../../etc/passwd"])
def test_external_data_outside_the_upload(client: Client, location):
    with pytest.raises(ExternalDataOutside, match="passwd"):
        client.models.push(external(location))


def test_a_wrong_declared_sha256(farm: EmbeddedFarm):
    answer = httpx2.post(
        f"{farm.url}/v1/models",
        content=model_path("ppocr-cls").read_bytes(),
        headers={
            "Authorization": f"Bearer {farm.token}",
            "Content-Type": "application/octet-stream",
            "X-Content-SHA256": "0" * 64,
        },
    )
    assert answer.status_code == 422
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["code"] == DigestMismatch.code


def test_an_unknown_backend_and_an_unknown_precision(client: Client):
    model = client.models.push(model_path("ppocr-cls"))
    with pytest.raises(UnknownBackend, match="tensorflow-js"):
        client.jobs.submit(model=model.id, targets=["tensorflow-js:fp16"])
    with pytest.raises(UnknownPrecision, match="fp17"):
        client.jobs.submit(model=model.id, targets=["openvino:fp17"])
    with pytest.raises(UnknownPrecision, match="int4"):
        client.jobs.submit(model=model.id, targets=["onnxruntime:int4"])


def test_a_requirement_that_no_worker_meets_waits_with_the_reason_and_runs_when_one_signs_on(
    farm: EmbeddedFarm, client: Client, seed
):
    model = client.models.push(model_path("ppocr-cls"))
    job = client.jobs.submit(
        model=model.id, targets=["openvino:fp16@unicorn"], verify=False, benchmark=False, seed=seed
    )
    build = job.builds[0].id
    until(lambda: "unicorn" in client.builds.get(build).reason, "the reason names the tag")
    assert client.builds.get(build).state is BuildState.WAITING
    part = farm.add_worker({"ENGINEHOUSE_TAGS": "unicorn"})
    try:
        assert client.jobs.wait(job, timeout=60).builds[0].state is BuildState.SUCCEEDED
    finally:
        farm.hold(part)


def test_a_model_that_openvino_cannot_convert_names_the_operator(client: Client):
    model = client.models.push(model_path("silero-vad"))
    job = client.jobs.wait(client.jobs.submit(model=model.id, targets=["openvino:fp32"]), timeout=120)
    (build,) = job.builds
    assert build.state is BuildState.FAILED
    assert build.failure.code == "build.unsupported_operator"
    assert "If" in build.failure.detail
    assert build.failure.advice
    assert len(build.attempts) == 1


def test_a_build_that_exceeds_its_time(client: Client, seed):
    model = client.models.push(model_path("ppocr-rec"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp32"], limits=Limits(time_s=1), seed=seed)
    (build,) = client.jobs.wait(job, timeout=60).builds
    assert (build.state, build.failure.code) == (BuildState.FAILED, "build.time_exceeded")
    assert len(build.attempts) == 1


def test_a_build_that_exceeds_its_memory(client: Client, seed):
    model = client.models.push(model_path("ppocr-rec"))
    job = client.jobs.submit(model=model.id, targets=["openvino:fp32"], limits=Limits(memory_mb=150), seed=seed)
    (build,) = client.jobs.wait(job, timeout=60).builds
    assert (build.state, build.failure.code) == (BuildState.FAILED, "build.memory_exceeded")


def test_an_upload_that_is_cut_off_goes_on_where_it_stopped(farm: EmbeddedFarm, client: Client):
    """40 MiB of a dataset in parts; the first connection dies in the middle of the second part."""
    samples = np.random.default_rng(1).random(10 * 1024 * 1024, dtype=np.float32).tobytes()
    with_header = _npz(samples)
    digest = hashlib.sha256(with_header).hexdigest()
    headers = {"Authorization": f"Bearer {farm.token}"}
    with httpx2.Client(base_url=farm.url, headers=headers) as http:
        body = {"sha256": digest, "size": len(with_header)}
        opened = http.post("/v1/uploads", json=body).json()
        step = opened["part_size"]
        parts = [with_header[start : start + step] for start in range(0, len(with_header), step)]
        wanted = [{"number": n, "sha256": hashlib.sha256(part).hexdigest()} for n, part in enumerate(parts, 1)]
        urls = http.post(f"/v1/uploads/{opened['id']}/parts", json={"parts": wanted}).json()["parts"]
        assert http.put(urls[0]["url"], content=parts[0], headers=urls[0]["headers"]).is_success

        def dies():
            yield parts[1][: step // 2]
            raise ConnectionResetError

        with pytest.raises(ConnectionResetError):
            http.put(urls[1]["url"], content=dies(), headers=urls[1]["headers"])
        early = http.post(f"/v1/uploads/{opened['id']}/complete")
        assert (early.status_code, early.json()["code"]) == (409, "upload.incomplete")
        again = http.post("/v1/uploads", json=body).json()
        assert again["id"] == opened["id"]
        assert [part["number"] for part in again["parts"]] == [1]
        for url, part in list(zip(urls, parts, strict=True))[1:]:
            assert http.put(url["url"], content=part, headers=url["headers"]).is_success
        assert http.post(f"/v1/uploads/{opened['id']}/complete").json()["state"] == "complete"
        made = http.post("/v1/datasets", json={"name": "resumed", "sha256": digest})
        assert made.status_code == 201, made.text


def _npz(samples: bytes) -> bytes:
    import io

    file = io.BytesIO()
    np.savez(file, x=np.frombuffer(samples, np.float32).reshape(10, -1))
    return file.getvalue()


def test_a_protobuf_that_lies_about_its_length(client: Client):
    lie = b"\x08\x08" + b"\x3a" + struct.pack("<Q", 2**62)[:8] + b"graph"
    with pytest.raises(ModelUnreadable):
        client.models.push(lie)


def test_a_model_that_does_not_run_fails_as_the_models_fault(client: Client):
    """A graph that is well formed and divides shapes that cannot match when it runs."""
    graph = helper.make_graph(
        [helper.make_node("Reshape", ["x", "s"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, None)],
        [onnx.numpy_helper.from_array(np.array([3], np.int64), "s")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    pushed = client.models.push(model.SerializeToString())
    job = client.jobs.wait(client.jobs.submit(model=pushed.id, targets=["onnxruntime:fp32"]), timeout=60)
    (build,) = job.builds
    assert build.state is BuildState.FAILED
    assert build.failure.code in {"build.reference_failed", "build.conversion_failed"}
    assert len(build.attempts) == 1

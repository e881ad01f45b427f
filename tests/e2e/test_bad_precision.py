"""Wrong datasets, shapes, options and sources: a clear answer, before a worker is bothered where that can be."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from watching import until

from enginehouse.client import Client
from enginehouse.errors import (
    DatasetMismatch,
    DatasetNotFinite,
    DatasetRequired,
    DatasetTooSmall,
    EnginehouseError,
    InvalidOption,
    InvalidShapes,
    ModelExecutesCode,
)
from enginehouse.states import BuildState
from enginehouse.targets import parse_target
from zoo.fetch import model_path

INPUT = "x"
SHAPE = (1, 3, 80, 160)


@pytest.fixture
def model(client: Client) -> Iterator[str]:
    """A real model; afterwards the farm builds it as before."""
    pushed = client.models.push(model_path("ppocr-cls"))
    assert pushed.signature.inputs[0].name == INPUT
    yield pushed.id
    job = client.jobs.submit(model=pushed.id, targets=["openvino:fp16"], verify=False, benchmark=False)
    assert client.jobs.wait(job, timeout=60).builds[0].state is BuildState.SUCCEEDED


def pushed(client: Client, name: str, **arrays: np.ndarray) -> str:
    file = io.BytesIO()
    np.savez(file, **arrays)
    return client.datasets.push(file.getvalue(), name=name).id


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(count).random((count, *SHAPE), dtype=np.float32)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"y": pictures(4)}, INPUT),
        ({INPUT: pictures(4).astype(np.int64)}, "int64"),
        ({INPUT: pictures(4)[..., :100, 0]}, "shape"),
    ],
    ids=["missing input", "wrong dtype", "wrong shape"],
)
def test_a_dataset_that_does_not_fit(client: Client, model: str, arrays: dict[str, np.ndarray], says: str):
    dataset = pushed(client, "misfit", **arrays)
    with pytest.raises(DatasetMismatch, match=says):
        client.jobs.submit(model=model, targets=["openvino:fp32"], dataset=dataset)


def test_a_dataset_with_nan(client: Client, model: str):
    samples = pictures(4)
    samples[2, 0, 1, 5, 5] = np.nan
    with pytest.raises(DatasetNotFinite, match=INPUT):
        pushed(client, "holes", **{INPUT: samples})


@pytest.mark.parametrize("backend", ["openvino", "onnxruntime", "litert"])
def test_int8_without_a_dataset_and_with_one_sample(client: Client, model: str, backend: str):
    with pytest.raises(DatasetRequired, match="dataset"):
        client.jobs.submit(model=model, targets=[f"{backend}:int8"], shapes={INPUT: SHAPE})
    dataset = pushed(client, "lonely", **{INPUT: pictures(1)})
    with pytest.raises(DatasetTooSmall, match="has 1"):
        client.jobs.submit(model=model, targets=[f"{backend}:int8"], dataset=dataset, shapes={INPUT: SHAPE})


def test_made_up_ranges_are_marked(client: Client, model: str):
    target = parse_target("openvino:int8").model_copy(update={"options": {"calibration": "generated"}})
    job = client.jobs.submit(model=model, targets=[target], benchmark=False)
    (build,) = client.jobs.wait(job, timeout=120).builds
    assert build.artifact, build.failure
    calibration = client.artifacts.get(build.artifact).report.calibration
    assert calibration is not None
    assert calibration.origin == "generated"


def test_a_profile_with_min_above_opt(client: Client, model: str):
    profile = {INPUT: {"min": (4, *SHAPE[1:]), "opt": SHAPE, "max": (8, *SHAPE[1:])}}
    with pytest.raises(InvalidShapes, match="min ≤ opt ≤ max"):
        client.jobs.submit(model=model, targets=["openvino:fp32"], profiles=[profile])


@pytest.mark.parametrize("target", ["openvino:fp32", "onnxruntime:fp32", "litert:fp32"])
def test_an_option_that_the_backend_does_not_know(client: Client, model: str, target: str):
    wanted = parse_target(target).model_copy(update={"options": {"frobnicate": 3}})
    with pytest.raises(InvalidOption, match="frobnicate"):
        client.jobs.submit(model=model, targets=[wanted], shapes={INPUT: SHAPE})


def test_pickles_are_refused_with_the_way_out(client: Client, model: str, tmp_path: Path):
    import torch

    torch.save(torch.nn.Linear(2, 2), tmp_path / "module.pt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "weights.pth")
    for name in ("module.pt", "weights.pth"):
        with pytest.raises(ModelExecutesCode, match="pickle") as caught:
            client.models.push(tmp_path / name)
        assert "torch.export" in caught.value.hint


def test_a_keras_lambda_is_refused(client: Client, model: str):
    inner = {"class_name": "__lambda__", "config": {"code": "4wEAAAAAAAAAAAAAAA=="}}
    layers = [
        {"module": "keras.layers", "class_name": "InputLayer", "config": {"batch_shape": [None, 4], "name": "x"}},
        {"module": "keras.layers", "class_name": "Lambda", "config": {"name": "evil", "function": inner}},
    ]
    config = {"module": "keras", "class_name": "Sequential", "config": {"name": "net", "layers": layers}}
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("config.json", json.dumps(config))
        archive.writestr("metadata.json", json.dumps({"keras_version": "3.15.1"}))
        archive.writestr("model.weights.h5", b"\x89HDF\r\n\x1a\n")
    with pytest.raises(ModelExecutesCode, match="evil"):
        client.models.push(file.getvalue())


def test_a_caffe_layer_without_counterpart_is_named(client: Client, model: str, tmp_path: Path):
    (tmp_path / "net.prototxt").write_text(
        'name: "net" input: "data" input_dim: 1 input_dim: 3 input_dim: 8 input_dim: 8\n'
        'layer { name: "odd" type: "Frobnicate" bottom: "data" top: "out" }\n'
    )
    (tmp_path / "net.caffemodel").write_bytes(b"\x0a\x03net")
    source = client.models.push(tmp_path / "net.prototxt")
    (build,) = client.jobs.wait(client.jobs.submit(model=source.id, targets=["openvino:fp32"]), timeout=60).builds
    assert build.failure is not None
    assert build.failure.code == "build.unsupported_operator"
    assert "Frobnicate" in build.failure.detail
    assert "odd" in json.dumps(build.failure.where)


def test_a_failed_build_leaves_the_script_that_repeats_it(client: Client, model: str):
    source = client.models.push(model_path("silero-vad"))
    (build,) = client.jobs.wait(client.jobs.submit(model=source.id, targets=["openvino:fp32"]), timeout=60).builds
    assert build.attempts[-1].attachments == ["reproduce.py"]
    script = client.builds.attachment(build.id, "reproduce.py").text
    assert "openvino==" in script
    compile(script, "reproduce.py", "exec")
    reach = {one.target: one for one in client.models.targets(source.id).items}
    assert (reach["openvino:fp32"].reach, reach["openvino:fp32"].code) == ("failed", "build.unsupported_operator")
    with pytest.raises(EnginehouseError):
        client.builds.attachment(build.id, "../../etc/passwd")


def test_shapes_that_are_no_shapes(client: Client, model: str):
    for shapes in ({"nope": (1,)}, {INPUT: (1, 3)}):
        with pytest.raises(InvalidShapes):
            client.jobs.submit(model=model, targets=["openvino:fp32"], shapes=shapes)
    until(lambda: client.jobs.list(limit=1).items, "the farm answers")

"""What may answer a build, and what never may: models that differ where it is easily overlooked."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from enginehouse.client import Client
from enginehouse.states import JobState, Origin
from enginehouse.targets import Precision, Target

FP16 = Target(backend="openvino", precision=Precision.FP16)


def write(path: Path, seed: int, wide: int = 8, *, external: bool = False) -> Path:
    """A matrix product and a bias, under the same names each time."""
    random = np.random.default_rng(seed)
    weights = [
        numpy_helper.from_array(random.normal(size=(16, wide)).astype(np.float32), "weight"),
        numpy_helper.from_array(random.normal(size=wide).astype(np.float32), "bias"),
    ]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weight"], ["h"]), helper.make_node("Add", ["h", "bias"], ["y"])],
        "net",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, wide])],
        weights,
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save_model(
        model, path, save_as_external_data=external, location="weights.bin", size_threshold=0, convert_attribute=False
    )
    return path


def dataset(path: Path, seed: int) -> Path:
    np.savez(path, x=np.random.default_rng(seed).normal(size=(32, 1, 16)).astype(np.float32))
    return path


def origin(client: Client, model: str, target: Target = FP16, **fields: object) -> Origin | None:
    """How a job was answered, and that what answered it was built of this very model."""
    ended = client.jobs.wait(client.jobs.submit(model=model, targets=[target], benchmark=False, **fields), timeout=240)
    assert ended.state is JobState.SUCCEEDED, ended.builds[0].failure
    (build,) = ended.builds
    assert build.artifact is not None
    assert client.artifacts.get(build.artifact).manifest.model == model
    return build.origin


@pytest.fixture
def model(client: Client, tmp_path: Path, seed: int) -> str:
    """One that has been built already."""
    pushed = client.models.push(write(tmp_path / "net.onnx", seed)).id
    assert origin(client, pushed) is Origin.BUILT
    return pushed


def test_the_same_again_is_answered_by_what_was_built(client: Client, model: str, tmp_path: Path, seed: int) -> None:
    renamed = client.models.push(write(tmp_path / "renamed.onnx", seed)).id
    assert renamed == model
    assert origin(client, renamed) is Origin.CACHE


def test_the_same_structure_with_other_weights_is_built(client: Client, model: str, tmp_path: Path, seed: int) -> None:
    other = client.models.push(write(tmp_path / "net.onnx", seed + 1)).id
    assert origin(client, other) is Origin.BUILT


def test_one_changed_bit_of_a_weight_is_built(client: Client, model: str, tmp_path: Path, seed: int) -> None:
    path = write(tmp_path / "net.onnx", seed)
    loaded = onnx.load(path)
    changed = numpy_helper.to_array(loaded.graph.initializer[0]).copy()
    changed.view(np.uint32)[0, 0] ^= 1
    loaded.graph.initializer[0].CopyFrom(numpy_helper.from_array(changed, "weight"))
    onnx.save_model(loaded, path)
    other = client.models.push(path).id
    assert other != model
    assert origin(client, other) is Origin.BUILT


def test_the_same_names_with_other_shapes_are_built(client: Client, model: str, tmp_path: Path, seed: int) -> None:
    other = client.models.push(write(tmp_path / "net.onnx", seed, wide=12)).id
    assert origin(client, other) is Origin.BUILT


def test_external_data_that_changed_on_disk_is_built(client: Client, tmp_path: Path, seed: int) -> None:
    """The graph's own file is the same to the byte, and so are names, size and time of the data beside it."""
    path = write(tmp_path / "net.onnx", seed, external=True)
    weights, graph = path.with_name("weights.bin"), path.read_bytes()
    first = client.models.push(path).id
    assert origin(client, first) is Origin.BUILT
    stood = weights.stat()
    weights.unlink()  # ONNX would write behind what is there
    write(path, seed + 1, external=True)
    assert path.read_bytes() == graph
    assert weights.stat().st_size == stood.st_size
    os.utime(weights, ns=(stood.st_atime_ns, stood.st_mtime_ns))
    second = client.models.push(path).id
    assert second != first
    assert origin(client, second) is Origin.BUILT
    assert origin(client, first) is Origin.CACHE


def test_another_dataset_under_the_same_name_is_built(client: Client, model: str, tmp_path: Path, seed: int) -> None:
    int8 = Target(backend="openvino", precision=Precision.INT8)
    names = []
    for version in (1, 2):
        pushed = client.datasets.push(dataset(tmp_path / "faces.npz", seed + version), name=f"faces-{seed}")
        names.append(pushed.id)
        assert origin(client, model, int8, dataset=pushed.id) is Origin.BUILT
    assert names[0] != names[1]
    for name in names:
        assert origin(client, model, int8, dataset=name) is Origin.CACHE


def test_other_options_are_built_and_spelled_out_defaults_are_not(client: Client, model: str) -> None:
    schema = next(
        one.options_schema for worker in client.workers.list().items for one in worker.capabilities
        if one.backend == "openvino"
    )  # fmt: skip
    defaults = {name: entry["default"] for name, entry in schema["properties"].items() if "default" in entry}
    assert defaults
    spelled = FP16.model_copy(update={"options": dict(reversed(defaults.items()))})
    assert origin(client, model, spelled) is Origin.CACHE
    hinted = FP16.model_copy(update={"options": {"hint": "throughput"}})
    assert defaults["hint"] != "throughput"
    assert origin(client, model, hinted) is Origin.BUILT
    assert (
        origin(client, model, hinted.model_copy(update={"options": {**defaults, "hint": "throughput"}})) is Origin.CACHE
    )


def test_another_seed_or_no_verification_is_built(client: Client, model: str) -> None:
    assert origin(client, model, seed=1) is Origin.BUILT
    assert origin(client, model, verify=False) is Origin.BUILT
    assert origin(client, model, verify=False) is Origin.CACHE

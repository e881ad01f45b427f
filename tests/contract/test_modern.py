"""Models from ONNX's first years: their modern form gives the outputs that their exporters published beside them."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, numpy_helper

from enginehouse.errors import UnsupportedOperator
from enginehouse.signature import ModelSignature
from workers.backends.base import Source
from workers.backends.onnxruntime.modern import modern

DATA = Path(onnx.__file__).parent / "backend/test/data"
PUBLISHED = sorted(path.parent for path in DATA.glob("pytorch-*/*/model.onnx"))


def source(path: Path) -> Source:
    model = onnx.load(path, load_external_data=False)
    opsets = {entry.domain: entry.version for entry in model.opset_import}
    signature = ModelSignature(format="onnx", ir_version=model.ir_version, opsets=opsets, inputs=[], outputs=[])
    return Source(path, signature)


def arrays(folder: Path, kind: str) -> list[np.ndarray]:
    found = []
    for path in sorted(folder.glob(f"test_data_set_0/{kind}_*.pb"), key=lambda p: int(p.stem.split("_")[1])):
        tensor = TensorProto()
        tensor.ParseFromString(path.read_bytes())
        found.append(numpy_helper.to_array(tensor))
    return found


@pytest.mark.parametrize("published", PUBLISHED, ids=lambda path: path.name)
def test_a_published_graph_gives_its_published_outputs(published: Path, tmp_path: Path):
    shutil.copy(published / "model.onnx", tmp_path)
    path = modern(source(tmp_path / "model.onnx"))
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]
    outputs = session.run(None, dict(zip(names, arrays(published, "input"), strict=True)))
    for mine, true in zip(outputs, arrays(published, "output"), strict=True):
        np.testing.assert_allclose(mine, true, rtol=1e-3, atol=1e-5)


def test_there_are_as_many_as_the_package_holds():
    assert len(PUBLISHED) > 100


def test_a_model_of_today_is_left_alone(tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Relu", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 17)])
    onnx.save(model, tmp_path / "model.onnx")
    assert modern(source(tmp_path / "model.onnx")) == tmp_path / "model.onnx"


def test_what_no_converter_lifts_is_named(tmp_path):
    graph = onnx.helper.make_graph(
        [onnx.helper.make_node("Nonesuch", ["x"], ["y"])],
        "g",
        [onnx.helper.make_tensor_value_info("x", TensorProto.FLOAT, [1])],
        [onnx.helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 5)], ir_version=3)
    onnx.save(model, tmp_path / "model.onnx")
    with pytest.raises(UnsupportedOperator, match="operator set"):
        modern(source(tmp_path / "model.onnx"))

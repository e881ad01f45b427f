from __future__ import annotations

import importlib
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from enginehouse.errors import ExternalDataMissing, ExternalDataOutside, RequestError
from enginehouse.sources import external_data, model_sources


def external(name: str, location: str) -> TensorProto:
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=[1], data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


def save(file: Path, initializers: list[TensorProto], nodes: list[onnx.NodeProto] | None = None) -> Path:
    graph = helper.make_graph(nodes or [], "g", [], [], initializer=initializers)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(helper.make_model(graph).SerializeToString())
    return file


def test_bytes_are_one_source() -> None:
    (only,) = model_sources(b"abc")
    assert (only.path, only.size, b"".join(only.read(1, 2))) == ("model.onnx", 3, b"bc")
    with pytest.raises(RequestError):
        model_sources(b"abc", [Path("w.bin")])


def test_external_data_goes_along_each_file_once(tmp_path: Path) -> None:
    file = save(tmp_path / "net.onnx", [external("a", "w.bin"), external("b", "w.bin"), external("c", "sub/v.bin")])
    (tmp_path / "w.bin").write_bytes(b"1234")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub/v.bin").write_bytes(b"5678")
    assert [source.path for source in model_sources(file)] == ["net.onnx", "w.bin", "sub/v.bin"]


def test_it_is_found_in_attributes_subgraphs_and_functions(tmp_path: Path) -> None:
    inner = helper.make_graph(
        [helper.make_node("Constant", [], ["y"], value=external("i", "in_subgraph"))], "inner", [], []
    )
    nodes = [helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner)]
    file = save(tmp_path / "net.onnx", [], nodes)
    model = onnx.load(file, load_external_data=False)
    constant = helper.make_node("Constant", [], ["y"], value=external("f", "in_function"))
    model.functions.append(helper.make_function("d", "f", [], ["y"], [constant], [helper.make_opsetid("", 18)]))
    file.write_bytes(model.SerializeToString())
    assert sorted(external_data(file)) == ["in_function", "in_subgraph"]


@pytest.mark.parametrize("location", ["../../etc/passwd", "/etc/passwd", "a/../../b", ""])
def test_a_model_cannot_make_its_sender_read_other_files(tmp_path: Path, location: str) -> None:
    file = save(tmp_path / "in" / "net.onnx", [external("a", location)])
    with pytest.raises(ExternalDataOutside):
        model_sources(file)


def test_nor_through_a_link(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"x")
    file = save(tmp_path / "in" / "net.onnx", [external("a", "w.bin")])
    (file.parent / "w.bin").symlink_to(secret)
    with pytest.raises(ExternalDataOutside):
        model_sources(file)


def test_what_is_missing_is_named_before_anything_is_sent(tmp_path: Path) -> None:
    with pytest.raises(ExternalDataMissing, match=r"w\.bin"):
        model_sources(save(tmp_path / "net.onnx", [external("a", "w.bin")]))


def test_named_files_lie_beside_the_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save(tmp_path / "in" / "net.onnx", [external("a", "w.bin")])
    (file.parent / "w.bin").write_bytes(b"1")
    expected = ["net.onnx", "w.bin"]
    assert [s.path for s in model_sources(file, [Path("w.bin")])] == expected
    assert [s.path for s in model_sources(file, [file.parent / "w.bin"])] == expected
    monkeypatch.chdir(tmp_path)
    assert [s.path for s in model_sources(Path("in/net.onnx"), [Path("in/w.bin")])] == expected
    with pytest.raises(ExternalDataOutside):
        model_sources(file, [tmp_path / "elsewhere.bin"])


def test_without_onnx_the_model_goes_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str) -> None:
        raise ImportError(name)

    file = save(tmp_path / "net.onnx", [external("a", "w.bin")])
    monkeypatch.setattr(importlib, "import_module", refuse)
    assert [source.path for source in model_sources(file)] == ["net.onnx"]


def test_a_model_without_external_data_is_not_parsed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = save(tmp_path / "net.onnx", [])
    monkeypatch.setattr(onnx, "load", lambda *args, **kwargs: pytest.fail("parsed"))
    assert external_data(file) == []


@pytest.mark.parametrize("content", [b"", b"\x00location\xff" * 100, b"random"])
def test_bytes_that_are_no_model_go_to_the_farm_which_will_say_so(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "net.onnx"
    file.write_bytes(content)
    assert [source.path for source in model_sources(file)] == ["net.onnx"]

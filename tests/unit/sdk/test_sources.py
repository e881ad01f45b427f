from __future__ import annotations

import importlib
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper

from enginehouse.errors import ExternalDataMissing, ExternalDataOutside, RequestError
from enginehouse.saved_model_folder import name_of
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


class TestCaffe:
    @pytest.fixture
    def folder(self, tmp_path: Path) -> Path:
        for name in ("net.prototxt", "net.caffemodel"):
            (tmp_path / name).write_bytes(b"1")
        return tmp_path

    @pytest.mark.parametrize("named", ["net.prototxt", "net.caffemodel"])
    def test_either_file_brings_the_other_and_the_text_comes_first(self, folder: Path, named: str) -> None:
        (folder / "other.caffemodel").write_bytes(b"2")
        (folder / "other.prototxt").write_bytes(b"2")
        assert [source.path for source in model_sources(folder / named)] == ["net.prototxt", "net.caffemodel"]

    def test_the_only_one_beside_it(self, folder: Path) -> None:
        (folder / "net.prototxt").rename(folder / "deploy.prototxt")
        expected = ["deploy.prototxt", "net.caffemodel"]
        assert [source.path for source in model_sources(folder / "deploy.prototxt")] == expected
        for name in ("solver.prototxt", "train_val.prototxt"):
            (folder / name).write_bytes(b"2")
        assert [source.path for source in model_sources(folder / "net.caffemodel")] == expected

    def test_the_one_that_is_named_wherever_it_lies(
        self, folder: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        elsewhere = tmp_path_factory.mktemp("weights") / "snapshot.caffemodel"
        elsewhere.write_bytes(b"22")
        text, weights = model_sources(folder / "net.prototxt", [elsewhere])
        assert (text.path, weights.path, weights.size) == ("net.prototxt", "snapshot.caffemodel", 2)
        assert [one.path for one in model_sources(folder / "net.caffemodel", ["net.prototxt"])] == [
            "net.prototxt",
            "net.caffemodel",
        ]

    @pytest.mark.parametrize(("there", "missing"), [("net.prototxt", ".caffemodel"), ("net.caffemodel", ".prototxt")])
    def test_a_missing_half_is_named_before_anything_is_sent(self, folder: Path, there: str, missing: str) -> None:
        (folder / f"net{missing}").unlink()
        with pytest.raises(ExternalDataMissing, match=rf"{there} needs its {missing} beside it, and none") as caught:
            model_sources(folder / there)
        assert f"--file NAME{missing}" in caught.value.hint

    def test_several_that_may_be_meant_are_listed(self, folder: Path) -> None:
        (folder / "net.caffemodel").rename(folder / "a.caffemodel")
        (folder / "b.caffemodel").write_bytes(b"2")
        with pytest.raises(ExternalDataMissing, match=r"2 lie beside it \(a.caffemodel, b.caffemodel\)"):
            model_sources(folder / "net.prototxt")

    def test_other_files_do_not_go_with_it(self, folder: Path) -> None:
        (folder / "labels.txt").write_bytes(b"2")
        with pytest.raises(RequestError, match=r"one \.caffemodel file, not labels\.txt"):
            model_sources(folder / "net.prototxt", ["labels.txt"])
        with pytest.raises(ExternalDataMissing, match=r"gone\.caffemodel is not there"):
            model_sources(folder / "net.prototxt", ["gone.caffemodel"])

    def test_a_file_that_is_not_there_is_said_so(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            model_sources(tmp_path / "net.prototxt")


def saved(folder: Path) -> Path:
    """A TensorFlow SavedModel's files, with what lies about on a desktop."""
    for name in (
        "variables/variables.index",
        "saved_model.pb",
        "assets/words.txt",
        "fingerprint.pb",
        ".DS_Store",
        ".git/x",
    ):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(name.encode())
    return folder


def test_a_saved_models_folder_goes_whole_its_graph_first(tmp_path: Path) -> None:
    folder = saved(tmp_path / "net.v1")
    expected = ["saved_model.pb", "fingerprint.pb", "assets/words.txt", "variables/variables.index"]
    for model in (folder, folder / "saved_model.pb"):
        sources = model_sources(model)
        assert [source.path for source in sources] == expected
        assert [b"".join(source.read(0, source.size)).decode() for source in sources] == expected
        assert name_of(model) == "net.v1"
    assert name_of(tmp_path / "net.v1.onnx") == "net.v1"
    with pytest.raises(RequestError, match="pushed whole"):
        model_sources(folder, [folder / "fingerprint.pb"])


def test_another_folder_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError, match=r"without saved_model\.pb"):
        model_sources(tmp_path)


def test_links_lead_nowhere_outside_the_folder(tmp_path: Path) -> None:
    folder = saved(tmp_path / "net")
    (tmp_path / "secret").mkdir()
    (tmp_path / "secret/key").write_bytes(b"x")
    (folder / "assets/same.txt").symlink_to(folder / "assets/words.txt")
    assert "assets/same.txt" in [source.path for source in model_sources(folder)]
    for link, target in (("assets/key", tmp_path / "secret/key"), ("more", tmp_path / "secret")):
        (folder / link).symlink_to(target)
        with pytest.raises(ExternalDataOutside, match=f"{link} is a link to"):
            model_sources(folder)
        (folder / link).unlink()


def test_more_files_than_an_upload_takes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("enginehouse.saved_model_folder.MOST_FILES", 3)
    with pytest.raises(RequestError, match="4 files"):
        model_sources(saved(tmp_path / "net"))

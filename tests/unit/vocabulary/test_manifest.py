"""The manifest of a batch: what it says, and what is wrong with it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enginehouse.errors import RequestError
from enginehouse.manifest import read_manifest

GOOD = """
name = "nightly"
targets = ["openvino:fp16"]
[[model]]
path = "net.onnx"
dataset = "street"
[[model]]
id = "3f8a00"
targets = ["openvino:int8"]
"""


def written(folder: Path, text: str, name: str = "m.toml") -> Path:
    (folder / "net.onnx").write_bytes(b"x")
    (folder / name).write_text(text)
    return folder / name


def test_what_stands_at_the_top_is_for_all_and_a_models_own_takes_its_place(tmp_path: Path):
    name, (first, second) = read_manifest(written(tmp_path, GOOD))
    assert name == "nightly"
    assert first.path == tmp_path / "net.onnx"
    assert first.fields == {"name": "net", "targets": ["openvino:fp16"], "dataset": "street"}
    assert (second.path, second.id, second.fields) == (None, "3f8a00", {"targets": ["openvino:int8"]})


def test_json_says_the_same(tmp_path: Path):
    content = {"model": [{"path": "net.onnx", "targets": ["openvino:fp16"]}]}
    name, (entry,) = read_manifest(written(tmp_path, json.dumps(content), "weekly.json"))
    assert (name, entry.fields["targets"]) == ("weekly", ["openvino:fp16"])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("targets = [", "is no TOML"),
        ("targets = []", "names no models"),
        ("model = 3", "names no models"),
        ("[[model]]\ntargets = []", "model 1: give 'path' or 'id'"),
        ("[[model]]\npath = 'net.onnx'\nid = 'a'", "model 1: give 'path' or 'id'"),
        ("[[model]]\npath = 'net.onnx'\n[[model]]\npath = 'gone.onnx'", "model 2: there is no"),
        ("[[model]]\nid = 7", "as text"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(tmp_path: Path, text: str, says: str):
    with pytest.raises(RequestError, match=says):
        read_manifest(written(tmp_path, text))


def test_a_file_that_is_no_text_is_refused(tmp_path: Path):
    file = tmp_path / "m.toml"
    file.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RequestError, match="cannot be read"):
        read_manifest(file)

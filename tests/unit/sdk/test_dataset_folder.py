"""A folder as a dataset's one file: what is packed, byte for byte, and what is refused before anything is sent."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import subprocess
import zipfile
from pathlib import Path

import numpy as np
import pytest
from unit.samples.made import npy, picture, recipe

from enginehouse.dataset_folder import folder_source
from enginehouse.datasets import ImageRecipe
from enginehouse.errors import DatasetUnreadable, RequestError
from enginehouse.sources import Source
from enginehouse.zipped import ZippedFiles
from samples import open_dataset


def put(folder: Path, files: dict[str, bytes]) -> Path:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


def whole(source: Source) -> bytes:
    return b"".join(source.read(0, source.size))


ARRAYS = {"x/b.npy": npy(np.arange(3.0)), "x/a.npy": npy(np.arange(4.0)), "labels.npy": npy([1, 2])}


def test_the_same_files_make_the_same_bytes(tmp_path: Path) -> None:
    files = {"x/b.npy": b"one", "x/a.npy": b"another", "labels.npy": b""}
    first = put(tmp_path / "one", files)
    second = put(tmp_path / "other", dict(reversed(files.items())) | {"x/.hidden": b"1", "Thumbs.db": b"2"})
    for path in second.rglob("*"):
        os.utime(path, (10**9, 10**9))
        path.chmod(0o755)
    sources = [folder_source(first), folder_source(second)]
    assert sources[0].path == "one.zip"
    digests = {hashlib.sha256(whole(source)).hexdigest() for source in sources}
    # Also on other machines and with later versions: a change here makes everybody's folders new versions.
    assert digests == {"c3262fae2ff254b3246685c243d4247e4ad03dae974378e44d9930e2aa1124d9"}


def test_it_is_a_zip_that_everybody_reads(tmp_path: Path) -> None:
    content = whole(folder_source(put(tmp_path / "in", {**ARRAYS, "ünïcode/a.npy": npy(1), "ünïcode/b.npy": npy(2)})))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == ["labels.npy", "x/a.npy", "x/b.npy", "ünïcode/a.npy", "ünïcode/b.npy"]
        assert archive.read("x/a.npy") == ARRAYS["x/a.npy"]
        assert {info.date_time for info in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
    (tmp_path / "out.zip").write_bytes(content)
    dataset = open_dataset(tmp_path / "out.zip")
    assert (dataset.names, dataset.samples) == (["x", "ünïcode"], 2)
    if shutil.which("unzip"):
        done = subprocess.run(["unzip", "-t", str(tmp_path / "out.zip")], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_any_stretch_of_it(tmp_path: Path) -> None:
    source = ZippedFiles("z", {"a": b"1234", "b": b"", "c": put(tmp_path, {"c": bytes(range(256))}) / "c"})
    content = whole(source)
    assert len(content) == source.size
    for start in range(0, len(content), 7):
        for length in (0, 1, 50, len(content) - start):
            stretch = b"".join(source.read(start, min(length, len(content) - start)))
            assert stretch == content[start : start + length]


def test_numpy_reads_a_folder_of_whole_arrays_as_its_own(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"x.npy": npy(np.ones((3, 2))), "y.npy": npy(np.zeros(3))})
    (tmp_path / "out.npz").write_bytes(whole(folder_source(folder)))
    with np.load(tmp_path / "out.npz") as loaded:
        assert {name: loaded[name].shape for name in loaded.files} == {"x": (3, 2), "y": (3,)}


def test_pictures_with_a_recipe_of_theirs_or_a_given_one(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", {"cat/1.png": picture()[0]})
    given = ImageRecipe(input="x", size=(2, 2))
    source = folder_source(folder, given)
    (tmp_path / "out.zip").write_bytes(whole(source))
    assert open_dataset(tmp_path / "out.zip").inputs()[0].shape == [1, 3, 2, 2]
    put(folder, {"recipe.json": recipe(size=[3, 3])})
    (tmp_path / "out.zip").write_bytes(whole(folder_source(folder)))
    assert open_dataset(tmp_path / "out.zip").inputs()[0].shape == [1, 3, 3, 3]
    with pytest.raises(RequestError, match="another recipe"):
        folder_source(folder, given)


def test_links_to_files_are_files(tmp_path: Path) -> None:
    put(tmp_path / "elsewhere", {"a.npy": npy(1.0)})
    (tmp_path / "in" / "x").mkdir(parents=True)
    (tmp_path / "in" / "x" / "0.npy").symlink_to(tmp_path / "elsewhere" / "a.npy")
    assert npy(1.0) in whole(folder_source(tmp_path / "in"))
    (tmp_path / "in" / "y").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(DatasetUnreadable, match="'y' is a link to a folder"):
        folder_source(tmp_path / "in")


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({}, "empty"),
        ({"x.npy": b"", "y/0.npy": b""}, "one sort"),
        ({"a.png": b""}, "no recipe.json"),
        ({"a.png": b"", "recipe.json": b"{}"}, "recipe.json: input"),
        ({"a.npy": b"", "notes.md": b""}, "notes.md"),
        ({"a\\b.npy": b""}, "plain relative name"),
    ],
)
def test_folders_that_are_no_dataset(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(DatasetUnreadable, match=says):
        folder_source(put(tmp_path / "in", files))


def test_a_file_that_becomes_shorter_while_it_is_sent(tmp_path: Path) -> None:
    folder = put(tmp_path / "in", ARRAYS)
    source = folder_source(folder)
    (folder / "x" / "a.npy").write_bytes(b"")
    with pytest.raises(OSError, match="shorter"):
        whole(source)

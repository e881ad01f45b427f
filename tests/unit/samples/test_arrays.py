"""Arrays: one per input, or one per sample."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from unit.samples.made import npy, npz, write, zipped

from enginehouse.datasets import DatasetKind
from enginehouse.errors import DatasetUnreadable
from enginehouse.signature import TensorSpec
from samples import Dataset, open_dataset


def opened(folder: Path, content: bytes) -> Dataset:
    return open_dataset(write(folder, content))


def test_one_array_per_input(tmp_path: Path) -> None:
    image, rate = np.random.default_rng(0).random((5, 1, 3, 4), np.float32), np.arange(5)
    dataset = opened(tmp_path, npz(image=image, sr=rate, labels=np.array(list("abcde"))))
    assert (dataset.kind, dataset.samples, dataset.names, dataset.labelled) == (
        DatasetKind.NPZ,
        5,
        ["image", "sr"],
        True,
    )
    assert dataset.inputs() == [
        TensorSpec(name="image", dtype="float32", shape=[1, 3, 4]),
        TensorSpec(name="sr", dtype="int64", shape=[]),
    ]
    for index in (4, 0, 2):
        sample = dataset.sample(index)
        np.testing.assert_array_equal(sample["image"], image[index])
        assert sample["sr"] == index
        assert sample["sr"].shape == ()
    labels = dataset.labels()
    assert labels is not None
    assert "".join(labels) == "abcde"
    with pytest.raises(IndexError):
        dataset.sample(5)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    "array",
    [
        np.arange(24, dtype=">f4").reshape(4, 3, 2),
        np.asfortranarray(np.arange(24, dtype=np.int16).reshape(4, 3, 2)),
        np.arange(4).astype(np.float16),
        np.zeros((4, 0, 3), np.float32),
        np.array([[True], [False], [True], [True]]),
        np.arange(4) * 1j,
    ],
    ids=["big-endian", "fortran", "half", "empty", "bool", "complex"],
)
def test_arrays_of_every_make(tmp_path: Path, array: np.ndarray, packed: bool) -> None:
    buffer = io.BytesIO()
    (np.savez_compressed if packed else np.savez)(buffer, x=array)
    dataset = opened(tmp_path, buffer.getvalue())
    assert dataset.inputs() == [TensorSpec(name="x", dtype=array.dtype.name, shape=list(array.shape[1:]))]
    for index in (3, 1, 0):
        sample = dataset.sample(index)["x"]
        np.testing.assert_array_equal(sample, array[index])
        assert sample.dtype.isnative
    pieces = [piece.values for piece in dataset.pieces("x", 3)]
    np.testing.assert_array_equal(np.concatenate([np.zeros(0, array.dtype), *pieces]), array[:3].reshape(-1))


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_a_slash_in_an_inputs_name_is_no_folder(tmp_path: Path, save: Any) -> None:
    arrays = {"block/left": np.arange(6.0).reshape(3, 2), "block/right": np.arange(3), "plain": np.zeros((3, 1))}
    for names in (["block/left", "block/right"], list(arrays)):
        buffer = io.BytesIO()
        save(buffer, **{name: arrays[name] for name in names})
        dataset = opened(tmp_path, buffer.getvalue())
        assert (dataset.kind, dataset.samples, dataset.names) == (DatasetKind.NPZ, 3, names)
        np.testing.assert_array_equal(dataset.sample(2)["block/left"], [4.0, 5.0])


def test_a_large_array_comes_in_pieces_that_know_their_sample(tmp_path: Path) -> None:
    array = np.arange(3_000_000, dtype=np.float32).reshape(3, -1)
    dataset = opened(tmp_path, npz(x=array))
    pieces = list(dataset.pieces("x", 2))
    assert len(pieces) > 1
    assert sum(piece.values.size for piece in pieces) == 2_000_000
    for piece in pieces:
        for at in (0, piece.values.size - 1):
            assert piece.sample_of(at) == piece.values[at] // 1_000_000


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros((2, 3)), "y": np.zeros((3, 3))}, "number of samples"),
        ({"x": np.float32(1)}, "no sample axis"),
        ({"x": np.zeros((0, 3))}, "no samples"),
        ({"x": np.zeros((10**12, 0))}, "the farm takes 10000000"),
        ({"labels": np.zeros(3)}, "labels and no inputs"),
        ({"x": np.array([{"a": 1}], dtype=object)}, "pickled Python objects"),
        ({"x": np.zeros(2, dtype=[("a", "f4")])}, "plain numbers"),
        ({"x": np.zeros(2, dtype="datetime64[s]")}, "plain numbers"),
        ({"x": np.zeros(2, dtype="V0")}, "plain numbers"),
    ],
)
def test_arrays_that_are_no_dataset(tmp_path: Path, arrays: dict[str, Any], says: str) -> None:
    with pytest.raises(DatasetUnreadable, match=says):
        opened(tmp_path, npz(**arrays))


def test_one_array_per_sample(tmp_path: Path) -> None:
    files = {"ids/b.npy": npy(np.arange(7)), "ids/a.npy": npy(np.arange(5)), "labels.npy": npy([3, 4])}
    files |= {"deep/mask/a.npy": npy(np.ones((1, 5), bool)), "deep/mask/b.npy": npy(np.ones((1, 7), bool))}
    dataset = opened(tmp_path, zipped(files))
    assert (dataset.kind, dataset.samples, dataset.names) == (DatasetKind.NPY, 2, ["deep/mask", "ids"])
    assert dataset.inputs() == [
        TensorSpec(name="deep/mask", dtype="bool", shape=[1, None]),
        TensorSpec(name="ids", dtype="int64", shape=[None]),
    ]
    assert [dataset.sample(index)["ids"].tolist() for index in (1, 0)] == [list(range(7)), list(range(5))]
    labels = dataset.labels()
    assert labels is not None
    assert labels.tolist() == [3, 4]
    assert [(piece.values.size, piece.sample_of(4)) for piece in dataset.pieces("ids", 2)] == [(5, 0), (7, 1)]
    assert [piece.values.tolist() for piece in dataset.pieces("labels", 1)] == [[3]]


ONE, TWO = npy(np.zeros(3)), npy(np.zeros((3, 3)))


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"x/0.npy": ONE, "x/1.npy": TWO}, r"'x/1' is float64\[3, 3\], the first .* is float64\[3\]"),
        ({"x/0.npy": ONE, "x/1.npy": npy(np.zeros(3, np.int8))}, "type and rank"),
        ({"x/0.npy": ONE, "y/1.npy": ONE}, "input 'y' has no sample '0.npy'"),
        ({"x/0.npy": ONE, "y/0.npy": ONE, "y/1.npy": ONE}, "input 'x' has no sample '1.npy'"),
        ({"x/0.npy": ONE, "labels/0.npy": ONE}, "labels are one array"),
        ({"x/0.npy": ONE, "labels.npy": ONE}, "must count the 1 samples"),
        ({"x/0.npy": ONE, "labels.npy": npy(1.0)}, "must count the 1 samples"),
        ({"x/0.npy": ONE, "y.npy": ONE}, "one sort"),
        ({"x/0.npy": b"rubbish"}, "no readable header"),
        ({"x/0.npy": ONE[:-1]}, "has 151 bytes where its header needs 152"),
        ({"x/0.npy": ONE, "x/notes.txt": b""}, "notes.txt"),
        ({}, "it is empty"),
    ],
)
def test_folders_that_are_no_dataset(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    with pytest.raises(DatasetUnreadable, match=says):
        opened(tmp_path, zipped(files)).inputs()


def test_a_large_fortran_array_would_have_to_be_loaded_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("samples.array._MOST_TURNED", 100)
    with pytest.raises(DatasetUnreadable, match="Fortran order") as caught:
        opened(tmp_path, npz(x=np.asfortranarray(np.zeros((4, 5)))))
    assert "ascontiguousarray" in caught.value.hint


def test_statistics_look_at_a_bounded_part(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("npz", "npy"):
        monkeypatch.setattr(f"samples.{module}.MOST_BYTES", 1000)
    assert opened(tmp_path, npz(x=np.zeros((100, 10)))).looked_at() == 12
    assert opened(tmp_path, npz(x=np.zeros((2, 1000)))).looked_at() == 1
    assert opened(tmp_path, zipped({f"x/{n}.npy": npy(np.zeros(40)) for n in range(9)})).looked_at() == 2


def test_the_file_is_closed_with_the_dataset(tmp_path: Path) -> None:
    """Warnings are errors here: a file that were left open would be one."""
    path = write(tmp_path, npz(x=np.zeros((2, 2))))
    for _ in range(3):
        open_dataset(path).sample(0)

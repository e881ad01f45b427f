"""The user's samples as a worker reads them: when they are asked for, each checked against the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from unit.samples.made import npy, npz, picture, pictures, write, zipped

from enginehouse.errors import DatasetMismatch, DatasetNotFinite, DatasetUnreadable
from enginehouse.signature import TensorSpec
from samples.npz import NpzDataset
from workers.pipeline.dataset import MOST_VERIFIED, read_labels, read_samples

INPUTS = [
    TensorSpec(name="x", dtype="float32", shape=["n", 2]),
    TensorSpec(name="k", dtype="int64", shape=["n"]),
]
PICTURE = [TensorSpec(name="x", dtype="float32", shape=["n", 3, None, "w"])]


def test_samples_come_in_the_inputs_types(tmp_path: Path) -> None:
    path = write(tmp_path, npz(x=np.ones((100, 3, 2)), k=np.zeros((100, 3), np.int32), labels=np.arange(100)))
    feeds = read_samples(path, INPUTS)
    assert len(feeds) == MOST_VERIFIED
    assert list(feeds[0]) == ["x", "k"]
    assert feeds[0]["x"].shape == (3, 2)
    assert (feeds[0]["x"].dtype, feeds[0]["k"].dtype) == (np.float32, np.int64)


def test_a_sequence_of_samples(tmp_path: Path) -> None:
    path = write(tmp_path, npz(x=np.arange(20, dtype=np.float32).reshape(10, 1, 2), k=np.arange(10).reshape(10, 1)))
    feeds = read_samples(path, INPUTS, 8)
    assert [int(one["k"][0]) for one in feeds] == list(range(8))
    assert [int(one["k"][0]) for one in feeds[2:7:2]] == [2, 4, 6]
    assert int(feeds[-1]["k"][0]) == 7
    assert len(read_samples(path, INPUTS, 1000)) == 10
    with pytest.raises(IndexError):
        feeds[8]


def test_no_more_is_read_than_is_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[int] = []
    sample = NpzDataset.sample
    monkeypatch.setattr(NpzDataset, "sample", lambda self, index: read.append(index) or sample(self, index))
    path = write(tmp_path, npz(x=np.ones((50, 1, 2)), k=np.ones((50, 1), int)))
    feeds = read_samples(path, INPUTS, 40)
    assert read == [0]
    _ = feeds[30:][3]
    assert read == [0, 33]


def test_samples_of_several_sizes(tmp_path: Path) -> None:
    files = {f"x/{n}.npy": npy(np.ones((n + 1, 2), np.float32)) for n in range(3)}
    files |= {f"k/{n}.npy": npy(np.ones(n + 1, np.int64)) for n in range(3)}
    feeds = read_samples(write(tmp_path, zipped(files)), INPUTS)
    assert [one["x"].shape for one in feeds] == [(1, 2), (2, 2), (3, 2)]


def test_pictures_are_samples(tmp_path: Path) -> None:
    feeds = read_samples(write(tmp_path, zipped(pictures(3, scale=255))), PICTURE)
    assert len(feeds) == 3
    expected = picture(seed=1)[1].transpose(2, 0, 1)[None] / np.float32(255)
    np.testing.assert_array_equal(feeds[1]["x"], expected)


def test_labels(tmp_path: Path) -> None:
    labels = read_labels(write(tmp_path, npz(x=np.ones((3, 2)), labels=[3, 1, 2])))
    assert labels is not None
    assert labels.tolist() == [3, 1, 2]
    table = b"file,label\n2.png,2\n1.png,1\n0.png,0\n"
    labels = read_labels(write(tmp_path, zipped(pictures(3, {"labels.csv": table}))))
    assert labels is not None
    assert labels.tolist() == [0, 1, 2]
    assert read_labels(write(tmp_path, npz(x=np.ones((3, 2))))) is None


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.ones((4, 3, 2), np.float32)}, "'k'"),
        ({"x": np.ones((4, 3, 2)), "k": np.ones((4, 3), int), "z": np.ones(4)}, "'z'"),
        ({"x": np.ones((4, 3, 5)), "k": np.ones((4, 3), int)}, "shape"),
        ({"x": np.ones((4, 2)), "k": np.ones((4, 3), int)}, "shape"),
        ({"x": np.ones((4, 3, 2)), "k": np.ones((4, 3), float)}, "float64"),
    ],
)
def test_samples_that_do_not_fit(arrays: dict[str, np.ndarray], says: str, tmp_path: Path) -> None:
    with pytest.raises(DatasetMismatch, match=says):
        read_samples(write(tmp_path, npz(**arrays)), INPUTS)


def test_a_type_that_numpy_does_not_have(tmp_path: Path) -> None:
    path = write(tmp_path, npz(x=np.ones((2, 2))))
    with pytest.raises(DatasetMismatch, match="takes sequence"):
        read_samples(path, [TensorSpec(name="x", dtype="sequence", shape=[2])])


@pytest.mark.parametrize(
    "arrays",
    [{"x": np.ones((4, 3, 2)), "k": np.ones((5, 3), int)}, {"x": np.ones((0, 3, 2)), "k": np.ones((0, 3), int)}],
)
def test_counts_that_differ_or_are_none(arrays: dict[str, np.ndarray], tmp_path: Path) -> None:
    with pytest.raises(DatasetUnreadable, match="samples"):
        read_samples(write(tmp_path, npz(**arrays)), INPUTS)


def test_a_late_sample_is_named(tmp_path: Path) -> None:
    files = {f"x/{n}.npy": npy(np.full((1, 2), [1, 1, np.nan][n], np.float32)) for n in range(3)}
    files |= {f"k/{n}.npy": npy(np.ones(1, np.int64)) for n in range(3)}
    feeds = read_samples(write(tmp_path, zipped(files)), INPUTS)
    with pytest.raises(DatasetNotFinite, match="sample 2 of 'x'"):
        list(feeds)


def test_pickles_and_rubbish_are_no_dataset(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnreadable, match="pickled"):
        read_samples(write(tmp_path, npz(x=np.array([{"a": 1}], dtype=object), k=np.zeros(1))), INPUTS)
    with pytest.raises(DatasetUnreadable, match=r"not a \.npz"):
        read_samples(write(tmp_path, b"rubbish"), INPUTS)

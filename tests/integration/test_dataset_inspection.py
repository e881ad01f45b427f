"""Datasets of every kind through the real child process: what is found, and what is refused."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
from unit.samples.made import npy, npz, picture, pictures, png_bomb, recipe, write, zipped

from enginehouse.datasets import DatasetContents, DatasetKind, InputStatistics
from enginehouse.errors import DatasetNotFinite, DatasetUnreadable, TooLarge
from enginehouse.signature import TensorSpec
from scheduler.inspection import inspect_dataset


def test_npz(tmp_path: Path) -> None:
    image = np.random.default_rng(0).normal(5, 2, (5, 1, 3, 8, 8)).astype(np.float32)
    image[image < 4] = 0
    path = write(tmp_path, npz(image=image, sr=np.full(5, 7), labels=np.arange(5, dtype=np.int32)))
    found = inspect_dataset(path)
    assert (found.kind, found.samples) == (DatasetKind.NPZ, 5)
    assert found.inputs == [
        TensorSpec(name="image", dtype="float32", shape=[1, 3, 8, 8]),
        TensorSpec(name="sr", dtype="int64", shape=[]),
    ]
    assert set(found.statistics) == {"image", "sr", "labels"}
    numbers = found.statistics["image"]
    assert (numbers.samples, numbers.min, numbers.max) == (5, 0.0, image.max())
    assert numbers.mean == pytest.approx(image.mean(dtype=np.float64), rel=1e-12)
    assert numbers.std == pytest.approx(image.std(dtype=np.float64), rel=1e-12)
    assert numbers.zeros == (image == 0).mean()
    assert found.statistics["sr"] == InputStatistics(samples=5, min=7, max=7, mean=7, std=0, zeros=0)


def test_packed(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros((3, 1000), np.float16))
    found = inspect_dataset(write(tmp_path, buffer.getvalue()))
    assert found == DatasetContents(
        kind=DatasetKind.NPZ,
        samples=3,
        inputs=[TensorSpec(name="x", dtype="float16", shape=[1000])],
        statistics={"x": InputStatistics(samples=3, min=0, max=0, mean=0, std=0, zeros=1)},
    )


def test_npy(tmp_path: Path) -> None:
    files = {f"x/{n}.npy": npy(np.full((1, n + 2), n, np.float32)) for n in range(3)}
    found = inspect_dataset(write(tmp_path, zipped(files, packed=True)))
    assert (found.kind, found.samples) == (DatasetKind.NPY, 3)
    assert found.inputs == [TensorSpec(name="x", dtype="float32", shape=[1, None])]
    values = np.repeat([0, 1, 2], [2, 3, 4])
    numbers = found.statistics["x"]
    assert (numbers.samples, numbers.min, numbers.max, numbers.zeros) == (3, 0, 2, 2 / 9)
    assert (numbers.mean, numbers.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))


def test_images(tmp_path: Path) -> None:
    table = b"file,label\n0.png,1\n1.png,0\n2.png,1\n"
    files = pictures(more={"labels.csv": table}, size=[6, 8], scale=255, mean=0)
    found = inspect_dataset(write(tmp_path, zipped(files)))
    assert (found.kind, found.samples) == (DatasetKind.IMAGES, 3)
    assert found.inputs == [TensorSpec(name="x", dtype="float32", shape=[1, 3, 6, 8])]
    values = np.stack([picture(seed=n)[1] for n in range(3)]) / 255
    numbers = found.statistics["x"]
    assert (numbers.samples, numbers.min, numbers.max) == (3, pytest.approx(values.min()), pytest.approx(values.max()))
    assert (numbers.mean, numbers.std) == (pytest.approx(values.mean()), pytest.approx(values.std()))
    assert found.statistics["labels"].max == 1


def test_words_have_no_numbers(tmp_path: Path) -> None:
    found = inspect_dataset(write(tmp_path, npz(words=np.array([["a", "b"], ["c", "d"]]))))
    assert found.inputs == [TensorSpec(name="words", dtype="string", shape=[2])]
    assert found.statistics == {"words": InputStatistics(samples=2)}


def test_numbers_at_the_end_of_what_float64_holds(tmp_path: Path) -> None:
    found = inspect_dataset(write(tmp_path, npz(x=np.array([[1e308, -1e308], [1e308, 1e308]]))))
    numbers = found.statistics["x"]
    assert (numbers.min, numbers.max, numbers.std) == (-1e308, 1e308, None)


def test_a_small_deviation_about_a_large_mean_is_not_lost(tmp_path: Path) -> None:
    values = 1e8 + np.random.default_rng(0).normal(0, 1, (3, 500_000))
    found = inspect_dataset(write(tmp_path, npz(x=values))).statistics["x"]
    assert found.std == pytest.approx(values.std(), rel=1e-6)


def holes(dtype: str, hole: float) -> np.ndarray:
    values = np.ones((9, 400, 500), dtype)
    values[6, 399, 499] = hole
    return values


@pytest.mark.parametrize(
    ("content", "input_", "what", "sample"),
    [
        (npz(a=np.ones((9, 2)), x=holes("float32", np.nan)), "x", "NaN", 6),
        (npz(x=holes("float16", -np.inf)), "x", "Inf", 6),
        (npz(x=np.asfortranarray(holes("float64", np.nan))), "x", "NaN", 6),
        (npz(x=np.ones((2, 2)), labels=np.array([0, np.nan])), "labels", "NaN", 1),
        (zipped({"x/a.npy": npy([1.0]), "x/b.npy": npy([np.inf])}), "x", "Inf", 1),
        (zipped(pictures(2, scale=1e-40)), "x", "Inf", 0),
    ],
    ids=["float32", "float16", "fortran", "labels", "npy", "images"],
)
def test_nan_and_inf(tmp_path: Path, content: bytes, input_: str, what: str, sample: int) -> None:
    with pytest.raises(DatasetNotFinite, match=f"'{input_}' holds {what} in sample {sample}") as caught:
        inspect_dataset(write(tmp_path, content))
    assert caught.value.where == {"input": input_, "sample": sample}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty"),
        (b"random bytes", "not a .npz"),
        (npz(x=np.zeros((2, 3)))[:-30], "not a .npz"),
        (npz(x=np.array([{"a": 1}], dtype=object)), "pickled Python objects"),
        (npz(labels=np.zeros(3)), "no inputs"),
        (zipped({"x.txt": b"x"}), "not the name of an array"),
        (zipped({"x.npy": b"x"}), "no readable header"),
        (zipped({".npy": b"x"}), "no samples"),
        (zipped({" x.npy": npy([1.0])}), "not the name of an input"),
        (zipped(pictures(2, {"evil.png": b"\x89PNG"})), "'evil.png' cannot be read"),
        (zipped(pictures(2, {"evil.png": picture(50, 50)[0][:500]}, size=[4, 4])), "'evil.png' cannot be read"),
        (zipped(pictures(2, {"evil.png": png_bomb()})), "far more pixels"),
        (zipped(pictures(2, {"x.npy": npy([1.0])})), "not both"),
        (zipped(pictures(2, colour="red")), "colour"),
        (zipped(pictures(2, {"labels.csv": b"file,label"})), "no label"),
    ],
)
def test_refused(tmp_path: Path, data: bytes, reason: str) -> None:
    with pytest.raises(DatasetUnreadable) as caught:
        inspect_dataset(write(tmp_path, data))
    assert reason in caught.value.detail + caught.value.hint


def test_a_single_array(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnreadable, match=r"\.npy") as caught:
        inspect_dataset(write(tmp_path, npy(np.zeros(3))))
    assert "numpy.savez" in caught.value.hint


def test_a_zip_bomb_is_not_unpacked(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.zeros((1, 200 * 1024**2), np.uint8))
    path = write(tmp_path, buffer.getvalue())
    assert path.stat().st_size < 1024**2
    with pytest.raises(TooLarge, match="unpacks to"):
        inspect_dataset(path, max_bytes=100 * 1024**2)
    assert inspect_dataset(path, memory_mb=512).statistics["x"].zeros == 1  # piece by piece


def test_a_header_that_promises_more_than_there_is(tmp_path: Path) -> None:
    data = npz(x=np.zeros((11, 3), np.float32)).replace(b"(11, 3)", b"(99, 3)")
    with pytest.raises(DatasetUnreadable):
        inspect_dataset(write(tmp_path, data))


def test_a_picture_that_needs_too_much_memory(tmp_path: Path) -> None:
    large = zipped({"recipe.json": recipe(), "a.png": png_bomb(7000, 7000)})  # 147 MB of pixels, 588 MB of numbers
    with pytest.raises(DatasetUnreadable, match="more than 500 MiB of memory"):
        inspect_dataset(write(tmp_path, large), memory_mb=500)


def test_more_pictures_than_statistics_look_at(tmp_path: Path) -> None:
    one = picture(4, 4)[0]
    files = {"recipe.json": recipe(), **{f"{n:04}.png": one for n in range(300)}}
    found = inspect_dataset(write(tmp_path, zipped(files)))
    assert (found.samples, found.statistics["x"].samples) == (300, 256)

"""Pictures: every field of the recipe, every kind of picture, and those that attack their reader."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from unit.samples.made import picture, pictures, png_bomb, recipe, write, zipped

from enginehouse.datasets import DatasetKind, ImageRecipe
from enginehouse.errors import DatasetUnreadable
from enginehouse.signature import TensorSpec
from samples import Dataset, open_dataset
from samples.picture import made, opened


def dataset(folder: Path, files: dict[str, bytes]) -> Dataset:
    return open_dataset(write(folder, zipped(files)))


def sample(content: bytes, **fields: Any) -> np.ndarray:
    with opened(io.BytesIO(content), "it") as image:
        return made(image, ImageRecipe(input="x", **fields))


def test_pictures_are_samples_in_the_order_of_their_names(tmp_path: Path) -> None:
    files = {
        "b/1.PNG": picture(seed=1)[0],
        "a.png": picture(seed=2)[0],
        "recipe.json": recipe(size=[6, 8], dtype="uint8"),
    }
    found = dataset(tmp_path, files)
    assert (found.kind, found.samples, found.names, found.labelled) == (DatasetKind.IMAGES, 2, ["x"], False)
    assert found.inputs() == [TensorSpec(name="x", dtype="uint8", shape=[1, 3, 6, 8])]
    for index, seed in enumerate((2, 1)):
        np.testing.assert_array_equal(found.sample(index)["x"], picture(seed=seed)[1].transpose(2, 0, 1)[None])
    with pytest.raises(IndexError):
        found.sample(2)


@pytest.mark.parametrize(
    ("layout", "axes", "shape"),
    [
        ("NCHW", (2, 0, 1), (1, 3, 6, 8)),
        ("NHWC", (0, 1, 2), (1, 6, 8, 3)),
        ("CHW", (2, 0, 1), (3, 6, 8)),
        ("HWC", (0, 1, 2), (6, 8, 3)),
    ],
)
def test_layouts(layout: str, axes: tuple[int, ...], shape: tuple[int, ...]) -> None:
    content, pixels = picture()
    found = sample(content, layout=layout, dtype="uint8")
    np.testing.assert_array_equal(found, pixels.transpose(axes).reshape(shape))
    assert found.flags.c_contiguous
    assert ImageRecipe(input="x", layout=layout).shape(6, 8) == list(shape)


def test_colours() -> None:
    content, pixels = picture()
    np.testing.assert_array_equal(sample(content, color="bgr", layout="HWC", dtype="uint8"), pixels[..., ::-1])
    gray = sample(content, color="gray", dtype="uint8")
    assert gray.shape == (1, 1, 6, 8)
    # ITU-R 601-2, as Pillow documents it for the mode L
    np.testing.assert_allclose(gray[0, 0], pixels @ [0.299, 0.587, 0.114], atol=1)


def test_mean_and_scale() -> None:
    content, pixels = picture()
    mean, scale = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
    found = sample(content, mean=mean, scale=scale, layout="HWC")
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (pixels - np.array(mean)) / np.array(scale), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(sample(content, scale=255, layout="HWC"), pixels.astype(np.float32) / np.float32(255))
    turned = sample(content, mean=(1, 2, 3), color="bgr", layout="HWC")  # per channel in the order of the colours
    np.testing.assert_array_equal(turned, pixels[..., ::-1] - np.array([1, 2, 3], np.float32))
    assert sample(content, scale=255, dtype="float16").dtype == np.float16


def test_resizing() -> None:
    wide = Image.new("RGB", (40, 20), (255, 0, 0))
    wide.paste((0, 0, 255), (10, 0, 30, 20))  # the middle half is blue
    buffer = io.BytesIO()
    wide.save(buffer, "PNG")
    shared = {"size": (10, 10), "layout": "HWC", "dtype": "uint8"}
    stretched = sample(buffer.getvalue(), **shared)
    assert stretched[5, 0].tolist() == [255, 0, 0]
    assert stretched[5, 5].tolist() == [0, 0, 255]
    cropped = sample(buffer.getvalue(), resize="crop", **shared)
    assert (cropped[..., 2] > 250)[:, 1:-1].all()  # the middle alone
    padded = sample(buffer.getvalue(), resize="pad", fill=7, **shared)
    assert (padded[[0, 1, 8, 9]] == 7).all()
    assert padded[5, 0].tolist() == [255, 0, 0]
    assert (sample(buffer.getvalue(), resize="pad", fill=7, color="gray", **shared)[0] == 7).all()


@pytest.mark.parametrize(
    ("form", "mode"),
    [("PNG", "1"), ("PNG", "L"), ("PNG", "LA"), ("PNG", "P"), ("PNG", "RGB"), ("PNG", "RGBA"), ("JPEG", "L"),
     ("JPEG", "RGB"), ("JPEG", "CMYK"), ("BMP", "RGB"), ("BMP", "P"), ("WEBP", "RGB"), ("WEBP", "RGBA")],
)  # fmt: skip
def test_every_kind_of_picture(form: str, mode: str) -> None:
    image = Image.linear_gradient("L").resize((9, 7)).convert(mode)
    buffer = io.BytesIO()
    image.save(buffer, form, **({"lossless": True} if form == "WEBP" else {}))
    found = sample(buffer.getvalue(), layout="HWC", dtype="uint8")
    assert found.shape == (7, 9, 3)
    if mode in ("L", "RGB") and form != "JPEG":
        np.testing.assert_array_equal(found, np.asarray(image.convert("RGB")))
    else:
        assert np.ptp(found) > 100


def test_a_palette_with_transparency() -> None:
    image = Image.new("P", (3, 2), 1)
    image.putpalette([255, 0, 0, 0, 255, 0])
    buffer = io.BytesIO()
    image.save(buffer, "PNG", transparency=b"\x80\x00")
    assert sample(buffer.getvalue(), layout="HWC", dtype="uint8").tolist() == [[[0, 255, 0]] * 3] * 2


def test_a_photograph_is_turned_upright(tmp_path: Path) -> None:
    image = Image.new("RGB", (16, 8))
    image.paste((255, 255, 255), (0, 0, 8, 8))  # left half white
    exif = Image.Exif()
    exif[0x0112] = 6  # turn by 90 degrees clockwise: left goes up
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", exif=exif, quality=95)
    found = dataset(tmp_path, {"recipe.json": recipe(layout="HWC", dtype="uint8"), "a.jpg": buffer.getvalue()})
    assert found.inputs()[0].shape == [16, 8, 3]
    upright = found.sample(0)["x"]
    assert upright.shape == (16, 8, 3)
    assert upright[:7].min() > 200
    assert upright[9:].max() < 50


def test_without_a_size_pictures_keep_their_own(tmp_path: Path) -> None:
    files = {"recipe.json": recipe(), "a.png": picture(6, 8)[0], "b.png": picture(5, 8)[0]}
    found = dataset(tmp_path, files)
    assert found.inputs() == [TensorSpec(name="x", dtype="float32", shape=[1, 3, None, 8])]
    assert [found.sample(index)["x"].shape for index in range(2)] == [(1, 3, 6, 8), (1, 3, 5, 8)]


def test_labels(tmp_path: Path) -> None:
    table = "\ufefffile,label\r\n2.png,7\r\n0.png,-1\r\n\r\n1.png, 5\r\n".encode()
    found = dataset(tmp_path, pictures(more={"labels.csv": table}))
    labels = found.labels()
    assert found.labelled
    assert labels is not None
    assert labels.tolist() == [-1, 5, 7]
    assert [piece.values.tolist() for piece in found.pieces("labels", 2)] == [[-1, 5]]


@pytest.mark.parametrize(
    ("table", "says"),
    [
        (b"", "first line"),
        (b"0.png,1", "first line"),
        (b"file,label\n0.png,1\n1.png,1", "no label for '2.png'"),
        (b"file,label\n9.png,1", "row 2: '9.png' names no picture"),
        (b"file,label\n0.png,1\n0.png,1", "row 3: '0.png' labels it again"),
        (b"file,label\n0.png", "names no picture"),
        (b"file,label\n0.png,cat", "'cat' is not a class number"),
        (b"file,label\n0.png,9223372036854775808", "not a class number"),
        (b"file,label\n0.png,--1", "not a class number"),
        (b"\xff\xfe", "UTF-8"),
    ],
)
def test_labels_that_cannot_be(tmp_path: Path, table: bytes, says: str) -> None:
    with pytest.raises(DatasetUnreadable, match=says):
        dataset(tmp_path, pictures(more={"labels.csv": table})).labels()


@pytest.mark.parametrize(
    ("files", "says"),
    [
        ({"a.png": b""}, r"recipe\.json that says"),
        ({"recipe.json": recipe()}, "no pictures"),
        ({"recipe.json": recipe(), "a.png": b"", "x.npy": b""}, "arrays .* and pictures"),
        ({"recipe.json": recipe(), "x/0.npy": b""}, "arrays .* and pictures"),
        ({"recipe.json": recipe(), "a.png": b"", "a.gif": b""}, r"'a\.gif' is not the name"),
        ({"recipe.json": b"{", "a.png": b""}, r"recipe\.json: Invalid JSON"),
        ({"recipe.json": b'{"size": [1, 2]}', "a.png": b""}, r"recipe\.json: input: Field required"),
        ({"recipe.json": recipe(size=[0, 2]), "a.png": b""}, r"recipe\.json: size\.0"),
        ({"recipe.json": b"\xff", "a.png": b""}, r"recipe\.json: Invalid JSON"),
        ({"recipe.json": b'{"\\u001b[2J": 1, "input": "x"}', "a.png": b""}, "Extra inputs"),
        ({"sub/recipe.json": recipe(), "sub/a.png": b""}, r"'sub/recipe\.json' is not the name"),
    ],
)
def test_files_that_are_no_dataset(tmp_path: Path, files: dict[str, bytes], says: str) -> None:
    with pytest.raises(DatasetUnreadable, match=says) as caught:
        dataset(tmp_path, files)
    assert caught.value.detail.isprintable()


def gif() -> bytes:
    buffer = io.BytesIO()
    Image.new("P", (3, 3)).save(buffer, "GIF")
    return buffer.getvalue()


def deep() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.zeros((3, 3), np.uint16)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "cannot be read: UnidentifiedImageError"),
        (b"not a picture at all", "cannot be read: UnidentifiedImageError"),
        (gif(), "cannot be read: UnidentifiedImageError"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "cannot be read: UnidentifiedImageError"),
        (picture(50, 50)[0][:200], "cannot be read"),
        (picture(50, 50, form="JPEG")[0][:700], "cannot be read"),
        (deep(), "pixel type I;16"),
        (png_bomb(), "far more pixels; the farm takes 50000000"),
        (png_bomb(8000), "8000 x 8000 pixels"),
    ],
    ids=["empty", "text", "gif", "eps", "cut png", "cut jpeg", "16 bits", "bomb", "large"],
)
def test_pictures_that_are_none(tmp_path: Path, content: bytes, says: str) -> None:
    with pytest.raises(DatasetUnreadable, match=rf"'evil\.png'.*{says}"):
        dataset(tmp_path, {"recipe.json": recipe(size=[4, 4]), "evil.png": content}).sample(0)


def test_a_header_is_enough_to_refuse_a_bomb(tmp_path: Path) -> None:
    found = dataset(tmp_path, pictures(more={"evil.png": png_bomb()}))
    with pytest.raises(DatasetUnreadable, match="far more pixels"):
        found.inputs()


def test_statistics_look_at_a_bounded_number(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = dataset(tmp_path, pictures(12))
    assert found.looked_at() == 12
    monkeypatch.setattr("samples.images.MOST_LOOKED_AT", 5)
    assert found.looked_at() == 5
    monkeypatch.setattr("samples.images._MOST_DECODED", 6 * 8 * 3)
    assert found.looked_at() == 3

"""One picture: opened as one of four formats, bounded in its pixels, and made into an array by the recipe."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from PIL import Image, ImageOps

from enginehouse.datasets import ImageRecipe, shown
from enginehouse.errors import DatasetUnreadable
from samples.array import Array

MOST_PIXELS = 50_000_000
"""Of one picture as it lies in its file."""

_FORMATS = ("PNG", "JPEG", "BMP", "WEBP")
_EIGHT_BITS = ("1", "L", "LA", "P", "RGB", "RGBA", "RGBX", "CMYK")
_TURNED = range(5, 9)
"""EXIF orientations in which height and width are exchanged."""
_ORIENTATION = 0x0112


@contextmanager
def opened(file: IO[bytes], name: str) -> Iterator[Image.Image]:
    """The picture with only its header read. What goes wrong with it, later too, is DatasetUnreadable."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # Pillow's on odd metadata, and its own bound on pixels, which is above ours
            with Image.open(file, formats=_FORMATS) as image:
                _check(image, name)
                yield image
    except (DatasetUnreadable, MemoryError):
        raise
    except Image.DecompressionBombError:  # far above our bound: Pillow refuses before it tells the size
        raise _too_large(name, "far more") from None
    except Exception as error:  # noqa: BLE001 - decoders of hostile bytes raise every kind there is
        said = f"{type(error).__name__}: {shown(str(error))}"
        raise DatasetUnreadable(f"picture '{shown(name)}' cannot be read: {said}", file=shown(name)) from None


def size_of(image: Image.Image) -> tuple[int, int]:
    """Height and width of the picture when it is upright."""
    width, height = image.size
    return (width, height) if _orientation(image) in _TURNED else (height, width)


def made(image: Image.Image, recipe: ImageRecipe) -> Array:
    """The sample. Decodes the picture."""
    if image.format in ("JPEG", "MPO"):
        image = ImageOps.exif_transpose(image)
    if image.mode == "P":
        image = image.convert("RGBA")  # a palette may be part transparent; transparency is dropped
    image = _resized(image.convert("L" if recipe.color == "gray" else "RGB"), recipe)
    pixels = np.asarray(image).reshape(image.height, image.width, recipe.channels)
    if recipe.color == "bgr":
        pixels = pixels[..., ::-1]
    if recipe.dtype != "uint8":
        with np.errstate(over="ignore"):  # what overflows is found as Inf
            scaled = (pixels - np.asarray(recipe.mean, np.float32)) / np.asarray(recipe.scale, np.float32)
            pixels = scaled.astype(recipe.dtype, copy=False)
    axes = ["HWC".index(axis) for axis in recipe.layout if axis != "N"]
    sample = pixels.transpose(axes)
    return np.ascontiguousarray(sample[np.newaxis] if "N" in recipe.layout else sample)


def _check(image: Image.Image, name: str) -> None:
    if image.width * image.height > MOST_PIXELS:
        raise _too_large(name, f"{image.width} x {image.height}")
    if image.mode not in _EIGHT_BITS:
        raise DatasetUnreadable(
            f"picture '{shown(name)}' has the pixel type {image.mode}, not 8 bits per channel",
            advice="Convert it, or push arrays instead of pictures.",
            file=shown(name),
        )


def _too_large(name: str, pixels: str) -> DatasetUnreadable:
    return DatasetUnreadable(
        f"picture '{shown(name)}' has {pixels} pixels; the farm takes {MOST_PIXELS}",
        advice="Scale it down: the model's input is much smaller.",
        file=shown(name),
    )


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation of a JPEG, 1 where there is none."""
    return int(image.getexif().get(_ORIENTATION, 1)) if image.format in ("JPEG", "MPO") else 1


def _resized(image: Image.Image, recipe: ImageRecipe) -> Image.Image:
    if recipe.size is None:
        return image
    height, width = recipe.size
    how = Image.Resampling.BILINEAR
    if recipe.resize == "crop":
        return ImageOps.fit(image, (width, height), how)
    if recipe.resize == "pad":
        fill = recipe.fill if image.mode == "L" else (recipe.fill,) * 3
        return ImageOps.pad(image, (width, height), how, color=fill)
    return image.resize((width, height), how)

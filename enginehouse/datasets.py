"""Words about datasets: their kinds, the recipe for images, and the numbers that the farm keeps of each input."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from enginehouse.errors import DatasetUnreadable
from enginehouse.shapes import has_rank
from enginehouse.signature import TensorSpec

LABELS = "labels"
"""What holds the labels and is no model input."""


class DatasetKind(StrEnum):
    """How the samples lie in the dataset's one file."""

    NPZ = "npz"
    """INPUT.npy: one array per input, first axis = samples (what numpy.savez writes)"""
    NPY = "npy"
    """INPUT/NAME.npy: one array per sample; samples of one input may differ in their sizes"""
    IMAGES = "images"
    """recipe.json and pictures"""


Size = Annotated[int, Field(ge=1, le=4096)]
Number = Annotated[float, Field(allow_inf_nan=False)]


class ImageRecipe(BaseModel):
    """How a picture becomes a sample of the model's one input.

    It is decoded, turned upright as a JPEG's EXIF orientation says, brought to its colours, resized (bilinear,
    antialiased), then ``(pixel - mean) / scale`` is taken of its pixels from 0 to 255.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: str = Field(min_length=1, max_length=500, description="the model input that the pictures are for")
    size: tuple[Size, Size] | None = Field(
        default=None, description="height and width; without it every picture keeps its own"
    )
    resize: Literal["stretch", "crop", "pad"] = Field(
        default="stretch",
        description="stretch: to the size, whatever the proportions; crop: scaled to cover the size, the middle kept; "
        "pad: scaled to fit into the size, centred, the rest is filled",
    )
    fill: int = Field(default=0, ge=0, le=255, description="grey level from 0 to 255 that 'pad' fills with")
    color: Literal["rgb", "bgr", "gray"] = Field(default="rgb", description="order of the channels; gray has one")
    layout: Literal["NCHW", "NHWC", "CHW", "HWC"] = Field(
        default="NCHW", description="order of the axes; with N every sample is a batch of one picture"
    )
    mean: tuple[Number, ...] = Field(
        default=(0.0,), description="subtracted from the pixels: one number, or one per channel in the order of 'color'"
    )
    scale: tuple[Number, ...] = Field(
        default=(1.0,), description="what the difference is divided by: one number, or one per channel"
    )
    dtype: Literal["float32", "float16", "uint8"] = Field(
        default="float32", description="element type; uint8 gives the pixels as they are, without mean and scale"
    )

    @field_validator("mean", "scale", mode="before")
    @classmethod
    def _one_number(cls, value: Any) -> Any:
        return (value,) if isinstance(value, int | float) else value

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        for name, values in (("mean", self.mean), ("scale", self.scale)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} numbers; it takes 1 or, for {self.color}, {self.channels}")
        if 0.0 in self.scale:
            raise ValueError("scale divides, so it cannot be 0")
        if self.dtype == "uint8" and (any(self.mean) or set(self.scale) != {1.0}):
            raise ValueError("mean and scale make fractions, which uint8 does not hold")
        if self.resize != "stretch" and self.size is None:
            raise ValueError(f"resize '{self.resize}' needs a size")
        return self

    @property
    def channels(self) -> int:
        """Channels of a sample."""
        return 1 if self.color == "gray" else 3

    def shape(self, height: int | None, width: int | None) -> list[int | None]:
        """A sample's shape; None for a side that differs between samples."""
        sides = {"N": 1, "C": self.channels, "H": height, "W": width}
        return [sides[axis] for axis in self.layout]


def parse_recipe(text: bytes | str) -> ImageRecipe:
    """The recipe in a recipe.json. Raises DatasetUnreadable, which names the field."""
    try:
        return ImageRecipe.model_validate_json(text)
    except ValidationError as error:
        raise DatasetUnreadable(f"recipe.json: {recipe_problems(error)}", file="recipe.json") from None


def recipe_problems(error: ValidationError) -> str:
    """What is wrong with a recipe, field by field."""
    found = error.errors(include_url=False, include_input=False, include_context=False)
    return "; ".join(
        ": ".join(filter(None, (shown(".".join(map(str, one["loc"]))), one["msg"].removeprefix("Value error, "))))
        for one in found[:5]
    )


def shown(text: str) -> str:
    """A stranger's text, fit to be shown: printable, at most 200 characters."""
    text = "".join(char if char.isprintable() else " " for char in text[:1000])
    return text if len(text) <= 200 else text[:199] + "…"


class InputStatistics(BaseModel):
    """What the values of one input look like. The numbers are None where there are no values, or none with an order."""

    samples: int = Field(description="how many of the first samples were looked at")
    min: float | None = None
    max: float | None = None
    mean: float | None = None
    std: float | None = Field(default=None, description="standard deviation of all values (population)")
    zeros: float | None = Field(default=None, description="share of the values that are 0, from 0 to 1")


class DatasetContents(BaseModel):
    """What a dataset's file holds."""

    kind: DatasetKind
    samples: int
    inputs: list[TensorSpec] = Field(
        description="shape of one sample; None: the size differs between samples (the rank never does)"
    )
    statistics: dict[str, InputStatistics] = Field(
        default_factory=dict, description="by input; 'labels' is among them where the dataset has labels"
    )


def takes(wanted: TensorSpec, shape: Sequence[int | str | None]) -> bool:
    """Whether a model input takes samples of this shape, in which None stands for sizes that differ."""
    if not has_rank(wanted):
        return True
    return len(shape) == len(wanted.shape) and all(
        not isinstance(dim, int) or dim < 1 or dim == size for dim, size in zip(wanted.shape, shape, strict=True)
    )

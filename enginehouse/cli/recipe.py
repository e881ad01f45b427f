"""Options that say how pictures become samples: the recipe, for a folder without a recipe.json."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    from enginehouse.datasets import ImageRecipe

Command = TypeVar("Command", bound=Callable[..., Any])

CHOICES = {
    "resize": ("stretch", "crop", "pad"),
    "color": ("rgb", "bgr", "gray"),
    "layout": ("NCHW", "NHWC", "CHW", "HWC"),
    "dtype": ("float32", "float16", "uint8"),
}
"""Written out, so that help is shown without loading the recipe's class."""


def _size(_: click.Context, __: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """``224x320``: height and width."""
    if value is None:
        return None
    found = re.fullmatch(r"([0-9]{1,5})x([0-9]{1,5})", value)
    if found is None:
        raise click.BadParameter(f"'{value}' is not HxW, height and width in pixels.")
    return int(found[1]), int(found[2])


def _numbers(_: click.Context, __: click.Parameter, value: str | None) -> tuple[float, ...] | None:
    """``0.5`` or ``123.7,116.3,103.5``."""
    if value is None:
        return None
    try:
        return tuple(float(part) for part in value.split(","))
    except ValueError:
        raise click.BadParameter(f"'{value}' is not a number, or numbers with commas.") from None


_OPTIONS = (
    click.option("--input", "input", metavar="NAME", help="Pictures: the model input that they are for."),
    click.option(
        "--size",
        metavar="HxW",
        callback=_size,
        help="Pictures: height and width to resize to; else each keeps its own.",
    ),
    click.option("--resize", type=click.Choice(CHOICES["resize"]), help="Pictures: how; 'stretch' by default."),
    click.option("--fill", type=click.IntRange(0, 255), help="Pictures: grey level that 'pad' fills with; default 0."),
    click.option("--color", type=click.Choice(CHOICES["color"]), help="Pictures: channels; 'rgb' by default."),
    click.option("--layout", type=click.Choice(CHOICES["layout"]), help="Pictures: axes; 'NCHW' by default."),
    click.option("--mean", metavar="N[,N,N]", callback=_numbers, help="Pictures: subtracted from pixels (0 to 255)."),
    click.option("--scale", metavar="N[,N,N]", callback=_numbers, help="Pictures: what the rest is divided by."),
    click.option("--dtype", type=click.Choice(CHOICES["dtype"]), help="Pictures: element type; 'float32' by default."),
)


def recipe_options(command: Command) -> Command:
    """The recipe's fields as options."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def recipe_of(given: dict[str, Any]) -> ImageRecipe | None:
    """The recipe of the options that were given; None without any. Raises click.UsageError."""
    from pydantic import ValidationError

    from enginehouse.datasets import ImageRecipe, recipe_problems

    fields = {name: value for name, value in given.items() if value is not None}
    if not fields:
        return None
    if "input" not in fields:
        raise click.UsageError("Name the model input that the pictures are for: --input NAME.")
    try:
        return ImageRecipe(**fields)
    except ValidationError as error:
        raise click.UsageError(f"The recipe is wrong: {recipe_problems(error)}.") from None

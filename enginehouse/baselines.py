"""Baselines that a job names: other targets that an artifact is measured against, besides its source model. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated

from pydantic import AfterValidator

from enginehouse.errors import TargetError, UnknownPrecision
from enginehouse.ladder import MIXED
from enginehouse.targets import AUTO, Target, TargetLike, parse_target

SOURCE = "source"
"""The name of the baseline that is always there: the source model in its own framework."""

MOST = 4
"""Each is built, loaded and timed, so a few must do."""


def checked(target: Target) -> Target:
    """The target, if it can be a baseline; else ValueError says why not."""
    if target.backend == AUTO:
        raise ValueError(f"'{AUTO}' is no baseline: nobody knows before what it will be; name BACKEND:PRECISION")
    if target.requires:
        raise ValueError(f"'{target}': a baseline has no hardware tags, it is built where the target is")
    if target.options.get(MIXED):
        raise ValueError(f"'{target}': a baseline is not verified, so it cannot have the option '{MIXED}'")
    return target


def named(name: str) -> Target:
    """The baseline of that name. ValueError says what is wrong with it."""
    try:
        return checked(parse_target(name))
    except UnknownPrecision as error:
        raise ValueError(error.detail) from None
    except TargetError:
        raise ValueError(f"'{name}' is neither '{SOURCE}' nor the BACKEND:PRECISION of a baseline") from None


Baseline = Annotated[TargetLike, AfterValidator(checked)]
"""A target that others are measured against, given in the short form or in full. Its name is the short form."""


def distinct(baselines: Iterable[Target]) -> None:
    """ValueError where two of them have one name, by which gates and reports could not tell them apart."""
    seen: set[str] = set()
    for name in map(str, baselines):
        if name in seen:
            raise ValueError(f"two of the baselines are {name}; of each backend and precision there can be one")
        seen.add(name)


def against(target: Target, baselines: Iterable[Target]) -> tuple[Target, ...]:
    """Those that the target is measured against: itself is none of them."""
    bare = target.model_copy(update={"requires": ()})
    return tuple(one for one in baselines if one != bare)

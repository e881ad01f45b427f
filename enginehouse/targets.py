"""Targets: what to build. Backend, precision, hardware requirement, options.

The short form is ``BACKEND:PRECISION[@TAG[+TAG...]]``, for example ``openvino:int8`` or
``tensorrt:fp16@h200``; or ``auto[@TAG...]``, which leaves the choice to a worker. Tags are the hardware tags that
workers announce, or a pool's name.
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from enginehouse.errors import TargetError, UnknownPrecision

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TAG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")


AUTO = "auto"
"""The backend that is none: a worker tries what it has, and builds the best."""


class Precision(StrEnum):
    """The precisions of the whole mission; a worker announces which of them it has."""

    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    FP8 = "fp8"
    INT8 = "int8"
    INT4 = "int4"
    AUTO = "auto"
    """whatever serves best: of the backend of the same name alone"""


class Target(BaseModel):
    """What to build. ``requires`` are hardware tags that a worker must have, sorted."""

    model_config = ConfigDict(frozen=True)

    backend: str = Field(pattern=_NAME.pattern, examples=["openvino"])
    precision: Precision
    requires: tuple[Annotated[str, Field(pattern=_TAG.pattern)], ...] = ()
    options: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _auto_goes_with_auto(self) -> Self:
        if (self.backend == AUTO) != (self.precision is Precision.AUTO):
            raise ValueError(f"'{AUTO}' stands alone: it is both the backend and the precision")
        return self

    def met_by(self, made: Target) -> bool:
        """Whether an artifact of that target answers this one: its own, or for ``auto`` what was chosen."""
        return made == self or (self.backend == AUTO and made.backend != AUTO)

    def __str__(self) -> str:
        short = AUTO if self.backend == AUTO else f"{self.backend}:{self.precision}"
        return short + ("@" + "+".join(self.requires) if self.requires else "")


def parse_target(text: str) -> Target:
    """Read the short form. Raises TargetError or UnknownPrecision, naming the place."""
    head, at, tail = text.strip().lower().partition("@")
    backend, colon, precision = (AUTO, ":", AUTO) if head == AUTO else head.partition(":")
    if not colon or not _NAME.fullmatch(backend):
        raise TargetError(f"'{text}' is not BACKEND:PRECISION or {AUTO}", target=text)
    tags = tuple(sorted(set(tail.split("+")))) if at else ()
    for tag in tags:
        if not _TAG.fullmatch(tag):
            raise TargetError(f"'{tag}' in '{text}' is not a hardware tag", target=text, tag=tag)
    try:
        return Target(backend=backend, precision=Precision(precision), requires=tags)
    except ValueError:
        known = ", ".join(one for one in Precision if one is not Precision.AUTO)
        raise UnknownPrecision(
            f"'{precision}' in '{text}' is not one of {known}", target=text, precision=precision
        ) from None


def _coerce(value: object) -> object:
    if isinstance(value, str):
        try:
            return parse_target(value)
        except TargetError as error:
            raise ValueError(error.detail) from error
    return value


TargetLike = Annotated[Target, BeforeValidator(_coerce, json_schema_input_type=Target | str)]
"""A target given in the short form or in full."""

BACKENDS = ("tensorrt", "openvino", "onnxruntime", "litert")
"""The inference toolchains that a farm can have workers for."""

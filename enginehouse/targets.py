"""Targets: what to build. Backend, precision, hardware requirement, options.

The short form is ``BACKEND:PRECISION[@TERM[+TERM...]]``, for example ``openvino:int8`` or
``tensorrt:fp16@h200``; or ``auto[@TERM...]``, which leaves the choice to a worker. A term is a hardware tag that
workers announce, a pool's name, or a constraint: ``openvino:fp16@avx2+cpu.cores>=8``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from enginehouse import constraints
from enginehouse.errors import TargetError, UnknownPrecision

_NAME = re.compile(r"[a-z][a-z0-9_-]{0,31}")
_TAG = re.compile(r"[a-z0-9][a-z0-9_.-]{0,63}")

MOST_TERMS = 16
"""Terms of one requirement: its text is part of an index."""

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
    """What to build. ``requires`` are hardware tags and constraints that a worker must meet, normalised and sorted."""

    model_config = ConfigDict(frozen=True)

    backend: str = Field(pattern=_NAME.pattern, examples=["openvino"])
    precision: Precision
    requires: tuple[Annotated[str, Field(max_length=constraints.LONGEST)], ...] = Field(
        default=(), max_length=MOST_TERMS, examples=[["avx2", "cpu.cores>=8", "cpu.isa has amx_int8"]]
    )
    options: dict[str, Any] = Field(default_factory=dict)

    @field_validator("requires")
    @classmethod
    def _normalised(cls, terms: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return requirement(terms)
        except TargetError as error:
            raise ValueError(error.detail) from error

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


def requirement(terms: Iterable[str]) -> tuple[str, ...]:
    """Tags and constraints in their canonical text, each once, sorted. Raises TargetError for the first wrong one."""
    found = tuple(sorted({_term(text) for text in terms}))
    if len(found) > MOST_TERMS:
        raise TargetError(f"{len(found)} terms are required, at most {MOST_TERMS} can be")
    return found


def parse_target(text: str) -> Target:
    """Read the short form. Raises TargetError, InvalidConstraint or UnknownPrecision, naming the place."""
    head, at, tail = text.strip().partition("@")
    head = head.lower()
    backend, colon, precision = (AUTO, ":", AUTO) if head == AUTO else head.partition(":")
    if not colon or not _NAME.fullmatch(backend):
        raise TargetError(f"'{text}' is not BACKEND:PRECISION or {AUTO}", target=text)
    requires = requirement(tail.split("+")) if at else ()
    try:
        return Target(backend=backend, precision=Precision(precision), requires=requires)
    except ValueError:
        known = ", ".join(one for one in Precision if one is not Precision.AUTO)
        raise UnknownPrecision(
            f"'{precision}' in '{text}' is not one of {known}", target=text, precision=precision
        ) from None


def read_requirement(terms: Sequence[str]) -> tuple[str, ...]:
    """What a target requires, from its terms. Raises TargetError."""
    return parse_target(f"{AUTO}@{'+'.join(terms)}").requires if terms else ()


def _term(text: str) -> str:
    if constraints.is_constraint(text.strip()):
        return str(constraints.parse(text.strip()))
    tag = text.strip().lower()
    if not _TAG.fullmatch(tag):
        raise TargetError(f"'{tag}' is not a hardware tag, and no constraint such as cpu.cores>=8", tag=tag)
    return tag


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

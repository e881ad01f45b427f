"""Constraints: what a target asks of a worker beyond plain tags: ``cpu.cores>=8``, ``cpu.isa has amx_int8``.

One constraint is a fact, an operator and a value; docs/constraints.md has the grammar. A name without a dot that is no
fact is a package of the backend's toolchain: ``tensorrt~=11.4``.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from enum import Enum, StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING

from enginehouse.errors import InvalidConstraint

if TYPE_CHECKING:
    from packaging.specifiers import Specifier
    from packaging.version import Version

Fact = int | float | str | Sequence[int | float | str]
"""One value; or several: of a set its members, otherwise those in which a worker's devices differ."""

LONGEST = 100
"""Characters of a constraint."""


class Op(StrEnum):
    """The operators."""

    EQUAL = "="
    UNEQUAL = "!="
    AT_LEAST = ">="
    AT_MOST = "<="
    MORE = ">"
    LESS = "<"
    COMPATIBLE = "~="
    HAS = "has"


class Kind(Enum):
    """How the values of a fact are compared."""

    NUMBER = "number"
    VERSION = "version"
    WORDS = "words"
    NAME = "name"
    SET = "set"


_ORDERED = (Op.EQUAL, Op.UNEQUAL, Op.AT_LEAST, Op.AT_MOST, Op.MORE, Op.LESS)

OPERATORS: Mapping[Kind, tuple[Op, ...]] = {
    Kind.NUMBER: _ORDERED,
    Kind.VERSION: (*_ORDERED, Op.COMPATIBLE),
    Kind.WORDS: (Op.EQUAL, Op.UNEQUAL),
    Kind.NAME: (Op.EQUAL, Op.UNEQUAL),
    Kind.SET: (Op.HAS,),
}

FACTS: Mapping[str, Kind] = {
    "cpu.cores": Kind.NUMBER,
    "cpu.isa": Kind.SET,
    "cpu.model": Kind.WORDS,
    "memory_gb": Kind.NUMBER,
    "gpu.name": Kind.WORDS,
    "gpu.count": Kind.NUMBER,
    "gpu.compute_capability": Kind.VERSION,
    "gpu.memory_gb": Kind.NUMBER,
    "gpu.driver": Kind.VERSION,
    "pool": Kind.NAME,
    "pipeline": Kind.VERSION,
}

_COMPARE: Mapping[Op, Callable[[Decimal, Decimal], bool]] = {
    Op.EQUAL: operator.eq,
    Op.UNEQUAL: operator.ne,
    Op.AT_LEAST: operator.ge,
    Op.AT_MOST: operator.le,
    Op.MORE: operator.gt,
    Op.LESS: operator.lt,
}
_SIGNS = frozenset("=!<>~:")
_MARKS = ("(r)", "(tm)", "(c)")


@dataclass(frozen=True, slots=True)
class Constraint:
    """One condition, in its canonical form: equal ones have equal text. Made by ``parse``."""

    fact: str
    op: Op
    value: str

    def __str__(self) -> str:
        gap = " " if self.op is Op.HAS else ""
        return f"{self.fact}{gap}{self.op}{gap}{self.value}"

    def holds(self, facts: Mapping[str, Fact]) -> bool:
        """Whether these facts meet it. A fact that is not there meets nothing; several values must each."""
        found = facts.get(self.fact)
        if found is None:
            return False
        values = [found] if isinstance(found, int | float | str) else found
        if self.op is Op.HAS:
            return self.value in values
        return bool(values) and all(self._met_by(value) for value in values)

    def _met_by(self, value: int | float | str) -> bool:
        match _kind(self.fact):
            case Kind.NUMBER:
                return not isinstance(value, str) and _COMPARE[self.op](Decimal(str(value)), Decimal(self.value))
            case Kind.VERSION:
                version = _version(str(value))
                return version is not None and _specifier(self.op, self.value).contains(version, prereleases=True)
            case Kind.WORDS:
                same = f" {self.value} " in f" {words(str(value))} "
            case _:
                same = str(value).lower() == self.value
        return same is (self.op is Op.EQUAL)


def shown(fact: Fact | None) -> str:
    """A fact's value for people."""
    if fact is None:
        return "nothing"
    return str(fact) if isinstance(fact, int | float | str) else ", ".join(map(str, fact)) or "nothing"


def is_constraint(term: str) -> bool:
    """Whether a term of a requirement is meant as a constraint; otherwise it is a plain tag."""
    return any(sign in "=<>~:" or sign.isspace() for sign in term)


@lru_cache(maxsize=4096)
def parse(text: str) -> Constraint:
    """Read one constraint. Raises InvalidConstraint, which names the place and what was expected there."""
    if len(text) > LONGEST:
        raise InvalidConstraint(f"'{text[:40]}…' is longer than {LONGEST} characters", constraint=text[:LONGEST])
    start = len(text) - len(text.lstrip())
    after = _run(text, start, lambda sign: sign.isascii() and (sign.isalnum() or sign in "._-"))
    fact = _fact(text, start, after)
    at = len(text) - len(text[after:].lstrip())
    op, after = _operator(text, at, fact)
    value = text[after:].strip()
    at = len(text) - len(text[after:].lstrip()) if value else len(text)
    if "+" in value:
        at += value.index("+")
        raise _wrong(text, at, "'+' separates the terms of a requirement and can be part of no value")
    return Constraint(fact, op, _VALUES[_kind(fact)](text, at, op, value.lower()))


def words(name: str) -> str:
    """A vendor's name as lower-case words: 'NVIDIA A100-SXM4-80GB' → 'nvidia a100 sxm4 80gb'."""
    plain = name.lower()
    for mark in _MARKS:
        plain = plain.replace(mark, " ")
    return " ".join("".join(sign if sign.isascii() and sign.isalnum() else " " for sign in plain).split())


@lru_cache(maxsize=4096)
def package_name(name: str) -> str:
    """The one spelling of a package's name."""
    from packaging.utils import canonicalize_name

    return str(canonicalize_name(name))


def _kind(fact: str) -> Kind:
    return FACTS.get(fact, Kind.VERSION)


def _run(text: str, start: int, belongs: Callable[[str], bool]) -> int:
    """Where the run of characters that belong together ends."""
    end = start
    while end < len(text) and belongs(text[end]):
        end += 1
    return end


def _fact(text: str, start: int, end: int) -> str:
    name = text[start:end].lower()
    if name in FACTS:
        return name
    if "." in name:
        near = get_close_matches(name, FACTS, n=2)
        raise _wrong(text, start, f"there is no fact '{name}'; there is {', '.join(near or FACTS)}")
    name = package_name(name)
    parts = {package_name(fact.rpartition(".")[2]): fact for fact in reversed(list(FACTS))}
    near = get_close_matches(name, parts, n=1, cutoff=0.8)
    if near:
        raise _wrong(text, start, f"there is no fact '{text[start:end]}'; there is {parts[near[0]]}")
    if not name or not name[0].isalnum() or not name[-1].isalnum():
        raise _wrong(text, start, "expected the name of a fact or of a package")
    return name


def _operator(text: str, start: int, fact: str) -> tuple[Op, int]:
    taken = OPERATORS[_kind(fact)]
    end = _run(text, start, lambda sign: sign in _SIGNS)
    if end == start:
        end = _run(text, start, lambda sign: not sign.isspace())
    word = text[start:end].lower()
    if word in taken:
        return Op(word), end
    expected = f"{fact} takes {', '.join(taken)}"
    if word in list(Op):
        raise _wrong(text, start, f"{expected}, not '{word}'")
    swapped = [op for op in taken if sorted(op) == sorted(word)]
    near = swapped or (get_close_matches(word, taken, n=1, cutoff=0.5) if word else [])
    if near:
        raise _wrong(text, start, f"'{word}' is no operator; '{near[0]}' is one")
    raise _wrong(text, start, f"expected an operator; {expected}")


def _number(text: str, at: int, _op: Op, value: str) -> str:
    whole, dot, rest = value.partition(".")
    if not _digits(whole) or (dot and not _digits(rest)):
        raise _wrong(text, at, "expected a number, such as 8 or 7.5")
    rest = rest.rstrip("0")
    return (whole.lstrip("0") or "0") + (f".{rest}" if rest else "")


def _digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 15


def _versions(text: str, at: int, op: Op, value: str) -> str:
    from packaging.utils import canonicalize_version

    plain = value.removesuffix(".*")
    if plain != value and op not in (Op.EQUAL, Op.UNEQUAL):
        raise _wrong(text, at, f"'.*' goes with = and != only, not with '{op}'")
    version = _version(plain)
    if version is None:
        raise _wrong(text, at, "expected a version, such as 11.4")
    if op is Op.COMPATIBLE and len(version.release) < 2:
        raise _wrong(text, at, f"'~=' needs two parts or more, such as ~={version.release[0]}.0")
    if plain != value:
        if version.is_prerelease or version.is_postrelease:
            raise _wrong(text, at, "'.*' follows a plain release, such as 2026.4.*")
        return f"{version}.*"
    return canonicalize_version(version, strip_trailing_zero=op is not Op.COMPATIBLE)


def _words_of(text: str, at: int, _op: Op, value: str) -> str:
    found = words(value)
    if not value.isascii() or not found:
        raise _wrong(text, at, "expected words of letters and digits, such as H200")
    return found


def _name(text: str, at: int, _op: Op, value: str) -> str:
    if not value or _run(value, 0, lambda sign: sign.isascii() and (sign.isalnum() or sign in "._-")) < len(value):
        raise _wrong(text, at, "expected one name of letters, digits, '.', '_' and '-'")
    return value


_VALUES: Mapping[Kind, Callable[[str, int, Op, str], str]] = {
    Kind.NUMBER: _number,
    Kind.VERSION: _versions,
    Kind.WORDS: _words_of,
    Kind.NAME: _name,
    Kind.SET: _name,
}


def _wrong(text: str, at: int, says: str) -> InvalidConstraint:
    detail = f"'{text}' is neither a hardware tag nor a constraint: at character {at + 1}, {says}"
    return InvalidConstraint(detail, constraint=text, position=at + 1)


@lru_cache(maxsize=4096)
def _version(text: str) -> Version | None:
    # Imported where it is needed: most targets name no version, and the command line starts without it.
    from packaging.version import InvalidVersion, Version

    try:
        return Version(text)
    except InvalidVersion:
        return None


@lru_cache(maxsize=4096)
def _specifier(op: Op, value: str) -> Specifier:
    from packaging.specifiers import Specifier

    return Specifier(f"=={value}" if op is Op.EQUAL else f"{op}{value}")

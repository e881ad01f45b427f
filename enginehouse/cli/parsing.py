"""Values of ``submit``'s options. Pure: text in, plain data out, click.BadParameter for what cannot be read."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

_TIME_UNITS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600}
_MEMORY_UNITS = {"": 1, "m": 1, "mb": 1, "mib": 1, "g": 1024, "gb": 1024, "gib": 1024}


def all_gates(given: Sequence[str], known: Sequence[str]) -> dict[str, dict[str, Any]]:
    """A request's ``gates`` and ``target_gates``, the latter from ``openvino:int8.min_speedup=1.2`` and the like."""
    by_target: dict[str, list[str]] = {"": []}
    for text in given:
        # A target may hold '.' and '=' itself, as openvino:fp16@cpu.cores>=8 does: the last gate's name counts.
        at = max((text.rfind(f".{name}=") for name in known), default=-1)
        by_target.setdefault(text[: max(at, 0)], []).append(text[at + 1 :])
    return {
        "gates": gates(by_target.pop(""), known),
        "target_gates": {target: gates(own, known) for target, own in by_target.items()},
    }


def gates(given: Sequence[str], known: Sequence[str]) -> dict[str, Any]:
    """``min_speedup=1.1`` and the like; for one metric or baseline by its name ``max_metric_loss=top1:0.01``.

    ``min_speedup=1.5`` beside ``min_speedup=openvino:fp32:1.2`` is the one over the source model.
    """
    from enginehouse.baselines import SOURCE

    found: dict[str, Any] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not equals or name not in known:
            raise click.BadParameter(f"'{text}' is not NAME=VALUE with NAME one of {', '.join(known)}.")
        of, colon, value = value.rpartition(":")
        if name == "min_speedup" and not colon:
            of, colon = SOURCE, ":"
        into = found.setdefault(name, {}) if colon else found
        key = of if colon else name
        if not isinstance(into, dict) or key in into:
            raise click.BadParameter(f"'{name}' is given twice.")
        try:
            number = float(value)
        except ValueError:
            raise click.BadParameter(f"'{value}' in '{text}' is not a number.") from None
        into[key] = int(number) if number.is_integer() else number
    if list(speedups := found.get("min_speedup", {})) == [SOURCE]:
        found["min_speedup"] = speedups[SOURCE]
    return found


def shapes(given: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """``x=1,3,320,320``. An input's name may hold '=' itself: the last one counts. ``x=`` is a scalar."""
    found: dict[str, tuple[int, ...]] = {}
    for text in given:
        name, equals, dims = text.rpartition("=")
        parts = [part.strip() for part in dims.split(",")] if dims.strip() else []
        if not equals or not name or not all(re.fullmatch(r"[0-9]{1,9}", part) and int(part) >= 1 for part in parts):
            raise click.BadParameter(f"'{text}' is not INPUT=N,N,... with whole numbers from 1.")
        if name in found:
            raise click.BadParameter(f"'{name}' is given twice.")
        found[name] = tuple(int(part) for part in parts)
    return found


def profile(given: Sequence[str]) -> dict[str, dict[str, tuple[int, ...]]]:
    """``x=1,3,64,64:1,3,320,320:4,3,640,640``: smallest, usual and largest shape of an input."""
    found: dict[str, dict[str, tuple[int, ...]]] = {}
    for text in given:
        name, equals, ranges = text.rpartition("=")
        bounds = ranges.split(":")
        if not equals or not name or len(bounds) != 3:
            raise click.BadParameter(f"'{text}' is not INPUT=MIN:OPT:MAX, each of them N,N,...")
        if name in found:
            raise click.BadParameter(f"'{name}' is given twice.")
        found[name] = {
            bound: shapes([f"{name}={dims}"])[name] for bound, dims in zip(("min", "opt", "max"), bounds, strict=True)
        }
    return found


def observed(path: Path) -> list[dict[str, list[int]]]:
    """A JSON file with a list of {input: shape}; the request's schema looks at what is in it."""
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(found, list):
        raise click.BadParameter(f"{path} holds no list of {{input: shape}}.")
    return found


def metric(path: Path, lower_is_better: bool) -> dict[str, Any]:
    """A job's own metric out of a file, named as the file; the request's schema looks at what is in it."""
    try:
        code = path.read_text()
    except (OSError, ValueError) as error:
        raise click.BadParameter(f"{path} cannot be read: {error}") from None
    return {"name": path.stem, "code": code, "higher_is_better": not lower_is_better}


def options(given: Sequence[str], backends: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Per backend its options. ``BACKEND.KEY=VALUE`` is for one backend, ``KEY=VALUE`` for all; JSON where it is."""
    found: dict[str, dict[str, Any]] = {backend: {} for backend in backends}
    for text in given:
        name, equals, raw = text.partition("=")
        head, dot, key = name.partition(".")
        if not equals or not name or (dot and not key):
            raise click.BadParameter(f"'{text}' is not KEY=VALUE or BACKEND.KEY=VALUE.")
        if dot and head not in found:
            raise click.BadParameter(f"'{text}': no target is for backend '{head}'.")
        for backend in [head] if dot else list(found):
            found[backend][key if dot else name] = option_value(raw)
    return found


def option_value(raw: str) -> Any:
    """JSON when it is JSON (numbers, true, lists), else the text itself."""
    try:
        return json.loads(raw, parse_constant=lambda name: name)
    except ValueError:
        return raw


def seconds(text: str) -> int:
    """``90``, ``90s``, ``10m``, ``2h``."""
    return _quantity(text, _TIME_UNITS, "a time like 90, 10m or 2h")


def mebibytes(text: str) -> int:
    """``4096``, ``4096M``, ``4G``."""
    return _quantity(text, _MEMORY_UNITS, "an amount of memory like 4096, 4096M or 4G")


def _quantity(text: str, units: dict[str, int], what: str) -> int:
    match = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,6})?)\s*([a-z]*)", text.strip().lower())
    if not match or match[2] not in units:
        raise click.BadParameter(f"'{text}' is not {what}.")
    value = float(match[1]) * units[match[2]]
    if value < 1:
        raise click.BadParameter(f"'{text}' is too little.")
    return round(value)

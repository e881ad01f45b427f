"""The manifest file of a batch: models by path or id, what all of them are built for, and what is one's own.

    name = "nightly"
    targets = ["openvino:fp16", "onnxruntime:fp32"]
    ladder = true

    [[model]]
    path = "detector.onnx"
    dataset = "street"

    [[model]]
    id = "3f8a…"
    targets = ["openvino:int8"]

TOML, or the same as JSON. Every field of a job may stand at the top, for all, or with a model, for it alone.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from enginehouse.errors import RequestError


@dataclass(frozen=True)
class Entry:
    """One model of a manifest: a file beside it or an id, and the job's fields."""

    path: Path | None
    id: str | None
    fields: dict[str, Any]


def read_manifest(file: Path) -> tuple[str, list[Entry]]:
    """The batch's name and its models. Raises RequestError with the place of what is wrong."""
    try:
        text = file.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{file} cannot be read: {error}") from None
    try:
        content = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise RequestError(f"{file} is no {'JSON' if file.suffix == '.json' else 'TOML'}: {error}") from None
    models = content.pop("model", None) if isinstance(content, dict) else None
    if not isinstance(models, list) or not models or not all(isinstance(one, dict) for one in models):
        raise RequestError(f"{file} names no models", advice="Give a [[model]] with 'path' or 'id' for each.")
    name = str(content.pop("name", file.stem))
    return name, [_entry(file, number, {**content, **one}) for number, one in enumerate(models)]


def _entry(file: Path, number: int, fields: dict[str, Any]) -> Entry:
    path, known = fields.pop("path", None), fields.pop("id", None)
    place = f"{file}, model {number + 1}"
    if (path is None) == (known is None) or not isinstance(path or known, str):
        raise RequestError(f"{place}: give 'path' or 'id', as text", model=number)
    if known is not None:
        return Entry(None, known, fields)
    found = file.parent / path
    if not found.exists():
        raise RequestError(f"{place}: there is no {found}", model=number)
    return Entry(found, None, {"name": found.stem, **fields})

"""Every format that a source model may have. Importing this imports no framework."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
from collections.abc import Iterable
from contextlib import suppress
from functools import cache

from enginehouse.formats import Format
from workers.sources.base import SourceFormat

_MODULES = {
    Format.ONNX: "onnx_file",
    Format.TORCH_EXPORT: "torch_export",
    Format.TORCHSCRIPT: "torchscript",
    Format.SAVED_MODEL: "saved_model",
    Format.KERAS: "keras_file",
    Format.TFLITE: "tflite",
    Format.CAFFE: "caffe",
}


def known() -> list[Format]:
    """The formats that this code reads."""
    return list(_MODULES)


def get(name: Format | str) -> SourceFormat:
    """What the farm knows of a format."""
    made: SourceFormat = importlib.import_module(f"workers.sources.{_MODULES[Format(name)]}").FORMAT
    return made


@cache
def _found(module: str) -> bool:
    with suppress(ImportError, ValueError):
        return importlib.util.find_spec(module) is not None
    return False


def available(modules: Iterable[str]) -> bool:
    """Whether all of these can be found. They are not imported: some take seconds."""
    return all(_found(module) for module in modules)


def versions(formats: Iterable[Format]) -> dict[str, str]:
    """Package to version of all that reading these formats may use: a part of the toolchain."""
    found = {}
    for each in formats:
        for package in get(each).packages:
            with suppress(importlib.metadata.PackageNotFoundError):
                found[package] = importlib.metadata.version(package)
    return dict(sorted(found.items()))


__all__ = ["SourceFormat", "available", "get", "known", "versions"]

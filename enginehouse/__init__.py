"""Enginehouse: a self-hosted build farm for inference engines. The vocabulary, the SDK and the command line."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from enginehouse.client import Client as Client
    from enginehouse.errors import EnginehouseError as EnginehouseError
    from enginehouse.gates import Gates as Gates
    from enginehouse.request import JobRequest as JobRequest
    from enginehouse.request import Limits as Limits
    from enginehouse.states import BuildState as BuildState
    from enginehouse.states import JobState as JobState
    from enginehouse.states import Priority as Priority
    from enginehouse.targets import Precision as Precision
    from enginehouse.targets import Target as Target
    from enginehouse.targets import parse_target as parse_target

__version__ = "0.1.0"

# Name to module. Loaded when first asked for: the command line's start must not pay for the SDK.
_FACE = {
    "Client": "client",
    "EnginehouseError": "errors",
    "Gates": "gates",
    "JobRequest": "request",
    "Limits": "request",
    "BuildState": "states",
    "JobState": "states",
    "Priority": "states",
    "Precision": "targets",
    "Target": "targets",
    "parse_target": "targets",
}

__all__ = [*_FACE, "__version__"]


def __getattr__(name: str) -> Any:
    if name not in _FACE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_FACE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_FACE})

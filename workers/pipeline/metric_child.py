"""Run as a script: a job's metric over outputs in files. Usage: metric_child.py FOLDER SECONDS MEMORY_BYTES

It is started inside a confined build, and bounds itself once more: no new processes, no written bytes, little memory.
Imports nothing of ours. The answer is one JSON object on standard output; what the metric prints goes nowhere.
"""

from __future__ import annotations

import builtins
import faulthandler
import json
import math
import os
import resource
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

_TEXT = "metric.py"
_MODULES = ("math", "numpy")
_WITHOUT = ("open", "exec", "eval", "compile", "input", "breakpoint", "help", "exit", "quit")


class Outputs(Sequence[Any]):
    """One output's arrays, one per sample, read as they are asked for."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder = folder
        self._count = count

    def __len__(self) -> int:
        return self._count

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[one] for one in range(*index.indices(self._count))]
        if not -self._count <= index < self._count:
            raise IndexError(f"sample {index} of {self._count}")
        return np.load(self._folder / f"{index % self._count}.npy", allow_pickle=False)


def _import(name: str, *others: Any) -> Any:
    if name.partition(".")[0] not in _MODULES:
        raise ImportError(f"'{name}' cannot be imported; a metric has {' and '.join(_MODULES)}")
    return builtins.__import__(name, *others)


def _bound(memory: int, seconds: int) -> None:
    for which, most in (
        (resource.RLIMIT_DATA, memory),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CPU, seconds + 1),
    ):
        _, hard = resource.getrlimit(which)
        value = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(which, (value, value))


def _line(error: BaseException) -> int | None:
    """The innermost line of the metric's own text."""
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == _TEXT]
    return lines[-1] if lines else getattr(error, "lineno", None)


def _value(folder: Path) -> dict[str, Any]:
    told = json.loads((folder / "told.json").read_text())
    outputs = {name: Outputs(folder / place, told["samples"]) for name, place in told["outputs"].items()}
    labels = np.load(folder / "labels.npy", allow_pickle=False) if told["labelled"] else None
    names = {name: value for name, value in vars(builtins).items() if name not in _WITHOUT}
    space: dict[str, Any] = {"__name__": "metric", "__builtins__": {**names, "__import__": _import}}
    made: Any = None
    try:
        exec(compile(told["code"], _TEXT, "exec"), space)  # noqa: S102 - what this process is for
        made = space["metric"]
        found = made(outputs, labels)
        value = float(np.asarray(found).reshape(()))
    except BaseException as error:  # noqa: BLE001 - SystemExit, too, is not a number
        return {"error": f"{type(error).__name__}: {error}"[:400], "line": _line(error) or _first(made)}
    if not math.isfinite(value):
        return {"error": f"it gives {value}", "line": _first(made)}
    return {"value": value}


def _first(made: Any) -> int | None:
    code = getattr(made, "__code__", None)
    return None if code is None else int(code.co_firstlineno)


def main(folder: str, seconds: str, memory: str) -> None:
    """Answer, and end without what the metric may have left behind."""
    answer = os.dup(1)
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 1)  # standard error is left to faulthandler
    sys.stdout = sys.stderr = os.fdopen(silent, "w")
    faulthandler.enable(file=2)
    faulthandler.dump_traceback_later(int(seconds), exit=True, file=2)
    _bound(int(memory), int(seconds))
    found = _value(Path(folder))
    os.write(answer, json.dumps(found).encode())
    os._exit(0)


if __name__ == "__main__":
    main(*sys.argv[1:])

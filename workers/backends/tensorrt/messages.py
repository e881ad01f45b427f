"""What TensorRT says: it reports failures to its logger and returns nothing, so the logger remembers them."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

import tensorrt as trt

from enginehouse.errors import BuildError, MemoryExceeded

_MOST = 100
_LONGEST = 2000
_SPARSITY = "(Sparsity)"
_NO_MEMORY = re.compile(r"out of memory|could not be allocated|failed to allocate|OutOfMemory", re.IGNORECASE)
_PREFIX = re.compile(r"^(?:\[\w+\.cpp::[^\]]*\]\s*)?(?:Error Code \d+: )?")

_ERRORS = (trt.ILogger.Severity.INTERNAL_ERROR, trt.ILogger.Severity.ERROR)


class Messages(trt.ILogger):  # type: ignore[misc]
    """Everything but the verbose lines goes into the build's log; errors, and lines about sparsity, are kept."""

    def __init__(self) -> None:
        trt.ILogger.__init__(self)
        self.errors: list[str] = []
        self.sparsity: list[str] = []

    def log(self, severity: Any, msg: str) -> None:
        """TensorRT calls this, from any of its threads. It must not raise."""
        try:
            if severity in _ERRORS:
                self.errors = [*self.errors[: _MOST - 1], msg[:_LONGEST]]
            if _SPARSITY in msg:
                self.sparsity = [*self.sparsity[: _MOST - 1], msg]
            elif severity == trt.ILogger.Severity.VERBOSE:
                return
            print(f"TensorRT {severity.name.lower()}: {msg[:_LONGEST]}", flush=True)  # noqa: T201 - the build's log
        except Exception:  # noqa: BLE001, S110 - an exception must not cross into C++
            pass

    def forget(self) -> None:
        """Before a step whose own failures are wanted."""
        self.errors = []

    def why(self) -> str:
        """The first error since, without the place in TensorRT's sources."""
        return _PREFIX.sub("", self.errors[0]).strip() if self.errors else "it does not say why"

    def failure(self, kind: type[BuildError], what: str) -> BuildError:
        """``what`` failed: the error with TensorRT's reason, or MemoryExceeded where that is the reason."""
        if any(_NO_MEMORY.search(error) for error in self.errors):
            return MemoryExceeded(
                f"{what}: {self.why()}",
                advice="Lower the option workspace_mb, or require a GPU with more memory.",
            )
        return kind(f"{what}: {self.why()}")


@cache
def messages() -> Messages:
    """The one logger of this process: TensorRT keeps the first that it is given."""
    return Messages()

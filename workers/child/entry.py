"""The child's side: become confined, run the pipeline, say what came of it."""

from __future__ import annotations

import contextlib
import faulthandler
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import workers.child.quiet
from enginehouse.errors import EnginehouseError, InternalError, MemoryExceeded
from enginehouse.states import Phase
from sandbox import Confinement, confine
from workers.child.environment import remove_secrets
from workers.child.messages import Built, Entered, Failed, Message
from workers.pipeline import Order, run

_FILE_BYTES = 256 * 2**30
_HEADROOM_BYTES = 2**30
"""The agent measures resident memory; the hard limit lies above it, since reserved is not resident."""


_DEVICES = tuple(Path("/dev") / name for name in ("null", "nvidiactl", "nvidia-uvm", "nvidia0"))


def main(order: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    """Run one build. ``order`` is an Order as JSON."""
    told = Order.model_validate_json(order)
    confined(told.work, memory_mb, log, messages, lambda: build(told, messages))


def confined(work: Path, memory_mb: int, log: Connection, messages: Connection, job: Callable[[], Message]) -> None:
    """Become confined to ``work``, do the job, say what came of it, and end.

    ``log`` becomes standard output and error.
    """
    _forget_the_agent()
    os.dup2(log.fileno(), 1)
    os.dup2(log.fileno(), 2)
    log.close()
    sys.stdout = os.fdopen(1, "w", buffering=1, closefd=False, errors="backslashreplace")
    sys.stderr = os.fdopen(2, "w", buffering=1, closefd=False, errors="backslashreplace")
    os.chdir(work)
    remove_secrets()
    os.environ.update(HOME=str(work), TMPDIR=str(work), TMP=str(work))
    confine(
        Confinement(
            memory_bytes=memory_mb * 2**20 + _HEADROOM_BYTES,
            file_bytes=_FILE_BYTES,
            writable=(work,),
            devices=_DEVICES,
        )
    )
    faulthandler.enable()
    code = 0
    try:
        say(messages, job())
    except EnginehouseError as error:
        print(f"{error.title}: {error.detail}", flush=True)  # noqa: T201 - standard output is the build's log
        say(messages, Failed(failure=error.failure()))
    except MemoryError as error:
        traceback.print_exc()
        say(messages, Failed(failure=MemoryExceeded(f"an allocation failed: {error or 'MemoryError'}").failure()))
    except Exception as error:  # noqa: BLE001 - whatever it is, the agent is told
        traceback.print_exc()
        say(messages, Failed(failure=InternalError(f"{type(error).__name__}: {error}").failure()))
        code = 1
    sys.stdout.flush()
    # No destructors of half-finished C++ runtimes, no joins of their threads: the kernel takes everything back.
    os._exit(code)


def build(order: Order, messages: Connection) -> Built:
    """The pipeline, with each phase told."""

    def tell(phase: Phase) -> None:
        say(messages, Entered(phase=phase))

    result = run(order, tell)
    return Built(manifest=result.manifest, report=result.report)


def say(messages: Connection, message: Message) -> None:
    """Write one message."""
    data = message.model_dump_json().encode() + b"\n"
    view = memoryview(data)
    while view:
        view = view[os.write(messages.fileno(), view) :]


def _forget_the_agent() -> None:
    """Close our end of the pipe by which the warm parent sees the agent's death; with the parent we die too."""
    server: Any = forkserver._forkserver
    handle = getattr(server, "_forkserver_alive_fd", None)
    if handle is not None:
        with contextlib.suppress(OSError):
            os.close(handle)
        server._forkserver_alive_fd = None


__all__ = ["build", "confined", "main", "say", "workers"]

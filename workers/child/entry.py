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
from enginehouse.errors import EnginehouseError, InternalError, MemoryExceeded, WorkerDiskFull
from enginehouse.states import Phase
from enginehouse.targets import AUTO
from sandbox import Confinement, confine
from workers.child.environment import remove_secrets
from workers.child.messages import Built, Entered, Failed, Message
from workers.disk import ran_out
from workers.exploration.explore import explore
from workers.pipeline import Order, run

_FILE_BYTES = 256 * 2**30
_HEADROOM_BYTES = 2**30
"""The agent measures resident memory; the hard limit lies above it, since reserved is not resident."""


_GPU_RESERVED_BYTES = 64 * 2**30
"""CUDA's driver maps far more than it uses; what is resident is measured as ever."""

_DEVICES = ("nvidia*", "nvidia-caps/*", "nvhost*", "nvmap")
"""CUDA opens every NVIDIA device for writing; the last two are those of boards where the GPU is part of the chip."""


def main(order: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    """Run one build. ``order`` is an Order as JSON."""
    told = Order.model_validate_json(order)
    if told.gpu is not None:
        os.environ.update(CUDA_VISIBLE_DEVICES=told.gpu, CUDA_DEVICE_ORDER="PCI_BUS_ID")
    reserved = _HEADROOM_BYTES if told.gpu is None else _GPU_RESERVED_BYTES
    confined(told.work, memory_mb, log, messages, lambda: build(told, messages), reserved)


def confined(
    work: Path,
    memory_mb: int,
    log: Connection,
    messages: Connection,
    job: Callable[[], Message],
    reserved_bytes: int = _HEADROOM_BYTES,
) -> None:
    """Become confined to ``work``, do the job, say what came of it, and end.

    ``log`` becomes standard output and error. ``reserved_bytes``: memory that may be mapped beyond what may be used.
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
            memory_bytes=memory_mb * 2**20 + reserved_bytes,
            file_bytes=_FILE_BYTES,
            writable=(work,),
            devices=_devices(),
        )
    )
    faulthandler.enable()
    code = 0
    try:
        say(messages, job())
    except Exception as error:  # noqa: BLE001 - whatever it is, the agent is told
        code = _say_failed(messages, error)
    sys.stdout.flush()
    # No destructors of half-finished C++ runtimes, no joins of their threads: the kernel takes everything back.
    os._exit(code)


def _say_failed(messages: Connection, error: Exception) -> int:
    """Tell the agent how it ended; the exit status."""
    if ran_out(error):
        traceback.print_exc()
        say(messages, Failed(failure=WorkerDiskFull(str(error)).failure()))
    elif isinstance(error, EnginehouseError):
        print(f"{error.title}: {error.detail}", flush=True)  # noqa: T201 - standard output is the build's log
        say(messages, Failed(failure=error.failure()))
    elif isinstance(error, MemoryError):
        traceback.print_exc()
        say(messages, Failed(failure=MemoryExceeded(f"an allocation failed: {error or 'MemoryError'}").failure()))
    else:
        traceback.print_exc()
        say(messages, Failed(failure=InternalError(f"{type(error).__name__}: {error}").failure()))
        return 1
    return 0


def build(order: Order, messages: Connection) -> Built:
    """The pipeline, with each phase told."""

    def tell(phase: Phase) -> None:
        say(messages, Entered(phase=phase))

    wanted = order.recipe.target.backend
    result = explore(order, tell) if wanted == AUTO else run(order, tell)
    return Built(manifest=result.manifest, report=result.report)


def say(messages: Connection, message: Message) -> None:
    """Write one message."""
    data = message.model_dump_json().encode() + b"\n"
    view = memoryview(data)
    while view:
        view = view[os.write(messages.fileno(), view) :]


def _devices() -> tuple[Path, ...]:
    found = [path for pattern in _DEVICES for path in sorted(Path("/dev").glob(pattern)) if path.is_char_device()]
    return (Path("/dev/null"), *found)


def _forget_the_agent() -> None:
    """Close our end of the pipe by which the warm parent sees the agent's death; with the parent we die too."""
    server: Any = forkserver._forkserver
    handle = getattr(server, "_forkserver_alive_fd", None)
    if handle is not None:
        with contextlib.suppress(OSError):
            os.close(handle)
        server._forkserver_alive_fd = None


__all__ = ["build", "confined", "main", "say", "workers"]

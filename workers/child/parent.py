"""Starting build children: from the warm parent, or freshly executed."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from workers.child.environment import clean_environment
from workers.child.quiet import quiet

_ROOT = Path(__file__).resolve().parents[2]
_lock = threading.Lock()


@dataclass
class Child:
    """A started child, its log and its messages. Its process id is its group's id too."""

    process: BaseProcess
    log: Connection
    messages: Connection

    @property
    def group(self) -> int:
        """The process group that is stopped as one."""
        assert self.process.pid is not None
        return self.process.pid


def warm_up() -> None:
    """Start the warm parent, without secrets in its environment. Costs half a second once; harmless when it runs."""
    with _lock:
        _start_warm_parent()


def start(method: Literal["fork", "exec"], main: Callable[..., None], *arguments: Any) -> Child:
    """Start ``main(*arguments, log, messages)`` in a child of its own."""
    context: Any = multiprocessing.get_context("forkserver" if method == "fork" else "spawn")
    log, log_end = context.Pipe(duplex=False)
    messages, messages_end = context.Pipe(duplex=False)
    process: BaseProcess = context.Process(target=main, args=(*arguments, log_end, messages_end), daemon=False)
    try:
        with _lock:
            if method == "fork":
                _start_warm_parent()
                process.start()
            else:
                with clean_environment():
                    quiet()
                    process.start()
    except BaseException:
        log.close()
        messages.close()
        raise
    finally:
        log_end.close()
        messages_end.close()
    return Child(process, log, messages)


def _start_warm_parent() -> None:
    """Start it where it does not run (yet, or any more)."""
    multiprocessing.get_context("forkserver").set_forkserver_preload(["workers.child.warm"])
    with clean_environment():
        # The warm parent imports from its environment's path, not from this process's sys.path.
        path = os.environ.get("PYTHONPATH", "")
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(_ROOT), path]))
        forkserver.ensure_running()

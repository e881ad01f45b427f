"""A build's child in which one toolchain dies as it reads a model, and another never comes back from it."""

from __future__ import annotations

import os
import threading
from multiprocessing.connection import Connection
from unittest import mock

import workers.pipeline.baselines
from workers.backends import get
from workers.child import entry


def _dies(*_: object) -> None:
    os.abort()


def _hangs(*_: object) -> None:
    threading.Event().wait()


def main(order: str, memory_mb: int, log: Connection, messages: Connection) -> None:
    """As ``workers.child.entry.main``."""
    dies = mock.patch.object(type(get("openvino")), "_read_impl", _dies)
    hangs = mock.patch.object(type(get("litert")), "_read_impl", _hangs)
    with dies, hangs, mock.patch.object(workers.pipeline.baselines, "LONGEST_S", 5.0):
        entry.main(order, memory_mb, log, messages)

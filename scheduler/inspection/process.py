"""Starts the child that reads a stranger's file, and judges how it ended.

The child is a fresh process without our environment: no secrets, no network, no right to write, bounded memory
and time. A parser that is tricked there has nothing to take and nowhere to bring it.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from enginehouse.datasets import DatasetContents
from enginehouse.errors import DatasetUnreadable, Failure, ModelUnreadable, NotReady, from_failure
from enginehouse.signature import ModelSignature

_ROOT = Path(__file__).resolve().parents[2]
_MAX_ANSWER = 16 * 1024**2
_GIB = 1024**3
_WAIT_S = 300.0
"""So long may a busy machine take for what needs a fraction of it."""


def inspect_model(
    files: Sequence[tuple[str, Path]], *, time_s: float = 60, memory_mb: int = 8192, wait_s: float = _WAIT_S
) -> ModelSignature:
    """The signature of an uploaded model. ``files``: path in the upload and local path; the first is the model.

    ``time_s``: of the processor; ``wait_s``: by the clock. Raises ModelUnreadable or one of its kinds (other format,
    external data outside or missing), TooLarge, or NotReady where the machine was too busy.
    """
    request = {"kind": "model", "files": [[path, str(local.absolute())] for path, local in files]}
    answer = _ask(request, ModelUnreadable, time_s, memory_mb, wait_s)
    return ModelSignature.model_validate(answer["signature"])


def inspect_dataset(
    path: Path, *, time_s: float = 60, memory_mb: int = 2048, max_bytes: int = 64 * _GIB, wait_s: float = _WAIT_S
) -> DatasetContents:
    """What an uploaded dataset holds. ``max_bytes``: largest unpacked size. ``time_s``: of the processor;
    ``wait_s``: by the clock.

    Raises DatasetUnreadable, DatasetNotFinite, TooLarge, or NotReady where the machine was too busy.
    """
    request = {"kind": "dataset", "files": [["dataset", str(path.absolute())]], "max_bytes": max_bytes}
    answer = _ask(request, DatasetUnreadable, time_s, memory_mb, wait_s)
    return DatasetContents.model_validate(answer["contents"])


def _ask(
    request: dict[str, Any],
    unreadable: type[ModelUnreadable | DatasetUnreadable],
    time_s: float,
    memory_mb: int,
    wait_s: float,
) -> dict[str, Any]:
    bounds = {"memory_bytes": memory_mb * 1024**2, "cpu_s": math.ceil(time_s), "parent": os.getpid()}
    text, status = _run(request | bounds, wait_s)
    if status is None:
        raise NotReady(f"the file could not be read within {wait_s:g} s", advice="The machine is busy: send it again.")
    if status == -signal.SIGXCPU:
        raise unreadable(f"reading it took longer than {time_s:g} s of the processor, so it was stopped", reason="time")
    try:
        answer = json.loads(text)
        if not isinstance(answer, dict):
            raise ValueError
    except ValueError:
        how = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        raise unreadable(f"the process that read it died ({how})", reason="crash") from None
    if "memory" in answer:
        raise unreadable(f"reading it took more than {memory_mb} MiB of memory, so it was stopped", reason="memory")
    if "failure" in answer:
        failure = Failure.model_validate(answer["failure"])
        if failure.code == ModelUnreadable.code and unreadable is DatasetUnreadable:
            raise DatasetUnreadable(failure.detail)
        raise from_failure(failure)
    return answer


def _run(request: dict[str, Any], wait_s: float) -> tuple[bytes, int | None]:
    """What the child wrote and its exit status; the status is None when it had to be stopped."""
    asked = os.memfd_create("inspection-request")
    try:
        with os.fdopen(os.dup(asked), "wb") as file:
            file.write(json.dumps(request).encode())
        os.lseek(asked, 0, os.SEEK_SET)
        process = subprocess.Popen(
            [sys.executable, "-B", "-E", "-s", "-m", "scheduler.inspection.child"],
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=_ROOT,
            env={"PATH": os.defpath, "LC_ALL": "C.UTF-8", "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
            start_new_session=True,
        )
    finally:
        os.close(asked)
    with process:
        try:
            text, ended = _read(process, time.monotonic() + wait_s)
            status = process.wait(5) if ended else None
        except subprocess.TimeoutExpired:
            status = None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
    return text, status


def _read(process: subprocess.Popen[bytes], deadline: float) -> tuple[bytes, bool]:
    """All that comes until the end of file; False when time or the bound on the answer ran out first."""
    assert process.stdout is not None
    text = bytearray()
    while True:
        left = deadline - time.monotonic()
        ready = left > 0 and select.select([process.stdout], [], [], left)[0]
        if not ready or len(text) > _MAX_ANSWER:
            return bytes(text), False
        chunk = os.read(process.stdout.fileno(), 65_536)
        if not chunk:
            return bytes(text), True
        text += chunk

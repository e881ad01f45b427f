"""Work in a process of its own, forked from this one: what crashes, hangs or leaks there does so alone."""

from __future__ import annotations

import multiprocessing
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection

from pydantic import BaseModel

from enginehouse.errors import BuildCrashed, EnginehouseError, Failure, InternalError, MemoryExceeded, TimeExceeded
from workers.child.messages import MOST_BYTES


class Answer(BaseModel):
    """What came of it: text, or a failure."""

    text: str = ""
    failure: Failure | None = None


def apart(do: Callable[[], str], time_s: float) -> Answer:
    """``do()`` in a child; its text, or the failure it ended with. Call it before a runtime has started threads here.

    Raises nothing that the work raises; a child that takes longer than ``time_s`` is killed.
    """
    context = multiprocessing.get_context("fork")
    reading, writing = context.Pipe(duplex=False)
    child = context.Process(target=_work, args=(do, writing))
    sys.stdout.flush()
    child.start()
    writing.close()
    try:
        if not reading.poll(time_s):
            return Answer(failure=TimeExceeded(f"it did not end within {time_s:.0f} s").failure())
        return Answer.model_validate_json(reading.recv_bytes(MOST_BYTES))
    except EOFError:
        child.join()
        return Answer(failure=BuildCrashed(f"the process died with code {child.exitcode}").failure())
    finally:
        reading.close()
        child.kill()
        child.join()


def _work(do: Callable[[], str], writing: Connection) -> None:
    """The child's side."""
    try:
        answer = Answer(text=do())
    except EnginehouseError as error:
        answer = Answer(failure=error.failure())
    except MemoryError as error:
        answer = Answer(failure=MemoryExceeded(f"an allocation failed: {error or 'MemoryError'}").failure())
    except Exception as error:  # noqa: BLE001 - whatever it is, the other side is told
        traceback.print_exc()
        answer = Answer(failure=InternalError(f"{type(error).__name__}: {error}").failure())
    sys.stdout.flush()
    writing.send_bytes(answer.model_dump_json().encode())

"""The agent's side of a running child: its log and messages, its time, its memory, its end.

One thread waits on the child's pipes, its end and a wake-up pipe; nothing sleeps, but for the look at the
memory, and at who else times on its cores, ten times a second.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from enginehouse.errors import BuildCrashed, Failure, InternalError, MemoryExceeded, TimeExceeded
from enginehouse.states import Phase
from sandbox import members, stop
from workers.child.memory import resident_bytes
from workers.child.messages import MOST_BYTES, Built, Entered, Failed, Message
from workers.child.parent import Child
from workers.child.pause import Pause
from workers.child.text import LineCutter
from workers.cores import LOOK_S

_MEMBERS_EVERY = 5
_READ_BYTES = 1 << 16
_END_S = 10.0
_MESSAGE: TypeAdapter[Message] = TypeAdapter(Message)


class Stop(Enum):
    """Why the agent stops a child."""

    CANCEL = "cancel"
    """on request of a person"""
    DROP = "drop"
    """the attempt is no longer ours"""
    RELEASE = "release"
    """the worker shuts down"""


@dataclass
class Outcome:
    """What became of a child. Exactly one of the first three is set."""

    built: Built | None = None
    failure: Failure | None = None
    stopped: Stop | None = None
    left: list[int] = field(default_factory=list)
    """processes of the group that could not be killed"""
    waited_s: float = 0.0
    """how long it was stopped while another build was timed on its cores; its deadline moved as far"""


class Watch:
    """Watches one child until its group is gone. ``stop_for`` may be called from any thread."""

    def __init__(
        self,
        child: Child,
        *,
        deadline: float,
        memory_bytes: int,
        grace_s: float,
        entered: Callable[[Phase], None],
        line: Callable[[str], None],
        cores: Sequence[Path] = (),
    ) -> None:
        self.child = child
        self._pause = Pause(child.group, cores)
        self.deadline = deadline
        self.memory_bytes = memory_bytes
        self.grace_s = grace_s
        self._entered = entered
        self._lines = LineCutter(line)
        self._message_bytes = bytearray()
        self._last: Built | Failed | None = None
        self._failure: Failure | None = None
        self._stopped: Stop | None = None
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)

    def stop_for(self, reason: Stop) -> None:
        """Ask for the child's end. The first reason counts."""
        if self._stopped is None:
            self._stopped = reason
        with contextlib.suppress(OSError):  # it is awake, or over
            os.write(self._wake_write, b"x")

    def run(self) -> Outcome:
        """Wait for the child's end, whatever it is. Nobody of its group is left afterwards."""
        try:
            self._wait()
            left = self._end()
            return self._outcome(left)
        finally:
            os.close(self._wake_read)
            os.close(self._wake_write)
            self.child.log.close()
            self.child.messages.close()
            if self.child.process.exitcode is not None:
                self.child.process.close()

    def _wait(self) -> None:
        group: list[int] = []
        polls = 0
        next_look = time.monotonic()
        with selectors.DefaultSelector() as selector:
            selector.register(self.child.log, selectors.EVENT_READ, self._read_log)
            selector.register(self.child.messages, selectors.EVENT_READ, self._read_message)
            selector.register(self.child.process.sentinel, selectors.EVENT_READ, None)
            selector.register(self._wake_read, selectors.EVENT_READ, None)
            while True:
                now = time.monotonic()
                if now >= self.deadline + self._pause.total_s:
                    self._failure = TimeExceeded("the build did not end within its limit").failure()
                if now >= next_look:
                    if polls % _MEMBERS_EVERY == 0:
                        group = members(self.child.group)
                    polls += 1
                    self._pause.look()
                    used = resident_bytes(group, self.memory_bytes)
                    if used > self.memory_bytes:
                        limit = self.memory_bytes >> 20
                        detail = f"the build's processes held {used >> 20} MiB, the limit is {limit} MiB"
                        self._failure = MemoryExceeded(detail, used_mb=used >> 20, limit_mb=limit).failure()
                    next_look = now + LOOK_S
                if self._failure or self._stopped:
                    return
                for key, _ in selector.select(max(0.0, next_look - time.monotonic())):
                    if key.data is None:
                        if key.fileobj == self.child.process.sentinel:
                            return
                    elif not key.data():
                        selector.unregister(key.fileobj)

    def _end(self) -> list[int]:
        """Everybody of the group goes; then what they still said is read."""
        process = self.child.process
        self._pause.end()
        if self._failure or self._stopped:
            left = stop(self.child.group, self.grace_s)
        else:
            left = stop(self.child.group, 0.0) if members(self.child.group) else []
        if self._failure or self._stopped:
            process.kill()  # it may not have come to lead a group of its own yet
        process.join(_END_S)
        for end, read in ((self.child.log, self._read_log), (self.child.messages, self._read_message)):
            os.set_blocking(end.fileno(), False)
            while read():
                pass
        self._lines.close()
        return left

    def _outcome(self, left: list[int]) -> Outcome:
        outcome = Outcome(left=left, waited_s=self._pause.total_s)
        if self._stopped is not None:
            outcome.stopped = self._stopped
        elif self._failure is not None:
            outcome.failure = self._failure
        elif isinstance(self._last, Built):
            outcome.built = self._last
        elif isinstance(self._last, Failed):
            outcome.failure = self._last.failure
        else:
            outcome.failure = self._crash(self.child.process.exitcode, self._lines.tail)
        return outcome

    @staticmethod
    def _crash(code: int | None, tail: str) -> Failure:
        if code is None or code >= 0:
            return BuildCrashed(f"the build's process ended with code {code} and without an answer").failure()
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        if "bad_alloc" in tail:
            return MemoryExceeded("an allocation failed in the toolchain (std::bad_alloc)").failure()
        hint = "; perhaps the machine ran out of memory" if name == "SIGKILL" else ""
        return BuildCrashed(f"the build's process died by {name}{hint}", signal=name).failure()

    def _read_log(self) -> bool:
        data = _read(self.child.log.fileno())
        if data:
            self._lines.feed(data)
        return bool(data)

    def _read_message(self) -> bool:
        data = _read(self.child.messages.fileno())
        if not data:
            return False
        self._message_bytes += data
        while (end := self._message_bytes.find(b"\n")) >= 0:
            text = bytes(self._message_bytes[:end])
            del self._message_bytes[: end + 1]
            self._take(text)
        if len(self._message_bytes) > MOST_BYTES:
            self._failure = BuildCrashed("the build's process sent a message without an end").failure()
        return True

    def _take(self, text: bytes) -> None:
        try:
            message: Any = _MESSAGE.validate_json(text)
        except ValidationError as error:
            detail = f"the build's process sent what is no message ({error.error_count()} errors)"
            self._failure = InternalError(detail).failure()
            return
        if isinstance(message, Entered):
            self._entered(message.phase)
        else:
            self._last = message


def _read(handle: int) -> bytes:
    try:
        return os.read(handle, _READ_BYTES)
    except OSError:
        return b""

"""Keeps the parts running: starts them, starts again what died, stops all in the right order.

One thread does every start, because the kernel sends the parent-death signal when the *thread* that started a
process ends. Other threads hand their wishes to it.
"""

from __future__ import annotations

import queue
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future

from farm.backoff import delay_s, failures_now
from farm.process import Part, Process, died

_LOOK_S = 0.1
_GIVE_UP_AFTER = 4
"""Deaths in a row of one part, before the farm has been ready, after which the start has failed."""


class Supervisor:
    """The parts by name, in the order in which they were added."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self.processes: dict[str, Process] = {}
        self.broken: str | None = None
        self._say = say
        self._ready = False
        self._due: dict[str, float] = {}
        self._held: set[str] = set()
        self._wishes: queue.SimpleQueue[tuple[Callable[[], None], Future[None]]] = queue.SimpleQueue()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="farm-supervisor", daemon=True)
        self._thread.start()

    def start(self, part: Part) -> None:
        """Add a part and start it."""
        process = Process(part)
        self.processes[part.name] = process
        self._do(process.start)

    def ready(self) -> None:
        """The farm has been ready: from now on nothing is given up."""
        self._ready = True

    def restart(self, name: str) -> None:
        """Stop one part in its own way and start it again at once."""
        process = self.processes[name]

        def wish() -> None:
            self._stop([process])
            process.failures = 0
            self._held.discard(name)
            self._due.pop(name, None)
            process.start()

        self._do(wish)

    def hold(self, name: str) -> None:
        """Stop one part and leave it stopped until ``restart``."""
        process = self.processes[name]

        def wish() -> None:
            self._held.add(name)
            self._due.pop(name, None)
            self._stop([process])

        self._do(wish)

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one part; if it dies of it, it is started again like after any death."""
        self.processes[name].signal(number)

    def stop(self, *waves: list[str]) -> None:
        """Stop the parts wave by wave, then everything that is in no wave, and end."""
        if not self._thread.is_alive():
            return
        named = {name for wave in waves for name in wave}
        rest = [name for name in self.processes if name not in named]

        def wish() -> None:
            self._ending.set()
            for wave in (*waves, rest):
                self._stop([self.processes[name] for name in wave if name in self.processes])

        self._do(wish)
        self._thread.join()

    def _do(self, wish: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._wishes.put((wish, done))
        done.result()

    def _run(self) -> None:
        while not self._ending.is_set():
            try:
                wish, done = self._wishes.get(timeout=_LOOK_S)
            except queue.Empty:
                self._look()
                continue
            try:
                wish()
            except BaseException as error:  # noqa: BLE001 - handed to the thread that asked
                done.set_exception(error)
            else:
                done.set_result(None)

    def _look(self) -> None:
        now = time.monotonic()
        for name, process in list(self.processes.items()):
            if name in self._held or self._due.get(name, now) > now:
                continue
            if self._due.pop(name, None) is not None:
                try:
                    process.start()
                except OSError as error:  # no memory, no process slots: the next try comes later
                    self._died(process, f"it could not be started: {error.strerror}")
            elif (status := process.ended()) is not None:
                process.reap()
                self._died(process, died(status))

    def _died(self, process: Process, how: str) -> None:
        now = time.monotonic()
        process.failures = failures_now(process.failures, now - process.started)
        if not self._ready and process.failures >= _GIVE_UP_AFTER:
            self.broken = f"{process.name} died {process.failures} times in a row ({how})"
            self._held.add(process.name)
            return
        wait = delay_s(process.failures)
        self._due[process.name] = now + wait
        self._say(f"{process.name} died ({how}); starting it again in {wait:.1f} s. Its log: {process.part.log}")

    @staticmethod
    def _stop(processes: list[Process]) -> None:
        """Its signal to each of them at once, each its own time, then KILL to what is left of their sessions."""
        for process in processes:
            process.signal(process.part.stopped)
        begun = time.monotonic()
        for process in processes:
            process.wait(begun + process.part.grace_s - time.monotonic())
        for process in processes:
            process.reap()

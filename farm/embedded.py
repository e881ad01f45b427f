"""The whole farm as one object: ``with EmbeddedFarm(home) as farm: farm.url, farm.token``."""

from __future__ import annotations

import http.client
import json
import signal
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from farm.errors import PartFailed
from farm.home import Home, default_home
from farm.parts import Parts
from farm.ports import LOOPBACK, chosen_port, free_port
from farm.process import Process
from farm.redis import Redis, redis_binary
from farm.supervisor import Supervisor

_READY_S = 90.0
_LOOK_S = 0.05


class EmbeddedFarm:
    """Redis, API, scheduler and workers under one home. ``python -m farm`` is this object and a signal handler.

    ``port`` 0 takes any free one. ``environment``: further variables for all parts, for example shorter leases.
    """

    def __init__(
        self,
        home: Path | None = None,
        *,
        port: int = 0,
        workers: int = 1,
        slots: int = 1,
        environment: Mapping[str, str] | None = None,
        say: Callable[[str], None] | None = None,
    ) -> None:
        self.home = Home(home or default_home())
        self._wanted_port = port
        self._workers = workers
        self._slots = slots
        self._environment = dict(environment or {})
        self._say = say or _quiet
        self._parts: Parts | None = None
        self._supervisor: Supervisor | None = None

    # --- while it runs -----------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The address of the API."""
        return self._running.url

    @property
    def token(self) -> str:
        """A token with every client scope."""
        return self._running.secrets.admin_token

    @property
    def redis(self) -> Redis:
        """The broker."""
        return self._running.redis

    @property
    def processes(self) -> dict[str, Process]:
        """The parts by name: ``redis``, ``api``, ``scheduler``, ``worker-1`` …"""
        assert self._supervisor is not None, "the farm has not been started"
        return self._supervisor.processes

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> None:
        """Send a signal to one part. When it dies of it, it is started again, as after any death."""
        self._supervised.kill(name, number)

    def restart(self, name: str) -> None:
        """Stop one part in its own way and start it again."""
        self._supervised.restart(name)

    def hold(self, name: str) -> None:
        """Stop one part and leave it stopped until ``restart``."""
        self._supervised.hold(name)

    def add_worker(self, environment: Mapping[str, str] | None = None) -> str:
        """Start one more worker; its name. ``environment``: variables for it alone."""
        number = 1 + sum(name.startswith("worker-") for name in self.processes)
        part = self._running.worker(number).with_environment(environment or {})
        self._supervised.start(part)
        return part.name

    def get(self, path: str, timeout_s: float = 5.0) -> Any:
        """A JSON answer of the API, as admin; None when there is none (yet)."""
        connection = http.client.HTTPConnection(LOOPBACK, self._running.port, timeout=timeout_s)  # past any proxy
        try:
            connection.request("GET", path, headers={"Authorization": f"Bearer {self.token}"})
            return json.load(connection.getresponse())
        except (OSError, ValueError, http.client.HTTPException):
            return None
        finally:
            connection.close()

    def workers_online(self) -> list[str]:
        """The names of the workers that are online."""
        answer = self.get("/v1/workers")
        items = answer.get("items", []) if answer else []
        return [item["name"] for item in items if item["state"] == "online"]

    # --- start and stop ----------------------------------------------------------------------

    def start(self, timeout_s: float = _READY_S) -> Self:
        """Start everything and wait until a job could be taken. Raises StartError, and then leaves nothing running."""
        redis_binary()  # before anything is touched: the commonest thing that is missing
        self.home.acquire()
        try:
            port = chosen_port(self._wanted_port)
            self.home.trim_logs()
            secrets = self.home.secrets()
            redis = Redis(free_port(), secrets.redis_password)
            self._parts = Parts(self.home, secrets, redis, port, self._slots, self._environment)
            self._supervisor = Supervisor(self._say)
            self._start_parts(time.monotonic() + timeout_s)
        except BaseException:
            self.stop()
            raise
        self._supervisor.ready()
        self.home.publish(self.url, self.token)
        return self

    def stop(self) -> None:
        """Stop everything: workers first, so that they can hand back what they hold, the broker last."""
        try:
            if self._parts is not None:
                self.home.withdraw()
            if self._supervisor is not None:
                workers = [name for name in self._supervisor.processes if name.startswith("worker-")]
                self._supervisor.stop(workers, ["scheduler"], ["api"], ["redis"])
        finally:
            self._supervisor = None
            self._parts = None
            self.home.release()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # --- inside ------------------------------------------------------------------------------

    @property
    def _running(self) -> Parts:
        assert self._parts is not None, "the farm has not been started"
        return self._parts

    @property
    def _supervised(self) -> Supervisor:
        assert self._supervisor is not None, "the farm has not been started"
        return self._supervisor

    def _start_parts(self, deadline: float) -> None:
        parts, supervisor = self._running, self._supervised
        supervisor.start(parts.redis_part())
        for number in range(1, self._workers + 1):  # their imports take longest, so they begin first
            supervisor.start(parts.worker(number))
        self._migrate()
        supervisor.start(parts.api())
        supervisor.start(parts.scheduler())
        self._until(parts.redis.answers, "redis", deadline)
        self._until(self._api_ready, "api", deadline)
        wanted = {parts.worker_name(number) for number in range(1, self._workers + 1)}
        self._until(lambda: wanted <= set(self.workers_online()), "worker-1", deadline)

    def _migrate(self) -> None:
        from scheduler.registry.migrate import upgrade  # here, so that the workers import meanwhile

        upgrade(self.home.database_url)

    def _api_ready(self) -> bool:
        answer = self.get("/readyz")
        return bool(answer and answer.get("ready"))

    def _until(self, holds: Callable[[], bool], name: str, deadline: float) -> None:
        """Wait for a condition. Raises PartFailed with the log of the part that it hangs on."""
        supervisor = self._supervised
        while not holds():
            late = time.monotonic() > deadline
            if supervisor.broken or late:
                guilty = supervisor.broken.split()[0] if supervisor.broken else name
                reason = supervisor.broken or f"{name} was not ready in time"
                process = supervisor.processes[guilty]
                raise PartFailed(f"{reason}. The end of its log, {process.part.log}:\n{process.tail()}")
            time.sleep(_LOOK_S)


def _quiet(line: str) -> None:
    """Say nothing."""

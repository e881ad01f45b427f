"""The whole farm as in production, under one supervisor: PostgreSQL, Redis, S3, API processes, schedulers, workers."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil
from sqlalchemy import Engine, NullPool, create_engine, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from chaos.clock import Clock, NoClock
from chaos.link import Link
from chaos.servers import Postgres, Seaweed
from enginehouse.client import Client
from farm.home import Home
from farm.parts import Parts
from farm.ports import free_port
from farm.process import Part
from farm.redis import Redis
from farm.supervisor import Supervisor
from scheduler.registry.migrate import upgrade
from scheduler.registry.tables import Attempt, Worker

_READY_S = 120.0
_LOOK_S = 0.05
_DISK = "48m"
_DISK_SCRIPT = f'mount -t tmpfs -o size={_DISK},mode=700 tmpfs "$0" && exec "$@"'
"""In a mount namespace of its own: what is mounted there is gone with the process."""


@dataclass(frozen=True)
class Shape:
    """How many there are of each, and the farm's settings."""

    apis: int = 2
    schedulers: int = 2
    workers: int = 4
    settings: Mapping[str, str] = field(default_factory=dict)


class StackFailed(Exception):
    """A part did not come up; the message holds the end of its log."""


class Stack:
    """``with Stack(folder, shape) as stack``. Clients and workers reach the API by ``door``, a link to all of its
    processes; schedulers, API and workers reach Redis by ``line``.

    The first worker has a clock that can be moved, the last one a small disk of its own; where this machine does not
    allow it, ``lacking`` says why, by 'clock' and 'disk'.
    """

    def __init__(self, folder: Path, shape: Shape, say: Callable[[str], None]) -> None:
        self.folder = folder
        self.shape = shape
        self.say = say
        self.lacking: dict[str, str] = {}
        self.clock: Clock | None = None
        self.apis = [f"api-{number}" for number in range(1, shape.apis + 1)]
        self.schedulers = [f"scheduler-{number}" for number in range(1, shape.schedulers + 1)]
        self.workers = [f"worker-{number}" for number in range(1, shape.workers + 1)]
        self._closing: list[Callable[[], None]] = []

    # --- start and stop ----------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process that was started, by its id."""
        while self._closing:
            self._closing.pop()()

    def _start(self) -> None:
        # The servers' users must be able to reach their folders; what holds secrets is closed one by one.
        self.folder.chmod(0o755)
        self.home = Home(self.folder / "home")
        self.home.acquire()
        self._closing.append(self.home.release)
        self.postgres = Postgres(self.folder / "postgres")
        self.s3 = Seaweed(self.folder / "seaweedfs")
        secrets = self.home.secrets()
        self.redis = Redis(free_port(), secrets.redis_password)
        ports = [free_port() for _ in self.apis]
        self._api_ports = dict(zip(self.apis, ports, strict=True))
        self.door, self.line = Link(*ports), Link(self.redis.port)
        self._closing += [self.s3.clear, self.door.close, self.line.close]
        self.supervisor = Supervisor(self.say)
        self._closing.append(self._stop_parts)
        self.token = secrets.admin_token
        self.engine = _engine(self.postgres.url("enginehouse"))
        broker = Redis(self.line.port, secrets.redis_password)
        told = dict(self.shape.settings)
        server = Parts(self.home, secrets, broker, self.door.port, extra=self._server_settings() | told)
        self._start_servers(server)
        self._start_farm(server, Parts(self.home, secrets, broker, self.door.port))

    def _stop_parts(self) -> None:
        for part in self.workers:  # a stopped process cannot obey
            self.resume(part)
        self.supervisor.stop(self.workers, self.schedulers, self.apis, ["redis", "seaweedfs", "postgres"])
        self.engine.dispose()

    def _server_settings(self) -> dict[str, str]:
        return {
            "ENGINEHOUSE_DATABASE_URL": self.postgres.url("enginehouse"),
            "ENGINEHOUSE_STORE": f"s3://{self.s3.bucket}",
            "ENGINEHOUSE_S3_ENDPOINT": self.s3.endpoint,
            "ENGINEHOUSE_S3_ACCESS_KEY": self.s3.access_key,
            "ENGINEHOUSE_S3_SECRET_KEY": self.s3.secret_key,
            "ENGINEHOUSE_OPEN_LOOPBACK": "false",
        }

    def _start_servers(self, parts: Parts) -> None:
        for part in (
            self.postgres.part(self.home.log_file("postgres")),
            self.s3.part(self.home.log_file("seaweedfs")),
            replace(parts, redis=self.redis).redis_part(),
        ):
            self.supervisor.start(part)

    def _start_farm(self, server: Parts, hands: Parts) -> None:
        for number, name in enumerate(self.workers, start=1):  # their imports take longest, so they begin first
            self.supervisor.start(self._special(name, hands.worker(number)))
        self.until(self.postgres.answers, "postgres")
        self.postgres.create("enginehouse")
        upgrade(self.postgres.url("enginehouse"))
        self.until(self.s3.answers, "seaweedfs")
        for name in self.apis:
            self.supervisor.start(self._named(name, replace(server, port=self._api_ports[name]).api()))
        for name in self.schedulers:
            self.supervisor.start(self._named(name, server.scheduler()))
        for name in (*self.apis, *self.workers):
            self.until(lambda name=name: self.answers(name), name)  # type: ignore[misc]
        self.supervisor.ready()

    def _named(self, name: str, part: Part) -> Part:
        return replace(part, name=name, log=self.home.log_file(name))

    def _special(self, name: str, part: Part) -> Part:
        """The first worker gets a clock that can be moved, the last one a disk that can be filled."""
        if name == self.workers[0]:
            try:
                self.clock = Clock(self.folder / "clock")
            except NoClock as error:
                self.lacking["clock"] = str(error)
            else:
                part = part.with_environment(self.clock.environment)
        if name == self.workers[-1]:
            scratch = part.environment["ENGINEHOUSE_SCRATCH_DIR"]
            Path(scratch).mkdir(parents=True, exist_ok=True)
            front = ["unshare", "--mount", "--propagation", "private", "sh", "-c", _DISK_SCRIPT, scratch]
            if why := _cannot_mount(front):
                self.lacking["disk"] = why
            else:
                part = replace(part, command=[*front, *part.command])
                self.disk = Path(scratch)
        return part

    # --- looking -----------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The farm's address."""
        return f"http://127.0.0.1:{self.door.port}"

    def client(self) -> Client:
        """A client of the farm, with every scope. Close it after use."""
        return Client(self.url, self.token)

    def pid(self, name: str) -> int | None:
        """A part's process, while it runs."""
        return self.supervisor.processes[name].pid

    def answers(self, name: str) -> bool:
        """Whether a part does its work: takes a request, or is signed on with the process that it has now."""
        if name == "postgres":
            return self.postgres.answers()
        if name == "seaweedfs":
            return self.s3.answers()
        if name == "redis":
            return self.redis.answers()
        if name in self.workers:
            return self._signed_on(name)
        if name in self.apis:
            return _healthy(self._api_ports[name])
        return self.pid(name) is not None

    def until(self, holds: Callable[[], object], what: str, seconds: float = _READY_S) -> None:
        """Wait for a condition. Raises StackFailed, with the log of the part of that name, if there is one."""
        deadline = time.monotonic() + seconds
        while not holds():
            if self.supervisor.broken or time.monotonic() > deadline:
                guilty = self.supervisor.broken.split()[0] if self.supervisor.broken else what
                process = self.supervisor.processes.get(guilty)
                tail = f" The end of its log, {process.part.log}:\n{process.tail()}" if process else ""
                raise StackFailed(f"{self.supervisor.broken or f'not within {seconds:g} s: {what}'}.{tail}")
            time.sleep(_LOOK_S)

    def held(self, name: str) -> list[tuple[str, int]]:
        """The builds that a worker runs now, with the numbers of their attempts; nothing while the registry is away."""
        query = select(Attempt.build_id, Attempt.number).join(Worker, Worker.id == Attempt.worker_id)
        try:
            with Session(self.engine) as session:
                rows = session.execute(
                    query.where(Attempt.state == "running", Worker.name == self.worker_name(name))
                ).all()
        except SQLAlchemyError:
            return []
        return [(build, number) for build, number in rows]

    @staticmethod
    def worker_name(part: str) -> str:
        """The name under which a worker's part signs on."""
        return Parts.worker_name(int(part.removeprefix("worker-")))

    def boot(self, name: str) -> str | None:
        """What distinguishes the process with which a worker is signed on from those before it."""
        try:
            with Session(self.engine) as session:
                return session.scalar(
                    select(Worker.boot_id).where(Worker.name == self.worker_name(name), Worker.state == "online")
                )
        except SQLAlchemyError:
            return None

    def _signed_on(self, name: str) -> bool:
        return self.pid(name) is not None and self.boot(name) is not None

    # --- doing -------------------------------------------------------------------------------

    def resume(self, name: str) -> None:
        """Let a part that was stopped with SIGSTOP go on."""
        process = self.supervisor.processes.get(name)
        if process is not None and process.pid is not None:
            psutil.Process(process.pid).resume()


def leaders(pid: int) -> list[psutil.Process]:
    """The builds' processes under a worker: those that lead a session of their own."""
    found = []
    try:
        below = psutil.Process(pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    for process in below:
        try:
            if os.getsid(process.pid) == process.pid:
                found.append(process)
        except (ProcessLookupError, psutil.NoSuchProcess):
            continue
    return found


def _engine(url: str) -> Engine:
    """A way to look at the registry past the farm, with no connection that an outage could spoil."""
    return create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 2})


def _healthy(port: int) -> bool:
    import http.client

    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _cannot_mount(front: list[str]) -> str:
    """Why a worker cannot have a small disk of its own; empty if it can."""
    if os.geteuid() != 0:
        return "mounting a small disk needs root"
    try:
        tried = subprocess.run([*front, "true"], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return "unshare (util-linux) is not on PATH"
    return "" if tried.returncode == 0 else f"a small disk cannot be mounted: {tried.stderr.strip()[-200:]}"

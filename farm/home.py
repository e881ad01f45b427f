"""The embedded farm's folder: registry, artifacts, secrets, logs, the lock, and the file that clients read."""

from __future__ import annotations

import fcntl
import json
import os
import secrets
from contextlib import suppress
from pathlib import Path
from typing import IO

from farm.errors import HomeBusy, StartError
from farm.secrets import Secrets

DEFAULT_PORT = 8470
"""Where clients look when nothing else is said (enginehouse.settings.DEFAULT_URL)."""

_LARGE_LOG_BYTES = 10 * 1024**2


def default_home() -> Path:
    """``$ENGINEHOUSE_HOME``, or ``~/.enginehouse``."""
    return Path(os.environ.get("ENGINEHOUSE_HOME") or Path.home() / ".enginehouse")


class Home:
    """The folder. Only its owner may look into it."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().absolute()
        self._lock: IO[str] | None = None

    @property
    def database_url(self) -> str:
        """The registry."""
        return f"sqlite:///{self.path / 'enginehouse.db'}"

    @property
    def store_url(self) -> str:
        """The artifact store."""
        return self.folder("store").as_uri()

    @property
    def farm_file(self) -> Path:
        """The address and the token of the running farm, for clients of the same user."""
        return self.path / "farm.json"

    def folder(self, name: str) -> Path:
        """A folder inside, made when it is missing."""
        folder = self.path / name
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        return folder

    def log_file(self, part: str) -> Path:
        """Where a part's output goes."""
        return self.folder("logs") / f"{part}.log"

    def trim_logs(self) -> None:
        """Put logs that have grown large aside; one older file of each part is kept."""
        for log in self.folder("logs").glob("*.log"):
            if log.stat().st_size > _LARGE_LOG_BYTES:
                log.replace(log.with_suffix(".log.1"))

    def acquire(self) -> None:
        """Make the folder and take it for this process. Raises HomeBusy when another farm has it."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.path.chmod(0o700)
            lock = _private(self.path / "lock", os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise StartError(
                f"{self.path} cannot be the farm's home: {error.strerror}. Name another with --home."
            ) from None
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = lock.read().strip() or "unknown"
            lock.close()
            raise HomeBusy(
                f"A farm runs on {self.path} already (process {holder}). "
                "Use that one, stop it with Ctrl-C in its terminal, or name another home with --home."
            ) from None
        lock.truncate(0)
        lock.write(f"{os.getpid()}\n")
        lock.flush()
        self._lock = lock

    def release(self) -> None:
        """Let another farm have it. The lock file stays: removing it would race with the next holder."""
        if self._lock is not None:
            self._lock.close()
            self._lock = None

    def secrets(self) -> Secrets:
        """The farm's secrets, made at the first start and kept."""
        file = self.path / "secrets.json"
        with suppress(FileNotFoundError):
            return Secrets.from_json(file.read_text(encoding="utf-8"))
        made = Secrets.make()
        self._write(file, made.to_json())
        return made

    def signing_key(self) -> Path:
        """The file of the key that provenance is signed with, made at the first start and kept."""
        file = self.path / "signing-key"
        if not file.exists():
            self._write(file, secrets.token_hex(32) + "\n")
        return file

    def publish(self, url: str, token: str) -> None:
        """Tell this user's clients where the farm is."""
        self._write(self.farm_file, json.dumps({"url": url, "token": token}) + "\n")

    def withdraw(self) -> None:
        """The farm is gone; clients need not try."""
        self.farm_file.unlink(missing_ok=True)

    def _write(self, file: Path, text: str) -> None:
        """Write a file that only the owner reads; it appears whole."""
        partial = file.with_name(f".{file.name}.{os.getpid()}")
        with _private(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as opened:
            opened.write(text)
        partial.replace(file)


def _private(file: Path, flags: int) -> IO[str]:
    descriptor = os.open(file, flags, 0o600)
    os.fchmod(descriptor, 0o600)
    return os.fdopen(descriptor, "r+" if flags & os.O_RDWR else "w", encoding="utf-8")

"""The agent's half of what toolchains keep between builds: fetched before a build, sent after one that succeeded.

It is a help and never a condition: whatever goes wrong is said in the build's log, and the build goes on.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from enginehouse.errors import Conflict, EnginehouseError, StoreUnavailable
from enginehouse.work import KEPT_BYTES, KeptUpdate, kept_key
from workers.backends.kept import Kept
from workers.farm_client import FarmClient

_PATIENCE_S = 5.0

Say = Callable[[str], None]


@dataclass
class Lent:
    """One build's share: what was taken for it, and what it leaves goes back."""

    client: FarmClient
    label: str
    folder: Path
    """where what the farm did not take waits for the next build of this worker"""
    work: Path
    say: Say
    version: int = 0

    @property
    def _own(self) -> Path:
        return self.folder / kept_key(self.label)

    def take(self) -> None:
        """Put what the farm has, and what waits here, into the work folder."""
        try:
            self._fetch()
            if self._own.is_file():
                Kept(self.work).own.write_bytes(self._own.read_bytes())
        except (EnginehouseError, OSError) as error:
            self.say(f"the build begins without a toolchain cache: {error}")

    def give(self) -> None:
        """Send what the build left. What another worker was quicker than waits here to be merged the next time."""
        try:
            content = _read(Kept(self.work).new)
            if content:
                self._send(content)
            else:  # the farm has all of it, and what waited here as well
                self._own.unlink(missing_ok=True)
        except (EnginehouseError, OSError) as error:
            self.say(f"the toolchain cache of this build is not shared: {error}")

    def _fetch(self) -> None:
        found = self.client.kept(kept_key(self.label), _PATIENCE_S)
        if found is None:
            return
        self.version = found.version  # whatever becomes of its bytes, this is what is replaced
        if found.size > KEPT_BYTES:
            raise StoreUnavailable(f"it has {found.size} bytes, at most {KEPT_BYTES} are taken")
        content = b""
        for chunk in self.client.download(found.url):
            content += chunk
            if len(content) > found.size:
                break
        if hashlib.sha256(content).hexdigest() != found.sha256:
            raise StoreUnavailable(f"{len(content)} bytes came that are not those of {found.sha256}")
        Kept(self.work).farm.write_bytes(content)
        self.say(f"toolchain cache: version {found.version}, {found.size} bytes ({self.label})")

    def _send(self, content: bytes) -> None:
        digest = hashlib.sha256(content).hexdigest()
        update = KeptUpdate(label=self.label, version=self.version, sha256=digest)
        try:
            kept = self.client.keep(kept_key(self.label), update, content, _PATIENCE_S)
        except Conflict as error:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._own.write_bytes(content)
            self.say(f"the toolchain cache of this build is merged the next time: {error.detail}")
            return
        self._own.unlink(missing_ok=True)
        self.say(f"toolchain cache: version {kept.version} given, {kept.size} bytes")


def _read(path: Path) -> bytes:
    """A file that the build's process wrote: a plain one of bounded size, or nothing."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        return b""
    with os.fdopen(handle, "rb") as reader:
        status = os.fstat(reader.fileno())
        if not stat.S_ISREG(status.st_mode) or status.st_nlink != 1:
            raise OSError(f"{path.name} is not a plain file")
        content = reader.read(KEPT_BYTES + 1)
    if len(content) > KEPT_BYTES:
        raise OSError(f"{path.name} has more than {KEPT_BYTES} bytes")
    return content

"""Which worker of a pool a build had best go to. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass
class Host:
    """A worker that takes builds: how many more, and the SHA-256 of the files that it need not fetch."""

    worker: str
    free: int
    files: frozenset[str]


def preferred(hosts: Sequence[Host], file: str, avoid: frozenset[str]) -> Host | None:
    """The worker that has the model already; or one that has not failed with the build, where others have.

    None: it makes no difference, so whichever is first may take it.
    """
    able = [host for host in hosts if host.free > 0]
    trusted = [host for host in able if host.worker not in avoid]
    if not trusted:
        return None  # better one that failed with it than none
    having = [host for host in trusted if file in host.files]
    if having or any(host.worker in avoid for host in hosts):
        return max(having or trusted, key=lambda host: (host.free, host.worker))
    return None

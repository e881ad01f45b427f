"""What goes wrong: each fault happens to the stack, is over, and says when."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from sqlalchemy import select
from sqlalchemy.orm import Session

from chaos.stack import Stack, leaders
from enginehouse.messages import BUILD
from scheduler.broker import Broker
from scheduler.celery_app import celery_app
from scheduler.pools import queue_of
from scheduler.registry.tables import Attempt

_BUSY_S = 20.0
_BACK_S = 120.0
_LOOK_S = 0.02
_CATCHES = 50
_CLOCKS_S = (86_400, -86_400, 7_200, -7_200)


@dataclass(frozen=True)
class Lengths:
    """How long faults last that last, in seconds."""

    lease_s: float
    expires_s: float
    store_s: float
    outage_s: float
    disk_s: float
    late_s: float


@dataclass
class Happened:
    """One fault. Times are those of the machine's clock, which the database has too."""

    name: str
    part: str
    began: float = field(default_factory=time.time)
    back: float = 0.0
    note: str = ""
    skipped: str = ""
    held: list[tuple[str, int]] = field(default_factory=list)
    """builds whose worker is lost by it, with the numbers of their attempts"""


@dataclass(frozen=True)
class Scene:
    """What a fault may use."""

    stack: Stack
    lengths: Lengths
    chance: random.Random


Fault = Callable[[Scene], Happened]


def kill_worker(scene: Scene) -> Happened:
    """A worker that runs a build is killed; the supervisor starts it again."""
    stack = scene.stack
    name = _working(scene, stack.workers)
    before = stack.boot(name)
    happened = Happened("worker killed", name, held=stack.held(name))
    stack.supervisor.kill(name)
    stack.until(lambda: stack.boot(name) not in (None, before), name, _BACK_S)
    return _over(happened)


def kill_child(scene: Scene) -> Happened:
    """The process of a build is killed; its worker lives."""
    name, child = _building(scene)
    happened = Happened("build's process killed", name)
    if child is None:
        happened.skipped = "no build ran long enough to be caught"
        return _over(happened)
    with suppress(psutil.NoSuchProcess):
        child.kill()
    return _over(happened)


def kill_scheduler(scene: Scene) -> Happened:
    """One scheduler is killed; the other one goes on."""
    return _killed(scene, "one scheduler killed", [scene.chance.choice(scene.stack.schedulers)])


def kill_schedulers(scene: Scene) -> Happened:
    """All schedulers are killed."""
    return _killed(scene, "all schedulers killed", scene.stack.schedulers)


def kill_api(scene: Scene) -> Happened:
    """One API process is killed; the other one answers."""
    return _killed(scene, "one API process killed", [scene.chance.choice(scene.stack.apis)])


def kill_apis(scene: Scene) -> Happened:
    """Nobody answers for a while."""
    return _killed(scene, "all API processes killed", scene.stack.apis)


def kill_ours(scene: Scene) -> Happened:
    """Every process of the farm dies at once; the servers stay."""
    stack = scene.stack
    boots = {name: stack.boot(name) for name in stack.workers}
    happened = _killed(scene, "API, schedulers and workers killed", [*stack.apis, *stack.schedulers, *stack.workers])
    for name, before in boots.items():
        stack.until(lambda name=name, before=before: stack.boot(name) not in (None, before), name, _BACK_S)  # type: ignore[misc]
    return _over(happened)


def flush_redis(scene: Scene) -> Happened:
    """The broker forgets everything."""
    happened = Happened("Redis flushed", "redis")
    scene.stack.redis.flush()
    return _over(happened)


def restart_redis(scene: Scene) -> Happened:
    """The broker is away, and comes back empty."""
    return _away(scene, "Redis stopped, started empty", "redis", scene.lengths.outage_s)


def restart_postgres(scene: Scene) -> Happened:
    """The registry is ended as by ``pg_ctl stop -m immediate``, and recovers from its log when it is started."""
    return _away(scene, "PostgreSQL stopped (immediate)", "postgres", scene.lengths.outage_s)


def kill_store(scene: Scene) -> Happened:
    """The S3 server is killed and away."""
    return _away(scene, "S3 server killed", "seaweedfs", scene.lengths.store_s)


def freeze_store(scene: Scene) -> Happened:
    """The S3 server takes connections and does not answer."""
    stack = scene.stack
    happened = Happened("S3 server frozen", "seaweedfs", note=f"{scene.lengths.store_s:g} s")
    stack.supervisor.kill("seaweedfs", signal.SIGSTOP)
    try:
        time.sleep(scene.lengths.store_s)
    finally:
        stack.supervisor.kill("seaweedfs", signal.SIGCONT)
    stack.until(stack.s3.answers, "seaweedfs", _BACK_S)
    return _over(happened)


def freeze_worker(scene: Scene) -> Happened:
    """A worker is stopped past its lease and let go on: somebody else has its build by then."""
    stack = scene.stack
    seconds = scene.lengths.lease_s * 1.3 + 1
    for _ in range(_CATCHES):
        name = _working(scene, stack.workers)
        happened = Happened("worker stopped past its lease", name, note=f"{seconds:g} s")
        stack.supervisor.kill(name, signal.SIGSTOP)
        happened.held = stack.held(name)  # now it can end nothing any more
        if happened.held:
            break
        stack.supervisor.kill(name, signal.SIGCONT)
    else:
        happened.skipped = "no worker could be stopped in the middle of a build"
        return _over(happened)
    try:
        time.sleep(seconds)
    finally:
        stack.supervisor.kill(name, signal.SIGCONT)
    stack.until(lambda: stack.answers(name), name, _BACK_S)
    return _over(happened)


def fill_disk(scene: Scene) -> Happened:
    """The last worker's disk is full, to the last byte, for a while."""
    stack = scene.stack
    name = stack.workers[-1]
    happened = Happened("worker's disk full", name, note=f"{scene.lengths.disk_s:g} s")
    pid = stack.pid(name)
    if pid is None or "disk" in stack.lacking:
        happened.skipped = stack.lacking.get("disk", "the worker did not run")
        return _over(happened)
    disk = Path(f"/proc/{pid}/root") / stack.disk.relative_to("/")  # as the worker sees it
    full = disk / "full"
    size = _fill(full)
    try:
        time.sleep(scene.lengths.disk_s)
        size += _fill(full)  # what builds in progress gave back
    finally:
        full.unlink(missing_ok=True)
    happened.note += f", {size >> 20} MiB written until ENOSPC"
    return _over(happened)


def move_clock(scene: Scene) -> Happened:
    """The first worker's clock jumps, and stays wrong until it jumps again."""
    stack = scene.stack
    seconds = scene.chance.choice(_CLOCKS_S)
    happened = Happened("worker's clock moved", stack.workers[0], note=f"by {seconds:+d} s")
    if stack.clock is None:
        happened.skipped = stack.lacking["clock"]
    else:
        stack.clock.move(seconds)
    return _over(happened)


def repeat_messages(scene: Scene) -> Happened:
    """Messages of builds that wait, run and have ended come again, twice each; of earlier attempts too."""
    happened = Happened("messages sent again", "redis")
    with Session(scene.stack.engine) as session:
        query = select(Attempt.build_id, Attempt.number, Attempt.pool).order_by(Attempt.created.desc()).limit(30)
        rows = session.execute(query).all()
    broker = Broker(celery_app(scene.stack.redis.url))
    try:
        for build, number, pool in rows:
            for _ in range(2):
                broker.send(queue_of(pool), BUILD, {"build": build, "attempt": number})
    finally:
        broker.close()
    happened.note = f"{2 * len(rows)} messages"
    return _over(happened)


def delay_messages(scene: Scene) -> Happened:
    """Everything between the farm and its broker takes a while, so that messages come after they expired."""
    line, lengths = scene.stack.line, scene.lengths
    delay = lengths.expires_s / 4
    happened = Happened("broker slow", "redis", note=f"{delay:g} s each way, for {lengths.late_s:g} s")
    line.delay_s = delay
    try:
        time.sleep(lengths.late_s)
    finally:
        line.delay_s = 0.0
    return _over(happened)


ALL: tuple[Fault, ...] = (
    kill_worker,
    kill_child,
    kill_scheduler,
    kill_schedulers,
    kill_api,
    kill_apis,
    kill_ours,
    flush_redis,
    restart_redis,
    restart_postgres,
    kill_store,
    freeze_store,
    freeze_worker,
    fill_disk,
    move_clock,
    repeat_messages,
    delay_messages,
)


def schedule(chance: random.Random, times: Sequence[tuple[Fault, int]]) -> list[Fault]:
    """Each fault so many times, in an order that the seed decides."""
    order = [fault for fault, count in times for _ in range(count)]
    chance.shuffle(order)
    return order


def _over(happened: Happened) -> Happened:
    happened.back = time.time()
    return happened


def _killed(scene: Scene, name: str, parts: list[str]) -> Happened:
    stack = scene.stack
    before = {part: stack.pid(part) for part in parts}
    held = [pair for part in parts if part in stack.workers for pair in stack.held(part)]
    happened = Happened(name, ", ".join(parts) if len(parts) < 3 else f"{len(parts)} parts", held=held)
    for part in parts:
        stack.supervisor.kill(part)
    for part, pid in before.items():
        stack.until(
            lambda part=part, pid=pid: stack.pid(part) not in (None, pid) and stack.answers(part),  # type: ignore[misc]
            part,
            _BACK_S,
        )
    return _over(happened)


def _away(scene: Scene, name: str, part: str, seconds: float) -> Happened:
    happened = Happened(name, part, note=f"{seconds:g} s")
    scene.stack.supervisor.hold(part)
    try:
        time.sleep(seconds)
    finally:
        scene.stack.supervisor.restart(part)
    scene.stack.until(lambda: scene.stack.answers(part), part, _BACK_S)
    return _over(happened)


def _working(scene: Scene, names: Sequence[str]) -> str:
    """A worker that holds a build; any one, when nobody does for a while."""
    until = time.monotonic() + _BUSY_S
    order = scene.chance.sample(list(names), len(names))
    while time.monotonic() < until:
        for name in order:
            if scene.stack.held(name):
                return name
        time.sleep(_LOOK_S)
    return order[0]


def _building(scene: Scene) -> tuple[str, psutil.Process | None]:
    """A process of a build, with its worker."""
    until = time.monotonic() + _BUSY_S
    order = scene.chance.sample(scene.stack.workers, len(scene.stack.workers))
    while time.monotonic() < until:
        for name in order:
            pid = scene.stack.pid(name)
            found = leaders(pid) if pid is not None else []
            if found:
                return name, found[0]
        time.sleep(_LOOK_S)
    return order[0], None


def _fill(path: Path) -> int:
    """Write until the disk takes no more; the bytes that it took."""
    written = 0
    with path.open("ab", buffering=0) as file:
        for step in (1 << 20, 1 << 12, 1):
            data = b"\0" * step
            try:
                while True:
                    written += os.write(file.fileno(), data)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
    return written

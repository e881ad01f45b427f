"""The agent: signs on, renews what it holds, takes attempts, ends them when it must."""

from __future__ import annotations

import os
import shutil
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from enginehouse.capability import Capability
from enginehouse.errors import EnginehouseError
from enginehouse.states import WorkerMode
from enginehouse.targets import AUTO
from enginehouse.work import ClaimRequest, Heartbeat, SignedOn, SignOn
from workers.attempt import Attempt, Bench
from workers.cache import InputCache
from workers.child.watch import Stop
from workers.cores import core_files
from workers.disk import is_full
from workers.farm_client import FarmClient
from workers.pipeline import PIPELINE_VERSION
from workers.probe import Found
from workers.settings import WorkerSettings

SELF_KILL_S = 15.0
"""Without a renewal for so long the agent ends its own builds: the farm gives them to others after 20 s."""

_CLAIM_PATIENCE_S = 9.0
"""A dispatch that nobody claims expires after 10 s."""
_DEAF_S = 60.0
_HOLDING_BEAT_S = 1.0
"""While it holds something it asks so often whether it shall stop: a cancel is to be through within seconds."""
_ROOM_LOOK_S = 0.2
_SIGN_ON_WAIT_S = (0.2, 5.0)
_DRAIN_S = 5.0

_log = structlog.get_logger()


@dataclass
class Agent:
    """One worker process. ``handle`` is called by the consumer's threads, the rest by ``main``."""

    settings: WorkerSettings
    client: FarmClient
    found: Found
    boot_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    deaf: Callable[[], None] | None = None
    """called when work waits and no message comes"""
    opened: Callable[[], None] | None = None
    """called when messages are wanted again"""
    leave: Callable[[], None] | None = None
    """called when an operator wants it gone and it holds nothing"""

    def __post_init__(self) -> None:
        scratch = self.settings.scratch_dir
        shutil.rmtree(scratch / "builds", ignore_errors=True)  # of an earlier boot
        (scratch / "builds").mkdir(parents=True)
        self.bench = Bench(
            settings=self.settings,
            client=self.client,
            cache=InputCache(scratch / "inputs", self.settings.cache_bytes),
            hardware=self.found.hardware,
            threads=self.found.threads,
            cores=core_files(),
            backends=tuple(one.backend for one in self.found.capabilities if one.backend != AUTO),
        )
        self.signed_on: SignedOn | None = None
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._mode = WorkerMode.OPEN
        self._renewed = self._heard = time.monotonic()
        self._drained = False

    # -- presence -----------------------------------------------------------------------------

    def sign_on(self) -> SignedOn:
        """Announce the worker; waits for a farm that is not up yet. Raises what the farm refuses for good."""
        body = SignOn(
            name=self.settings.worker_name,
            boot_id=self.boot_id,
            slots=self.settings.slots,
            pipeline=PIPELINE_VERSION,
            hardware=self.found.hardware,
            capabilities=self.found.capabilities,
        )
        wait, most = _SIGN_ON_WAIT_S
        while True:
            try:
                self.signed_on = self.client.sign_on(body)
            except EnginehouseError as error:
                if not error.retried or self._stopping.wait(wait):
                    raise
                _log.info("agent.waiting_for_farm", url=self.settings.url, detail=error.detail)
                wait = min(wait * 2, most)
            else:
                self._renewed = time.monotonic()
                _log.info("agent.signed_on", worker=self.signed_on.worker, pool=self.signed_on.pool)
                self._turn(self.signed_on.mode, "")
                return self.signed_on

    def beat_until_stopped(self) -> None:
        """The heartbeat thread."""
        beaten = time.monotonic()
        while not self._stopping.is_set():
            pause = beaten + self._interval() - time.monotonic()
            if pause > 0:
                self._hurry.wait(pause)  # what is taken meanwhile makes the interval shorter
                self._hurry.clear()
                continue
            beaten = time.monotonic()
            try:
                self._beat()
            except EnginehouseError as error:
                _log.warning("agent.heartbeat_failed", code=error.code, detail=error.detail)
            except Exception:  # noqa: BLE001 - the heartbeat outlives our bugs
                _log.exception("agent.heartbeat_bug")
            if time.monotonic() - self._renewed > SELF_KILL_S:
                for attempt in self._held():
                    _log.error("agent.lease_not_renewed", build=attempt.claim.build)
                    attempt.stop(Stop.DROP)

    def stop(self) -> None:
        """End what runs and leave; the farm gives released builds to others at once. Harmless when repeated."""
        self._stopping.set()
        self._hurry.set()
        for attempt in self._held():
            attempt.stop(Stop.RELEASE)

    def sign_off(self) -> None:
        """Wait for the ends to be told, then leave."""
        until = time.monotonic() + _DRAIN_S
        while self._held() and time.monotonic() < until:
            time.sleep(0.02)
        if self.signed_on is not None:
            try:
                self.client.sign_off(self.signed_on.worker, self.boot_id)
            except EnginehouseError as error:
                _log.warning("agent.sign_off_failed", code=error.code, detail=error.detail)

    # -- work ---------------------------------------------------------------------------------

    @property
    def open(self) -> bool:
        """Whether it wants messages. One that comes all the same is claimed, and the farm sends the build elsewhere."""
        return self._mode is WorkerMode.OPEN and not self._drained

    def handle(self, build: str, attempt: int) -> None:
        """A message came: claim the attempt and do it. A message is a hint: one that is stale is dropped silently."""
        self._heard = time.monotonic()
        if self._stopping.is_set() or self._drained:
            return
        if not self._has_room():
            return
        assert self.signed_on is not None
        request = ClaimRequest(worker=self.signed_on.worker, boot_id=self.boot_id, attempt=attempt)
        try:
            claim = self.client.claim(build, request, _CLAIM_PATIENCE_S)
        except EnginehouseError as error:
            _log.info("agent.claim_refused", build=build, attempt=attempt, code=error.code, detail=error.detail)
            return
        mine = Attempt(self.bench, claim)
        key = (claim.build, claim.fence)
        with self._lock:
            if key in self._attempts:  # the same message twice
                return
            self._attempts[key] = mine
        self._hurry.set()
        if self._stopping.is_set():
            mine.stop(Stop.RELEASE)
        try:
            mine.run()
        finally:
            with self._lock:
                del self._attempts[key]
            if mine.left:
                self._drained = True
                _log.error("agent.drained", reason="processes of a build cannot be killed", processes=mine.left)

    def _has_room(self) -> bool:
        """Whether there is space to build in; waited for as long as the dispatch can be claimed.

        The message is held meanwhile: a worker that let go of each at once would empty the pool's queue for nothing.
        """
        until = time.monotonic() + _CLAIM_PATIENCE_S
        while is_full(self.settings.scratch_dir):
            if time.monotonic() > until or self._stopping.wait(_ROOM_LOOK_S):
                _log.error("agent.disk_full", folder=str(self.settings.scratch_dir))
                return False
        return True

    def _held(self) -> list[Attempt]:
        with self._lock:
            return list(self._attempts.values())

    def _interval(self) -> float:
        assert self.signed_on is not None
        return min(self.signed_on.heartbeat_s, _HOLDING_BEAT_S) if self._held() else self.signed_on.heartbeat_s

    def _beat(self) -> None:
        assert self.signed_on is not None
        held = self._held()
        body = Heartbeat(
            worker=self.signed_on.worker,
            boot_id=self.boot_id,
            held=[one.held for one in held],
            files=self.bench.cache.newest(),
        )
        reply = self.client.heartbeat(body)
        self._renewed = time.monotonic()
        by_key = {(one.claim.build, one.claim.fence): one for one in held}
        for theirs, reason in ((reply.cancel, Stop.CANCEL), (reply.drop, Stop.DROP)):
            for one in theirs:
                if (one.build, one.fence) in by_key:
                    by_key[one.build, one.fence].stop(reason)
        if not reply.known:
            _log.warning("agent.unknown_to_farm")
            self.sign_on()
        else:
            self._turn(reply.mode, reply.mode_reason)
        self._listen(reply.waiting, len(held))
        if reply.leave and not self._held() and self.leave is not None:
            _log.info("agent.leaves", reason=reply.mode_reason)
            self.leave()

    def _turn(self, mode: WorkerMode, reason: str) -> None:
        if mode is self._mode:
            return
        _log.info("agent.mode", came_from=self._mode.value, to=mode.value, reason=reason)
        self._mode = mode
        if self.open and self.opened is not None:
            self.opened()

    def _listen(self, waiting: int, busy: int) -> None:
        """Work waits, a slot is free, and nothing comes: the consumer is deaf, as it can be after a reconnect."""
        if not waiting or busy >= self.settings.slots:
            self._heard = time.monotonic()
        elif time.monotonic() - self._heard > _DEAF_S and self.deaf is not None:
            _log.error("agent.deaf", waiting=waiting)
            self._heard = time.monotonic()
            self.deaf()


def describe(capabilities: list[Capability]) -> str:
    """Capabilities in a line."""
    return ", ".join(f"{one.backend} ({', '.join(one.precisions)})" for one in capabilities) or "nothing"


def own_scratch(folder: Path) -> int:
    """Hold the scratch folder for this process; two workers must not share one. Raises BlockingIOError."""
    import fcntl

    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder / "worker.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    return handle

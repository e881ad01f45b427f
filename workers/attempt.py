"""One attempt from the claim to its end: inputs, child, bundle."""

from __future__ import annotations

import shutil
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import structlog

from enginehouse.capability import Hardware
from enginehouse.errors import (
    AttemptStale,
    EnginehouseError,
    Failure,
    FarmUnreachable,
    InternalError,
    TimeExceeded,
    WorkerDiskFull,
    WorkerLost,
)
from enginehouse.states import Phase
from enginehouse.targets import AUTO
from enginehouse.work import Claim, Fail, Held, InputFile
from workers.attachments import read_attachments
from workers.backends import get
from workers.backends.base import Backend
from workers.cache import InputCache
from workers.child.entry import main
from workers.child.parent import start
from workers.child.watch import Outcome, Stop, Watch
from workers.disk import is_full, ran_out
from workers.farm_client import OUTAGE_S, FarmClient
from workers.gpus import one_of
from workers.kept import Lent
from workers.pipeline.order import Order
from workers.probe.nvidia import cards
from workers.publish import publish
from workers.reporter import Reporter
from workers.settings import WorkerSettings

_FIRST_WAIT_S, _MOST_WAIT_S = 0.2, 2.0
_FLUSH_S = 30.0
_SHORT_GRACE_S = 1.0
_STALE_PATIENCE_S = 3.0

_log = structlog.get_logger()


@dataclass(frozen=True)
class Bench:
    """What every attempt of a worker works with."""

    settings: WorkerSettings
    client: FarmClient
    cache: InputCache
    hardware: Hardware
    threads: int
    cores: tuple[Path, ...]
    backends: tuple[str, ...]


@dataclass
class Attempt:
    """A claimed attempt. ``stop`` may be called from any thread, at any time."""

    bench: Bench
    claim: Claim
    began: float = field(default_factory=time.monotonic)
    left: list[int] = field(default_factory=list)
    """processes that could not be killed: the worker must not take more work"""
    _watch: Watch | None = None
    _stopped: Stop | None = None
    _waited_s: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def held(self) -> Held:
        """What the heartbeat renews."""
        return Held(build=self.claim.build, fence=self.claim.fence)

    @property
    def deadline(self) -> float:
        """When the build's time is up, by the monotonic clock. It does not pass while another one is timed."""
        return self.began + self.claim.limits.time_s + self._waited_s

    def stop(self, reason: Stop) -> None:
        """End the attempt. The first reason counts."""
        with self._lock:
            self._stopped = self._stopped or reason
            if self._watch is not None:
                self._watch.stop_for(self._stopped)

    def run(self) -> None:
        """Do all of it, and tell the farm how it ended. Raises nothing."""
        folder = f"{self.claim.build}-{self.claim.attempt}-{self.claim.fence}"
        work = self.bench.settings.scratch_dir / "builds" / folder
        reporter = Reporter(self.bench.client, self.claim)
        log = _log.bind(build=self.claim.build, attempt=self.claim.attempt, request_id=self.claim.request_id)
        log.info("attempt.started", target=str(self.claim.recipe.target))
        ending: Fail | None
        try:
            ending = self._work(work, reporter)
        except AttemptStale:
            ending = None
        except EnginehouseError as error:
            ending = Fail(fence=self.claim.fence, failure=self._blamed(error.failure()))
        except Exception as error:
            if ran_out(error):
                failure = WorkerDiskFull(str(error)).failure()
            else:
                log.exception("attempt.bug")
                failure = self._blamed(InternalError(f"{type(error).__name__}: {error}").failure())
            ending = Fail(fence=self.claim.fence, failure=failure)
        if self._stopped is Stop.CANCEL:
            ending = Fail(fence=self.claim.fence, cancelled=True)
        elif self._stopped is Stop.RELEASE and ending is not None:
            ending = Fail(fence=self.claim.fence, released=True)
        elif self._stopped is Stop.DROP:
            ending = None
        if ending is not None:
            if ending.failure is not None:
                ending = ending.model_copy(update={"attachments": read_attachments(work)})
            reporter.close(_SHORT_GRACE_S if self._stopped else _FLUSH_S)
            self._tell(ending)
        reporter.close(0)
        shutil.rmtree(work, ignore_errors=True)
        log.info("attempt.ended", seconds=round(time.monotonic() - self.began, 3), outcome=_word(ending, self._stopped))

    def _work(self, work: Path, reporter: Reporter) -> Fail | None:
        """None: the build is complete."""
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir(parents=True)
        reporter.phase(Phase.FETCH)
        order = self._fetch(work, reporter)
        outcome = self._on_gpu(order, reporter) if self._needs_gpu else self._build(order, reporter)
        if outcome.failure is not None:
            return Fail(fence=self.claim.fence, failure=self._blamed(outcome.failure))
        if outcome.built is None:
            return Fail(fence=self.claim.fence, cancelled=True)  # stopped: run() says why
        if time.monotonic() > self.deadline:
            raise TimeExceeded(f"the build did not end within {self.claim.limits.time_s} s")
        reporter.phase(Phase.PUBLISH)
        flush = threading.Thread(target=reporter.close, args=(_FLUSH_S,), daemon=True)
        flush.start()  # the last lines go while the files do
        given_up = lambda: self._stopped in {Stop.CANCEL, Stop.DROP}  # noqa: E731
        if not publish(self.bench.client, self.claim, outcome.built, order.bundle, given_up):
            return Fail(fence=self.claim.fence, cancelled=True)  # stopped: run() says why
        flush.join(_FLUSH_S)
        return None

    def _blamed(self, failure: Failure) -> Failure:
        """The failure; or, where the disk is full, that: whatever else went wrong there says nothing of the model."""
        if failure.retried or not is_full(self.bench.settings.scratch_dir):
            return failure
        return WorkerDiskFull(f"no space is left on the worker's disk; {failure.detail}", last=failure.code).failure()

    def _fetch(self, work: Path, reporter: Reporter) -> Order:
        claim, bench = self.claim, self.bench
        model, *_ = [self._place(file, work / "model" / file.path, reporter) for file in claim.model_files]
        dataset = claim.dataset_file
        return Order(
            recipe=claim.recipe,
            signature=claim.signature,
            model=model,
            dataset=self._place(dataset, work / "dataset.npz", reporter) if dataset else None,
            dataset_name=claim.dataset_name,
            work=work,
            hardware=bench.hardware,
            threads=bench.threads,
            cores=bench.cores,
            benchmark_s=bench.settings.benchmark_s,
            memory=True,
            backends=bench.backends,
        )

    def _place(self, file: InputFile, target: Path, reporter: Reporter) -> Path:
        if not target.resolve().is_relative_to(target.parents[len(Path(file.path).parts) - 1].resolve()):
            raise InternalError(f"the claim's path '{file.path}' leaves the work folder")
        begin = time.monotonic()
        had = self._placed(file, target)
        how = "had" if had else "fetched"
        reporter.line(f"{how} {file.path} ({file.size} bytes) in {time.monotonic() - begin:.3f} s")
        return target

    def _placed(self, file: InputFile, target: Path) -> bool:
        """Whether the file was at hand; else it is fetched, over an outage of the farm or of its store."""
        fetch = lambda: self.bench.client.download(file.url)  # noqa: E731
        until = min(time.monotonic() + OUTAGE_S, self.deadline)
        wait = _FIRST_WAIT_S
        while True:
            try:
                return self.bench.cache.place(file.sha256, file.size, target, fetch)
            except FarmUnreachable:
                if self._stopped is not None or time.monotonic() + wait > until:
                    raise
            time.sleep(wait)
            wait = min(wait * 2, _MOST_WAIT_S)

    @property
    def _backends(self) -> list[Backend]:
        """Those that the build may use: the target's own and its baselines', or for 'auto' all that were announced."""
        recipe = self.claim.recipe
        named = [recipe.target.backend, *(one.backend for one in recipe.against())]
        wanted = self.bench.backends if recipe.target.backend == AUTO else dict.fromkeys(named)
        return [get(name) for name in wanted]

    @property
    def _needs_gpu(self) -> bool:
        return any("nvidia-gpu" in one.tags for one in self._backends)

    def _on_gpu(self, order: Order, reporter: Reporter) -> Outcome:
        """Build with a GPU to itself, waited for when need be, and with what the toolchain keeps for that GPU."""
        claim, bench = self.claim, self.bench
        held = cards()
        if not held:
            raise WorkerLost("the GPU that this worker announced is gone")
        given_up = lambda: self._stopped is not None or time.monotonic() > self.deadline  # noqa: E731
        with one_of(held, given_up) as card:
            if card is None:
                if self._stopped is None:
                    raise TimeExceeded(f"no GPU was free within {claim.limits.time_s} s")
                return Outcome(stopped=self._stopped)
            reporter.line(f"building on {card.gpu.name} ({card.uuid})")
            known = len(self._backends) == 1 or claim.recipe.target.backend != AUTO
            label = self._backends[0].kept_label(claim.recipe.target, card) if known else None
            kept = bench.settings.scratch_dir / "kept"
            lent = Lent(bench.client, label, kept, order.work, reporter.line) if label else None
            # A build that is tried again may have died of what it was given.
            if lent is not None and claim.attempt == 1:
                lent.take()
            outcome = self._build(order.model_copy(update={"gpu": card.uuid}), reporter)
        if lent is not None and outcome.built is not None:
            lent.give()
        return outcome

    def _build(self, order: Order, reporter: Reporter) -> Outcome:
        claim = self.claim
        limits = claim.limits
        afresh = any(one.start_method == "exec" for one in self._backends)
        child = start("exec" if afresh else "fork", main, order.model_dump_json(), limits.memory_mb)
        watch = Watch(
            child,
            deadline=self.deadline,
            memory_bytes=limits.memory_mb * 2**20,
            grace_s=self.bench.settings.stop_grace_s,
            entered=reporter.phase,
            line=reporter.line,
            cores=self.bench.cores,
        )
        with self._lock:
            self._watch = watch
            if self._stopped is not None:
                watch.stop_for(self._stopped)
        outcome = watch.run()
        with self._lock:
            self._watch = None
            self._waited_s += outcome.waited_s
        if outcome.left:
            self.left = outcome.left
            _log.error("attempt.unkillable", build=claim.build, processes=outcome.left)
        return outcome

    def _tell(self, ending: Fail) -> None:
        patience = _STALE_PATIENCE_S if self._stopped is Stop.RELEASE else 60.0
        try:
            self.bench.client.fail(self.claim.build, ending, self.claim.request_id, patience)
        except AttemptStale:  # somebody else's by now
            return
        except EnginehouseError as error:
            _log.warning("attempt.untold", build=self.claim.build, code=error.code, detail=error.detail)


def _word(ending: Fail | None, stopped: Stop | None) -> str:
    if stopped is not None:
        return stopped.value
    if ending is None:
        return "complete"
    return ending.failure.code if ending.failure else "ended"

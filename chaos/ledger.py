"""What the farm has promised, and what is found when everything is over."""

from __future__ import annotations

import itertools
import random
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import func, select
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.orm import Session

from chaos.stack import Stack
from enginehouse.bundle import Manifest
from enginehouse.client import Client
from enginehouse.errors import EnginehouseError
from enginehouse.request import JobRequest
from enginehouse.states import (
    BUILD_MOVES,
    ENDED,
    JOB_ENDED,
    AttemptState,
    BuildState,
    JobState,
    Origin,
    job_state,
)
from enginehouse.views import JobView
from scheduler.registry.tables import Artifact, Attempt, Build, EventRow, Job, OutboxRow

_AHEAD_S = 0.3
_FARM = "farm"


@dataclass(frozen=True)
class Promise:
    """A submission that was answered with 2xx."""

    job: str
    key: str
    request: JobRequest
    content: bytes = field(repr=False)
    at: float


@dataclass
class Findings:
    """What is wrong, in sentences, and what there is to count."""

    accepted: int = 0
    resent: int = 0
    builds: int = 0
    ended: int = 0
    origins: dict[str, int] = field(default_factory=dict)
    attempts: dict[str, int] = field(default_factory=dict)
    given_up: list[str] = field(default_factory=list)
    """builds that had every attempt that they may have, and lost each by the farm's fault"""
    lost: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)
    longest_wait_s: float = 0.0
    artifacts_read: int = 0

    @property
    def good(self) -> bool:
        """Whether every promise was kept."""
        return not (self.lost or self.twice or self.wrong)


class Ledger:
    """Written by the load's threads, read at the end."""

    def __init__(self) -> None:
        self._promises: list[Promise] = []
        self._resent = 0
        self._wrong: list[str] = []
        self._lock = threading.Lock()
        self._ahead = (0.0, 0)

    # --- while it runs -----------------------------------------------------------------------

    def promised(self, promise: Promise) -> None:
        """A submission was accepted."""
        with self._lock:
            self._promises.append(promise)

    def resent(self, promise: Promise, answer: JobView) -> None:
        """An accepted submission was sent once more, under the same key."""
        with self._lock:
            self._resent += 1
            if answer.id != promise.job:
                self._wrong.append(f"key {promise.key} made job {promise.job} and, sent again, job {answer.id}")

    def any(self, chance: random.Random) -> Promise | None:
        """Some promise."""
        with self._lock:
            return chance.choice(self._promises) if self._promises else None

    def __len__(self) -> int:
        return len(self._promises)

    def outstanding(self, stack: Stack) -> int:
        """Jobs that have not ended, as the registry says; 0 while it is away, so that submissions meet the outage."""
        with self._lock:
            at, count = self._ahead
            if time.monotonic() - at < _AHEAD_S:
                return count
        try:
            with Session(stack.engine) as session:
                open_jobs = select(func.count()).select_from(Job).where(Job.state.not_in(list(JOB_ENDED)))
                count = session.scalar(open_jobs) or 0
        except SQLAlchemyError:
            return 0
        with self._lock:
            self._ahead = (time.monotonic(), count)
        return count

    # --- when it is over ---------------------------------------------------------------------

    def await_end(self, stack: Stack, seconds: float) -> bool:
        """Whether every job ended within the time."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self._ahead = (0.0, 0)
            if stack.answers("postgres") and self.outstanding(stack) == 0:
                return True
            time.sleep(0.2)
        return False

    def audit(self, session: Session, max_attempts: int) -> Findings:
        """Compare what was promised with what the registry says."""
        found = Findings(accepted=len(self._promises), resent=self._resent, wrong=list(self._wrong))
        self._jobs(session, found)
        _builds(session, found, max_attempts)
        _attempts(session, found)
        _published(session, found)
        _told(session, found)
        return found

    def read_artifacts(self, session: Session, client: Client, folder: Path, found: Findings) -> None:
        """Every artifact that a build succeeded with can be read, is of its model, and computes what the model does."""
        contents = {promise.job: promise.content for promise in self._promises}
        _artifacts(session, client, contents, folder, found)

    def _jobs(self, session: Session, found: Findings) -> None:
        """Every promise is a job that has ended, as its builds say; nothing else is there."""
        builds: dict[str, list[BuildState]] = defaultdict(list)
        for job_id, state in session.execute(select(Build.job_id, Build.state)):
            builds[job_id].append(BuildState(state))
        rows = {row.id: row for row in session.scalars(select(Job))}
        promised = {promise.job: promise for promise in self._promises}
        for id_, promise in promised.items():
            row = rows.get(id_)
            if row is None:
                found.lost.append(f"job {id_} was accepted and is not in the registry")
                continue
            if JobState(row.state) not in JOB_ENDED or row.ended is None:
                found.lost.append(f"job {id_} was accepted and is {row.state} still")
                continue
            found.ended += 1
            found.longest_wait_s = max(found.longest_wait_s, row.ended.timestamp() - row.created.timestamp())
            if len(builds[id_]) != len(promise.request.targets):
                found.wrong.append(
                    f"job {id_} has {len(builds[id_])} builds for {len(promise.request.targets)} targets"
                )
            if row.idempotency_key != promise.key:
                found.wrong.append(f"job {id_} answers key {row.idempotency_key}, not {promise.key}")
        if len(promised) != len(self._promises):
            found.twice.append(f"{len(self._promises) - len(promised)} submissions of different keys share a job")
        for id_ in rows.keys() - promised.keys():
            found.wrong.append(f"job {id_} is in the registry and was promised to nobody")
        for id_, row in rows.items():
            if builds[id_] and job_state(builds[id_]) != row.state:
                found.wrong.append(f"job {id_} is {row.state}, its builds are {', '.join(sorted(builds[id_]))}")


def _builds(session: Session, found: Findings, max_attempts: int) -> None:
    """Every build has succeeded; or it lost every attempt that it may have, each by the farm's fault."""
    origins: Counter[str] = Counter()
    for build in session.scalars(select(Build)):
        found.builds += 1
        mine = session.scalars(select(Attempt).where(Attempt.build_id == build.id).order_by(Attempt.number)).all()
        if build.state == BuildState.SUCCEEDED:
            origins[build.origin or "nothing"] += 1
            if build.artifact_id is None:
                found.wrong.append(f"build {build.id} succeeded without an artifact")
        elif build.state == BuildState.FAILED:
            spent = [one for one in mine if one.state in {AttemptState.FAILED, AttemptState.LOST} and one.failure]
            faults = [one.failure["fault"] for one in spent if one.failure]
            said = f"build {build.id} failed: {(build.failure or {}).get('detail')}"
            if len(spent) >= max_attempts and set(faults) <= {_FARM, "toolchain"}:
                found.given_up.append(said)
            else:
                found.wrong.append(f"{said} (after {len(spent)} spent attempts)")
        if BuildState(build.state) in ENDED and (build.ended is None or build.joined_to or build.phase):
            found.wrong.append(f"build {build.id} is {build.state} and has not been left in order")
    found.origins = dict(sorted(origins.items()))


def _attempts(session: Session, found: Findings) -> None:
    """One live lease per build at a time, fencing numbers that only grow, one success, none left alive."""
    by_build: dict[str, list[Attempt]] = defaultdict(list)
    counted: Counter[str] = Counter()
    for attempt in session.scalars(select(Attempt).order_by(Attempt.build_id, Attempt.number)):
        by_build[attempt.build_id].append(attempt)
        counted[attempt.state] += 1
        if attempt.ended is None:
            found.wrong.append(f"attempt {attempt.number} of {attempt.build_id} is {attempt.state} after the end")
    fences = {row.id: row.fence for row in session.execute(select(Build.id, Build.fence))}
    for build, attempts in by_build.items():
        claimed = [one for one in attempts if one.started is not None]
        for before, after in itertools.pairwise(claimed):
            if before.ended is None or after.started is None or after.started < before.ended:
                found.wrong.append(
                    f"build {build}: attempts {before.number} and {after.number} overlap in their leases"
                )
        numbers = [one.fence for one in claimed]
        if any(number is None for number in numbers) or sorted(set(map(str, numbers))) != sorted(map(str, numbers)):
            found.wrong.append(f"build {build}: a fencing number was given twice: {numbers}")
        if [number for number in numbers if number is not None] != sorted(n for n in numbers if n is not None):
            found.wrong.append(f"build {build}: fencing went back: {numbers}")
        if numbers and fences[build] != numbers[-1]:
            found.wrong.append(f"build {build} has fence {fences[build]}, its last claim {numbers[-1]}")
        if sum(one.state == AttemptState.SUCCEEDED for one in attempts) > 1:
            found.twice.append(f"build {build} succeeded in two attempts")
    found.attempts = dict(sorted(counted.items()))


def _published(session: Session, found: Findings) -> None:
    """The same thing was published once, and built once."""
    proven = select(Artifact.cache_key, func.count()).where(Artifact.agrees.is_(True))
    for key, count in session.execute(proven.group_by(Artifact.cache_key).having(func.count() > 1)):
        found.twice.append(f"{count} artifacts were published for cache key {key}")
    built = select(Build.request_key, func.count()).where(Build.origin == Origin.BUILT.value)
    for key, count in session.execute(built.group_by(Build.request_key).having(func.count() > 1)):
        found.twice.append(f"{count} builds built the same thing, request key {key}")
    owed = session.scalar(select(func.count()).select_from(OutboxRow)) or 0
    if owed:
        found.wrong.append(f"{owed} messages are owed to the broker after the end")


def _told(session: Session, found: Findings) -> None:
    """The events tell of allowed moves alone, and of one end of each job and build."""
    at: dict[str, BuildState] = {}
    ends: Counter[str] = Counter()
    known = {f"build.{state}": state for state in BuildState}
    over = {f"job.{state}" for state in JOB_ENDED}
    query = select(EventRow.kind, EventRow.job_id, EventRow.build_id).order_by(EventRow.id)
    for kind, job, build in session.execute(query):
        if kind in over and job is not None:
            ends[job] += 1
        state = known.get(kind)
        if state is None or build is None:
            continue
        before = at.get(build, BuildState.WAITING)
        if (before, state) not in BUILD_MOVES:
            found.wrong.append(f"build {build} went from {before} to {state}")
        at[build] = state
    for id_, now in session.execute(select(Build.id, Build.state)):
        if at.get(id_, BuildState.WAITING) != now:
            found.wrong.append(f"build {id_} is {now}, the events left it {at.get(id_)}")
    for id_ in session.scalars(select(Job.id)):
        if ends[id_] != 1:
            found.wrong.append(f"job {id_} ended {ends[id_]} times, as the events tell")


def _artifacts(session: Session, client: Client, contents: dict[str, bytes], folder: Path, found: Findings) -> None:
    query = select(Build.artifact_id, Build.job_id, Build.model_id).where(Build.state == BuildState.SUCCEEDED.value)
    seen: set[str] = set()
    for artifact, job, model in session.execute(query.order_by(Build.id)):
        if artifact is None or artifact in seen:
            continue
        seen.add(artifact)
        try:
            manifest = client.artifacts.download(artifact, folder / artifact)
            view = client.artifacts.get(artifact)
        except EnginehouseError as error:
            found.wrong.append(f"artifact {artifact} of job {job} cannot be read: {error.detail}")
            continue
        found.artifacts_read += 1
        if manifest.model != model or view.id != artifact:
            found.wrong.append(f"artifact {artifact} of job {job} is of another model")
        if view.report.verification is None or not view.report.verification.agrees:
            found.wrong.append(f"artifact {artifact} of job {job} was published unproven")
        if job in contents and not _same(contents[job], folder / artifact, manifest):
            found.wrong.append(f"artifact {artifact} of job {job} computes something else than its model")


def _same(source: bytes, folder: Path, manifest: Manifest) -> bool:
    """Whether the artifact, in its own runtime, computes what the model does in ONNX's reference."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    given = np.random.default_rng(0).standard_normal((1, 8), dtype=np.float32)
    wanted = ReferenceEvaluator(onnx.load_from_string(source)).run(None, {"x": given})
    got = _RUNTIMES[manifest.target.backend](folder / manifest.entry, given)
    return bool(np.allclose(got, wanted[0], rtol=1e-3, atol=1e-4))  # type: ignore[index]


def _onnxruntime(entry: Path, given: Any) -> Any:
    import onnxruntime

    return onnxruntime.InferenceSession(str(entry), providers=["CPUExecutionProvider"]).run(None, {"x": given})[0]


def _openvino(entry: Path, given: Any) -> Any:
    import openvino

    compiled = openvino.Core().compile_model(str(entry), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return compiled([given])[0]


_RUNTIMES: dict[str, Callable[[Path, Any], Any]] = {"onnxruntime": _onnxruntime, "openvino": _openvino}

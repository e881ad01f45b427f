"""States of builds, attempts and jobs, and the pairs between which they may go."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum


class BuildState(StrEnum):
    """Where a build is. The last three end it."""

    WAITING = "waiting"
    DISPATCHED = "dispatched"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class AttemptState(StrEnum):
    """Where one execution is. ``expired``: nobody claimed it, which costs the build no attempt."""

    DISPATCHED = "dispatched"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"
    EXPIRED = "expired"


class JobState(StrEnum):
    """Derived from the job's builds, never stored by hand."""

    WAITING = "waiting"
    RUNNING = "running"
    CANCELLING = "cancelling"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What a running build does; in this order."""

    FETCH = "fetch"
    EXPLORE = "explore"
    BASELINES = "baselines"
    IMPORT = "import"
    PREPARE = "prepare"
    COMPILE = "compile"
    VERIFY = "verify"
    BENCHMARK = "benchmark"
    EXPLAIN = "explain"
    PACKAGE = "package"
    PUBLISH = "publish"


class Origin(StrEnum):
    """Where a succeeded build's artifact came from."""

    BUILT = "built"
    CACHE = "cache"
    JOINED = "joined"


class Priority(StrEnum):
    """Three classes; a higher class is dispatched first."""

    LOW = "low"
    NORMAL = "normal"
    HIGH = "high"


class WorkerMode(StrEnum):
    """What an operator lets a worker do. Whatever it is, what the worker holds is finished."""

    OPEN = "open"
    PAUSED = "paused"
    """takes nothing new"""
    DRAINING = "draining"
    """takes nothing new, and is drained once it holds nothing"""
    LEAVING = "leaving"
    """as draining, and its process ends then"""
    DRAINED = "drained"
    """holds nothing, and takes nothing until it is resumed"""


class PoolMode(StrEnum):
    """What an operator lets a pool do."""

    OPEN = "open"
    PAUSED = "paused"
    """nothing is dispatched to it"""


ENDED = frozenset({BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED})
JOB_ENDED = frozenset({JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED})

BUILD_MOVES: frozenset[tuple[BuildState, BuildState]] = frozenset(
    {
        (BuildState.WAITING, BuildState.DISPATCHED),
        (BuildState.WAITING, BuildState.SUCCEEDED),  # from the cache, or joined
        (BuildState.WAITING, BuildState.FAILED),  # joined a build that failed for the same reason
        (BuildState.WAITING, BuildState.CANCELLED),
        (BuildState.DISPATCHED, BuildState.RUNNING),
        (BuildState.DISPATCHED, BuildState.WAITING),  # nobody claimed it
        (BuildState.DISPATCHED, BuildState.CANCELLED),
        (BuildState.RUNNING, BuildState.SUCCEEDED),
        (BuildState.RUNNING, BuildState.FAILED),
        (BuildState.RUNNING, BuildState.WAITING),  # worker lost, or worth another attempt
        (BuildState.RUNNING, BuildState.CANCELLING),
        (BuildState.CANCELLING, BuildState.CANCELLED),
    }
)

ATTEMPT_MOVES: frozenset[tuple[AttemptState, AttemptState]] = frozenset(
    {
        (AttemptState.DISPATCHED, AttemptState.RUNNING),
        (AttemptState.DISPATCHED, AttemptState.EXPIRED),
        (AttemptState.DISPATCHED, AttemptState.CANCELLED),
        (AttemptState.RUNNING, AttemptState.SUCCEEDED),
        (AttemptState.RUNNING, AttemptState.FAILED),
        (AttemptState.RUNNING, AttemptState.CANCELLED),
        (AttemptState.RUNNING, AttemptState.LOST),
    }
)


def job_state(builds: Iterable[BuildState], replaced: Iterable[BuildState] = ()) -> JobState:
    """A job's state from its builds' states. A job has at least one build.

    ``replaced``: builds whose ladder went on with another one. How the job ends is decided by the others, but such a
    job is under way.
    """
    states = set(builds)
    if not states:
        raise ValueError("a job has at least one build")
    if states <= ENDED:
        for ended in (BuildState.FAILED, BuildState.CANCELLED, BuildState.SUCCEEDED):
            if ended in states:
                return JobState(ended.value)
    if BuildState.CANCELLING in states:
        return JobState.CANCELLING
    if states & {BuildState.RUNNING, *ENDED} or set(replaced):
        return JobState.RUNNING
    return JobState.WAITING

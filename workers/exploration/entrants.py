"""The runtime settings that an artifact is raced under, and the race itself, in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from enginehouse.exploration import Candidate, Goal, Stage
from workers import backends
from workers.backends.base import Arrays
from workers.cores import alone
from workers.exploration.candidates import ANCHOR
from workers.exploration.race import FINALISTS, Runner, latencies, race
from workers.exploration.trial import Trial
from workers.pipeline.apart import apart
from workers.pipeline.aside import saved_of
from workers.pipeline.order import Order
from workers.pipeline.sides import Side, load_artifact

_WAIT_FOR_CORES_S = 120.0
_LOADING_S = 300.0
_RATED_S = 0.1


@dataclass(frozen=True)
class Entrant:
    """A trial's artifact with a number of threads, or of streams where the goal is throughput."""

    trial: Trial
    candidate: Candidate
    threads: int
    streams: int | None = None


def entrants(order: Order, trial: Trial, goal: Goal = "latency") -> list[Entrant]:
    """One thread (or stream), as many as physical cores, as logical ones: where the backend lets a target say so."""
    target = trial.candidate.target
    usual = order.threads
    if goal == "throughput":
        return [_streams(trial, usual, streams) for streams in sorted({1, usual, order.hardware.cores})]
    known = "threads" in backends.get(target.backend).options.model_fields
    found = []
    for threads in sorted({1, usual, order.hardware.cores} if known else {usual}):
        told = {} if threads == usual else {"threads": threads}
        own = target.model_copy(update={"options": {**target.options, **told}})
        found.append(Entrant(trial, trial.candidate.model_copy(update={"target": own}), threads))
    return found


def _streams(trial: Trial, threads: int, streams: int) -> Entrant:
    target = trial.candidate.target
    own = target.model_copy(update={"options": {**target.options, "throughput_streams": [streams]}})
    return Entrant(trial, trial.candidate.model_copy(update={"target": own}), threads, streams)


def raced(order: Order, racing: Sequence[Entrant], seconds: float, finalists: int = FINALISTS) -> list[Candidate]:
    """The entrants' rows after the race; none where the race itself died, so that the trials' own times must do."""

    def run() -> str:
        return json.dumps(_race(order, racing, seconds, finalists))

    answer = apart(run, seconds * 3 + _LOADING_S)
    if answer.failure is not None:
        print(f"the race ended early: {answer.failure.detail}", flush=True)  # noqa: T201 - the build's log
        return []
    found = []
    for number, (p50_s, rounds) in json.loads(answer.text).items():
        one = racing[int(number)]
        took = {"p50_ms": round(p50_s * 1e3, 4)} if one.streams is None else {"per_s": round(1 / p50_s, 3)}
        found.append(one.candidate.model_copy(update={"stage": Stage.RACED, "rounds": rounds, **took}))
    return found


def _race(order: Order, racing: Sequence[Entrant], seconds: float, finalists: int) -> dict[int, tuple[float, int]]:
    """Entrant to its median, seconds, and the rounds that it was in."""
    from workers.backends.workpiece import Source
    from workers.pipeline.samples import OrderSamples

    one_sample = order.model_copy(update={"most_samples": 1})
    samples = OrderSamples(one_sample, Source(order.model, order.signature), order.threads)
    feeds = samples.cases.feeds[0]
    samples.reference.close()
    runners = []
    for number, one in enumerate(racing):
        backend = backends.get(one.trial.candidate.target.backend)
        options = backend.check(one.candidate.target, order.signature.format)
        manifest = one.trial.manifest
        assert manifest is not None
        side = load_artifact(backend, saved_of(one.trial.bundle, manifest), options, one.threads)
        if side.session.takes(feeds):
            side.run(feeds)
            if block := _block(side, feeds, one):
                runners.append(Runner(number, block))
    anchor = next((n for n, one in enumerate(racing) if one.trial.candidate.target == ANCHOR), None)
    with alone(order.cores, _WAIT_FOR_CORES_S):
        finished = race(runners, seconds, anchor, finalists)
    return {one.name: (one.p50_s, one.rounds) for one in finished}


def _block(side: Side, feeds: Arrays, one: Entrant) -> Callable[[], list[float]] | None:
    """What an entrant does when it is its turn; None where its runtime cannot run so many side by side."""
    from workers.pipeline.throughput import rated, side_by_side

    if one.streams is None:
        return lambda: latencies(lambda: side.run(feeds))
    sessions = side_by_side(side, one.streams, one.threads, reload=one.streams > 1)
    infers = [lambda session=session: session.run(feeds) for session in sessions]
    return (lambda: [1 / rated(infers, _RATED_S)[1]]) if infers else None

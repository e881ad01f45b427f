"""An exploration from its order to the bundle of the best."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from enginehouse.errors import BuildError, ConversionFailed
from enginehouse.exploration import AS_FAST, Candidate, Exploration, Goal, Stage, best, error, ranked, speed
from enginehouse.formats import Format
from enginehouse.gates import NAMED, Gates, judge
from enginehouse.states import Phase
from enginehouse.targets import Target
from workers.exploration.candidates import ANCHOR, candidates, hopeless
from workers.exploration.entrants import Entrant, entrants, raced
from workers.exploration.options import AutoOptions
from workers.exploration.trial import SAMPLES, Trial, try_out
from workers.pipeline.baselines import build_baselines
from workers.pipeline.order import Order
from workers.pipeline.run import Result, run

_SHARE_OF_TRIALS = 0.7
_RACED_S = 1.0
"""Seconds of the race for each that enters it."""
_WORTH = 1.5
"""What is slower than the fastest by this factor, on its own, does not enter the race."""


@dataclass
class _Watch:
    """The budget."""

    budget_s: float
    began: float = field(default_factory=time.monotonic)

    @property
    def spent_s(self) -> float:
        return time.monotonic() - self.began

    def left_s(self, share: float = 1.0) -> float:
        """Seconds left of a share of the budget."""
        return self.budget_s * share - self.spent_s


def explore(order: Order, tell: Callable[[Phase], None] = lambda _: None) -> Result:
    """Try, race, and build the best in full. Raises ConversionFailed where nothing is right."""
    options = AutoOptions.model_validate(order.recipe.target.options)
    watch = _Watch(options.budget_s)
    gates = options.gates or Gates()
    tell(Phase.EXPLORE)
    wanted, passed_over = candidates(options, Format(order.signature.format), order.backends, order.dataset is not None)
    # Metrics and other baselines are for the full build.
    by_few = gates.over_source_alone().model_copy(update=dict.fromkeys(NAMED))
    trials, untried = _trials(order, wanted, watch, by_few)
    rows = [*(one.candidate for one in trials), *untried, *passed_over]
    right = [one for one in trials if one.manifest is not None]
    if not right:
        raise _nothing(rows)
    rows = _settled(order, rows, right, watch, options.goal)
    shutil.rmtree(order.work / "trials")
    spent = watch.spent_s
    if order.recipe.baselines:
        tell(Phase.BASELINES)
    baselines = build_baselines(order)
    while True:
        choice = best(comparable(rows))
        rows[rows.index(choice)] = choice.model_copy(update={"stage": Stage.RECOMMENDED})
        table = Exploration(
            goal=options.goal,
            budget_s=options.budget_s,
            spent_s=round(spent, 2),
            samples=SAMPLES,
            candidates=ranked(rows),
            reasons=reasons(choice, rows),
        )
        _say(f"recommended: {choice.named}; {' '.join(table.reasons)}")
        others = comparable(rows)
        try:
            result = run(_of(order, choice.target), tell, explored=table, baselines=baselines)
            refused = judge(gates, result.report)
        except BuildError as error:
            if not others:
                raise
            refused = error.failure()
        else:
            if refused is None or not others:
                return result
        _say(f"{choice.target}, built in full: {refused.detail}; the next is built")
        changes = {"stage": Stage.REFUSED, "reason": f"built in full: {refused.detail}", "code": refused.code}
        rows = [one.model_copy(update=changes) if one.stage is Stage.RECOMMENDED else one for one in rows]
        shutil.rmtree(order.bundle, ignore_errors=True)


def comparable(rows: Sequence[Candidate]) -> list[Candidate]:
    """Those that are right and came furthest: their times were taken together."""
    right = [one for one in rows if one.stage in (Stage.TIMED, Stage.RACED)]
    return [one for one in right if one.rounds == max(other.rounds for other in right)]


def _trials(order: Order, wanted: Sequence[Target], watch: _Watch, gates: Gates) -> tuple[list[Trial], list[Candidate]]:
    """Each candidate on its own, while its share of the budget lasts; the first in any case."""
    done: list[Trial] = []
    untried: list[Candidate] = []
    for number, target in enumerate(wanted):
        left = watch.left_s(_SHARE_OF_TRIALS)
        spent = "the budget was spent" if left <= 0 and done else ""
        if reason := spent or hopeless(target, [one.candidate for one in done]):
            untried.append(Candidate(target=target, stage=Stage.SKIPPED, reason=reason))
            continue
        _say(f"trial {number + 1} of {len(wanted)}: {target}")
        time_s = max(left, 1.0) if done else max(watch.left_s(), 60.0)
        done.append(try_out(order, target, number, time_s, gates))
        _say(f"  {_outcome(done[-1].candidate)}")
    return done, untried


def _settled(order: Order, rows: list[Candidate], right: list[Trial], watch: _Watch, goal: Goal) -> list[Candidate]:
    """The race of those worth it, each under several runtime settings; its rows in the place of theirs."""
    fastest = min(speed(one.candidate) for one in right)
    enter = [one for one in right if speed(one.candidate) <= fastest * _WORTH or one.candidate.target == ANCHOR]
    racing: list[Entrant] = [each for one in enter for each in entrants(order, one, goal)]
    seconds = max(watch.left_s(), 0.1 * watch.budget_s, 2.0)
    found = raced(order, racing, min(seconds, _RACED_S * len(racing)))
    entered = [one.candidate for one in enter]
    return [one for one in rows if one not in entered] + (found or entered)


def _of(order: Order, target: Target) -> Order:
    return order.model_copy(update={"recipe": order.recipe.model_copy(update={"target": target})})


def reasons(choice: Candidate, rows: Sequence[Candidate]) -> list[str]:
    """Why this one, in sentences."""
    right = sum(one.stage in (Stage.TIMED, Stage.RACED, Stage.RECOMMENDED) for one in rows)
    said = [f"Of {len(rows)} candidates {right} are right and were timed."]
    others = sorted((one for one in comparable(rows) if one.rounds == choice.rounds), key=speed)
    if others:
        said.append(f"It is {_ratio(others[0], choice)} the next, {others[0].named}.")
    anchor = next((one for one in others if one.target.model_copy(update={"options": {}}) == ANCHOR), None)
    if anchor is not None:
        said.append(f"It is {_ratio(anchor, choice)} plain ONNX Runtime.")
    if choice.cosine is not None:
        said.append(f"Its least cosine with the source is {choice.cosine:.6f}.")
    return said


def _ratio(other: Candidate, choice: Candidate) -> str:
    times = speed(other) / speed(choice)
    if times >= 1 + AS_FAST:
        return f"{times:.2f} times as fast as"
    return "as fast as" if error(other) <= error(choice) else "as fast as, and more accurate than,"


def _nothing(rows: Sequence[Candidate]) -> BuildError:
    tried = [one for one in rows if one.stage in (Stage.FAILED, Stage.REFUSED)]
    first = "; ".join(f"{one.target}: {one.reason}" for one in tried[:3])
    return ConversionFailed(
        f"none of {len(rows)} candidates came to a right answer: {first or 'none could be tried'}",
        advice="Build one of them by its name for the whole log of its failure.",
        candidates=[{"target": str(one.target), "code": one.code, "reason": one.reason} for one in rows],
    )


def _outcome(one: Candidate) -> str:
    if one.stage is Stage.TIMED:
        return f"{one.p50_ms:.3f} ms, cosine {one.cosine if one.cosine is not None else 'of no float output'}"
    return f"{one.stage}: {one.reason}"


def _say(text: str) -> None:
    print(text, flush=True)  # noqa: T201 - standard output is the build's log

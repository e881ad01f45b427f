"""States: every pair is either a move or not, and a job's state follows from its builds'."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest

from enginehouse.states import ATTEMPT_MOVES, BUILD_MOVES, ENDED, AttemptState, BuildState, JobState, job_state

PAGE = Path(__file__).parents[3] / "docs/architecture.md"
W, D, R, C = BuildState.WAITING, BuildState.DISPATCHED, BuildState.RUNNING, BuildState.CANCELLING
S, F, X = BuildState.SUCCEEDED, BuildState.FAILED, BuildState.CANCELLED

MOVES = {
    W: {D, S, F, X},
    D: {R, W, X},
    R: {S, F, W, C},
    C: {X},
    S: set(),
    F: set(),
    X: set(),
}


@pytest.mark.parametrize(("came_from", "to"), list(itertools.product(BuildState, BuildState)))
def test_every_pair_of_build_states(came_from, to):
    assert ((came_from, to) in BUILD_MOVES) == (to in MOVES[came_from])


def test_the_diagram_shows_these_moves_and_no_others():
    [diagram] = re.findall(r"```mermaid\nstateDiagram-v2\n(.*?)```", PAGE.read_text(), re.DOTALL)
    drawn = {tuple(pair) for pair in re.findall(r"^ *(\S+) --> (\w+)", diagram, re.MULTILINE)}
    assert drawn == {*BUILD_MOVES, ("[*]", BuildState.WAITING)}


def test_nothing_leaves_an_ended_state():
    assert not [move for move in BUILD_MOVES if move[0] in ENDED]
    ended = {
        AttemptState.SUCCEEDED,
        AttemptState.FAILED,
        AttemptState.CANCELLED,
        AttemptState.LOST,
        AttemptState.EXPIRED,
    }
    assert not [move for move in ATTEMPT_MOVES if move[0] in ended]
    assert {to for _, to in ATTEMPT_MOVES} == ended | {AttemptState.RUNNING}


@pytest.mark.parametrize(
    ("builds", "expected"),
    [
        ([W], JobState.WAITING),
        ([W, D], JobState.WAITING),
        ([W, R], JobState.RUNNING),
        ([W, S], JobState.RUNNING),
        ([W, F], JobState.RUNNING),
        ([S, S], JobState.SUCCEEDED),
        ([S, F, X], JobState.FAILED),
        ([S, X], JobState.CANCELLED),
        ([X, X], JobState.CANCELLED),
        ([R, C], JobState.CANCELLING),
        ([C, S], JobState.CANCELLING),
    ],
)
def test_a_jobs_state_follows_from_its_builds(builds, expected):
    assert job_state(builds) is expected


def test_every_mix_of_build_states_has_a_job_state_and_ends_when_all_end():
    for mix in itertools.chain.from_iterable(itertools.combinations(BuildState, n) for n in range(1, 8)):
        ended = job_state(mix) in {JobState.SUCCEEDED, JobState.FAILED, JobState.CANCELLED}
        assert ended == set(mix).issubset(ENDED)


def test_a_job_without_builds_is_a_mistake():
    with pytest.raises(ValueError, match="at least one"):
        job_state([])


@pytest.mark.parametrize(
    ("builds", "replaced", "expected"),
    [
        ([W], [F], JobState.RUNNING),
        ([D, S], [F], JobState.RUNNING),
        ([S], [F, F], JobState.SUCCEEDED),
        ([F], [F], JobState.FAILED),
        ([X], [F], JobState.CANCELLED),
        ([C], [F], JobState.CANCELLING),
        ([S, F], [F], JobState.FAILED),
    ],
)
def test_a_rung_that_was_replaced_does_not_decide_but_shows_that_the_job_is_under_way(builds, replaced, expected):
    assert job_state(builds, replaced) is expected

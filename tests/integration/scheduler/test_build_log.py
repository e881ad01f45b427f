"""A log of many lines, read in windows."""

from __future__ import annotations

import pytest
from farmhand import Farmhand, me, skip_backoff, submit, tick

from enginehouse.errors import NotFound
from enginehouse.work import LogBatch, WorkLogLine
from scheduler import attempts, build_log
from scheduler.build_log import BEFORE, WINDOW, Window
from scheduler.farm import Farm
from scheduler.registry.engine import now

LINES = 2500


@pytest.fixture
def build(farm: Farm, model: str) -> str:
    """A build whose first attempt said 2,500 lines and failed, and whose second has just begun."""
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    claim = hand.claim(id_)
    with farm.read() as session:
        moment = now(session)
    for begin in range(1, LINES + 1, 500):
        lines = [
            WorkLogLine(seq=seq, time=moment, text=f"line {seq}" + (" FAILED: 100%_" if seq % 1000 == 0 else ""))
            for seq in range(begin, begin + 500)
        ]
        attempts.log(farm, id_, LogBatch(fence=claim.fence, lines=lines))
    hand.fail(claim)
    skip_backoff(farm)
    tick(farm)
    hand.claim(id_)
    return id_


def window(farm: Farm, build: str, **how: object) -> Window:
    with farm.read() as session:
        return build_log.window(session, me(farm), build, **how)


def test_the_end_of_an_attempt(farm: Farm, build: str):
    found = window(farm, build, attempt=1)
    assert (found.first, found.last, found.total) == (LINES - WINDOW + 1, LINES, LINES)
    assert not found.following
    assert not found.narrowed


def test_the_newest_attempt_goes_on(farm: Farm, build: str):
    found = window(farm, build)
    assert (found.attempt, found.lines, found.total, found.following) == (2, [], 0, True)


@pytest.mark.parametrize(("line", "first"), [(1, 1), (50, 1), (1000, 1000 - BEFORE), (2500, 1501), (9999, 1501)])
def test_around_a_line(farm: Farm, build: str, line: int, first: int):
    found = window(farm, build, attempt=1, line=line)
    assert (found.first, len(found.lines)) == (first, WINDOW)


@pytest.mark.parametrize(
    ("how", "numbers"),
    [
        ({"text": "failed"}, [1000, 2000]),
        ({"text": "%_"}, [1000, 2000]),
        ({"text": "e%9"}, []),
        ({"text": "line 249"}, [249, *range(2490, 2500)]),
        ({"trouble": True}, [1000, 2000]),
        ({"trouble": True, "text": "line 2"}, [2000]),
        ({"text": "failed", "line": 1001}, [2000]),
    ],
)
def test_lines_that_are_looked_for(farm: Farm, build: str, how: dict, numbers: list[int]):
    found = window(farm, build, attempt=1, **how)
    assert [line.seq for line in found.lines] == numbers
    assert found.narrowed
    assert not found.more


def test_more_than_a_window_of_them(farm: Farm, build: str):
    found = window(farm, build, attempt=1, text="line")
    assert (found.first, found.last, found.more) == (1, WINDOW, True)
    rest = window(farm, build, attempt=1, text="line", line=2 * WINDOW + 1)
    assert (rest.first, rest.last, rest.more) == (2 * WINDOW + 1, LINES, False)


def test_all_of_it_and_its_end(farm: Farm, build: str):
    with farm.read() as session:
        assert [line.seq for line in build_log.whole(session, me(farm), build, 1)] == list(range(1, LINES + 1))
        assert [line.seq for line in build_log.last_words(session, build, 1, 3)] == [LINES - 2, LINES - 1, LINES]


def test_what_is_not_there(farm: Farm, build: str):
    from dataclasses import replace

    with farm.read() as session:
        with pytest.raises(NotFound):
            build_log.window(session, me(farm), build, attempt=7)
        with pytest.raises(NotFound):
            build_log.window(session, me(farm), "build_none")
        with pytest.raises(NotFound):
            build_log.window(session, replace(me(farm), project="another"), build)
        with pytest.raises(NotFound):
            build_log.whole(session, replace(me(farm), project="another"), build)

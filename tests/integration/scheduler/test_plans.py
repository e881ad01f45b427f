"""Long lines, logs and lists stay fast: what is asked all the time goes through an index, on either database."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from farmhand import Farmhand, me, submit, tick
from sqlalchemy import event, text

from enginehouse.work import LogBatch, WorkLogLine
from scheduler import artifacts, attempts, builds, events, jobs, line, models, projects
from scheduler.farm import Farm
from scheduler.registry.engine import now

BIG = ("builds", "attempts", "artifacts", "events", "log_lines", "jobs")


@contextmanager
def statements(farm: Farm) -> Iterator[list[tuple[str, Any]]]:
    """What is sent to the database meanwhile."""
    seen: list[tuple[str, Any]] = []

    def note(_connection, _cursor, statement, parameters, _context, _many):
        seen.append((statement, parameters))

    event.listen(farm.engine, "before_cursor_execute", note)
    yield seen
    event.remove(farm.engine, "before_cursor_execute", note)


def scanned(farm: Farm, seen: list[tuple[str, Any]]) -> list[str]:
    """Statements that read a big table from its beginning to its end."""
    found = []
    with farm.engine.connect() as connection:
        lite = connection.dialect.name == "sqlite"
        if not lite:
            connection.execute(text("SET enable_seqscan = off"))  # a few rows are read whole; a million are not
        for statement, parameters in seen:
            if not statement.lstrip().upper().startswith(("SELECT", "WITH")):
                continue
            prefix = "EXPLAIN QUERY PLAN " if lite else "EXPLAIN "
            rows = connection.exec_driver_sql(prefix + statement, parameters).all()
            plan = "\n".join(str(row[-1]) for row in rows)
            whole = [f"SCAN {name}" for name in BIG] if lite else [f"Seq Scan on {name}" for name in BIG]
            if any(word in row and "INDEX" not in row.upper() for row in plan.splitlines() for word in whole):
                found.append(f"{statement}\n-> {plan}")
    return found


@pytest.fixture
def busy(farm: Farm, model: str) -> tuple[Farmhand, str, str]:
    """A farm with a build of every state: one built, one running, some waiting."""
    hand = Farmhand(farm)
    done = submit(farm, model, "openvino:fp32", seed=1).builds[0].id
    tick(farm)
    hand.build(done)
    running = submit(farm, model, "openvino:fp32", seed=2).builds[0].id
    tick(farm)
    claim = hand.claim(running)
    with farm.read() as session:
        moment = now(session)
    attempts.log(farm, running, LogBatch(fence=claim.fence, lines=[WorkLogLine(seq=1, time=moment, text="x")]))
    for seed in range(3, 6):
        submit(farm, model, "openvino:fp32", seed=seed)
    return hand, done, running


def ask(farm: Farm, question: Callable[[Any], object]) -> list[str]:
    with statements(farm) as seen, farm.read() as session:
        question(session)
    assert seen
    return scanned(farm, seen)


@pytest.mark.parametrize("state", ["busy", "free"])
def test_a_round(farm: Farm, busy: tuple[Farmhand, str, str], state: str):
    tick(farm)  # the line has been told why it waits
    if state == "free":
        Farmhand(farm, "two", "boot-0002")
    with statements(farm) as seen:
        tick(farm)
    assert len(seen) < 100
    assert scanned(farm, seen) == []


def test_a_submission(farm: Farm, model: str, busy: tuple[Farmhand, str, str]):
    with statements(farm) as seen:
        submit(farm, model, "openvino:fp32", seed=9)
    assert scanned(farm, seen) == []


def test_a_completion(farm: Farm, busy: tuple[Farmhand, str, str]):
    hand, _, running = busy
    claim = hand.claim(running)
    with statements(farm) as seen:
        hand.complete(claim, b"another engine")
    assert scanned(farm, seen) == []


def test_what_is_read_all_the_time(farm: Farm, model: str, busy: tuple[Farmhand, str, str]):
    _, done, running = busy
    mine = me(farm)
    with farm.read() as session:
        first = jobs.list_(session, mine).items[-1].id
    assert ask(farm, lambda session: jobs.list_(session, mine)) == []
    assert ask(farm, lambda session: jobs.list_(session, mine, after=first)) == []
    assert ask(farm, lambda session: jobs.get(session, mine, first)) == []
    assert ask(farm, lambda session: builds.get(session, mine, done)) == []
    assert ask(farm, lambda session: builds.log(session, mine, running, after=1)) == []
    assert ask(farm, lambda session: artifacts.list_(session, mine, model)) == []
    assert ask(farm, lambda session: models.list_(session, mine)) == []
    assert ask(farm, lambda session: events.after(session, 1, mine.project, None, 100)) == []
    assert ask(farm, lambda session: projects.get(session, "default")) == []
    assert ask(farm, line.kinds) == []

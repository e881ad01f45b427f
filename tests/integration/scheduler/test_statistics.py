"""Numbers over a time window: right, of the right project, and through an index, on either database."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest
from farmhand import Farmhand, me, submit, tick
from sqlalchemy import insert, select, update
from test_plans import ask

from enginehouse.errors import BuildCrashed, ConversionFailed
from scheduler import doing, ids, lineage, statistics
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Build, Job, Project, Worker
from scheduler.retention import usage

HOUR = timedelta(hours=1)


def moment(farm: Farm) -> datetime:
    with farm.read() as session:
        return now(session)


def ended(farm: Farm, template: str, when: datetime, **values: Any) -> None:
    """One more build that ended then, made after one that is there."""
    with farm.write() as session:
        row = session.get_one(Build, template)
        fields = {column.name: getattr(row, column.key) for column in Build.__table__.columns}
        waited = values.pop("waited", 1.0)
        fields |= {"id": ids.new("build"), "artifact_id": None, "origin": "built", "failure": None, "ladder_of": None}
        fields |= {
            "created": when - timedelta(seconds=waited + 60),
            "started": when - timedelta(seconds=60),
            "ended": when,
        }
        session.execute(insert(Build).values(**(fields | values)))


@pytest.fixture
def done(farm: Farm, model: str) -> str:
    """A build that ended a moment ago."""
    hand = Farmhand(farm)
    build = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    hand.build(build)
    return build


def read(farm: Farm, what: Any, *more: Any, name: str = "day") -> Any:
    with farm.read() as session:
        return what(session, statistics.window(session, name), *more)


def test_a_window_begins_with_a_whole_step_and_ends_now(farm: Farm) -> None:
    with farm.read() as session:
        for name, (hours, step_s) in statistics.WINDOWS.items():
            within = statistics.window(session, name)
            assert within.since.timestamp() % step_s == 0
            assert timedelta(hours=hours) <= within.until - within.since < timedelta(hours=hours, seconds=step_s + 1)
            assert within.steps[0] == within.since
            assert within.steps[-1] <= within.until < within.steps[-1] + timedelta(seconds=step_s)


def test_builds_are_counted_where_they_ended(farm: Farm, done: str) -> None:
    with farm.read() as session:
        within = statistics.window(session)
    third = within.steps[2]
    ended(farm, done, third)  # the first moment of a step
    ended(farm, done, third + HOUR - timedelta(milliseconds=1), origin="cache")  # and its last
    ended(farm, done, third + HOUR, origin="joined")
    ended(farm, done, third + HOUR, state="failed", failure={"code": "build.crashed"})
    ended(farm, done, third + HOUR, state="cancelled", origin=None)
    ended(farm, done, within.since - timedelta(seconds=1))  # before the window
    found = read(farm, statistics.throughput)
    steps = {step.begins: step for step in found.steps}
    assert (steps[third].built, steps[third].reused, steps[third].ended) == (1, 1, 2)
    after = steps[third + HOUR]
    assert (after.built, after.reused, after.failed, after.cancelled) == (0, 1, 1, 1)
    assert found.total("ended") == 6  # with the one that really ended
    assert found.hit_rate == pytest.approx(2 / 4)
    assert found.failure_rate == pytest.approx(1 / 5)


def test_nothing_has_no_rate(farm: Farm) -> None:
    found = read(farm, statistics.throughput)
    assert found.total("ended") == 0
    assert found.hit_rate is None
    assert found.failure_rate is None
    assert read(farm, statistics.failures) == []
    assert read(farm, statistics.waits) == []


def test_failures_by_code_the_commonest_first(farm: Farm, done: str) -> None:
    crashed, refused = (error.failure().model_dump(mode="json") for error in (BuildCrashed("x"), ConversionFailed("y")))
    for failure in (refused, crashed, crashed):
        ended(farm, done, moment(farm), state="failed", failure=failure)
    assert read(farm, statistics.failures) == [(BuildCrashed.code, 2), (ConversionFailed.code, 1)]


def test_waits_by_pool_with_medians(farm: Farm, done: str) -> None:
    with farm.write() as session:
        session.execute(update(Build).values(ended=None))  # the real one waited for no known time
    for waited in range(1, 11):
        ended(farm, done, moment(farm), waited=float(waited))
    (found,) = read(farm, statistics.waits)
    assert found.builds == 10
    assert found.median_s == pytest.approx(5, abs=0.01)
    assert found.p90_s == pytest.approx(9, abs=0.01)
    assert found.most_s == pytest.approx(10, abs=0.01)


def test_another_project_s_builds_are_not_counted(farm: Farm, done: str) -> None:
    with farm.write() as session:
        session.add(Project(id="other", name="other", created=now(session)))
        session.flush()
        row = session.get_one(Job, session.get_one(Build, done).job_id)
        fields = {column.name: getattr(row, column.key) for column in Job.__table__.columns}
        session.execute(insert(Job).values(**(fields | {"id": "job_other", "project_id": "other"})))
    ended(farm, done, moment(farm), project_id="other", job_id="job_other", state="failed", failure={"code": "x"})
    mine = me(farm).project
    assert read(farm, statistics.throughput, mine).total("ended") == 1
    assert read(farm, statistics.throughput).total("ended") == 2
    assert read(farm, statistics.failures, mine) == []
    assert [wait.builds for wait in read(farm, statistics.waits, "other")] == [1]


def test_use_of_a_worker_since_it_signed_on(farm: Farm, done: str) -> None:
    with farm.write() as session:
        at = now(session)
        worker = session.scalar(select(Worker.id))
        session.execute(update(Worker).values(signed_on=at - 4 * HOUR, slots=2))
        session.execute(update(Attempt).values(started=at - 6 * HOUR, ended=at - 2 * HOUR))  # half of it before
    assert read(farm, statistics.utilisation)[worker] == pytest.approx(2 / 8, abs=0.001)


def test_what_runs_counts_up_to_now_and_says_what_it_is(farm: Farm, model: str) -> None:
    hand = Farmhand(farm)
    build = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    hand.claim(build)
    with farm.write() as session:
        at = now(session)
        session.execute(update(Worker).values(signed_on=at - 2 * HOUR))
        session.execute(update(Attempt).values(started=at - HOUR))
    worker = hand.signed_on.worker
    assert read(farm, statistics.utilisation)[worker] == pytest.approx(0.5, abs=0.001)
    with farm.read() as session:
        (mine,) = doing.of_workers(session, me(farm))[worker]
        stranger = me(farm).__class__(**{**vars(me(farm)), "project": "other"})
        (theirs,) = doing.of_workers(session, stranger)[worker]
    assert (mine.build, mine.target) == (build, "openvino:fp32")
    assert (theirs.build, theirs.job, theirs.target) == (None, None, None)


def test_a_window_is_read_through_its_index(farm: Farm, done: str) -> None:
    project = me(farm).project
    for of in (None, project):
        for question in (statistics.throughput, statistics.failures, statistics.waits):
            assert (
                ask(farm, lambda session, of=of, question=question: question(session, statistics.window(session), of))
                == []
            )
    assert ask(farm, lambda session: statistics.utilisation(session, statistics.window(session))) == []


def test_lineage_is_read_through_an_index(farm: Farm, model: str, done: str) -> None:
    mine = me(farm)
    assert ask(farm, lambda session: lineage.tally_of_model(session, mine, model)) == []
    assert ask(farm, lambda session: lineage.jobs_with_dataset(session, mine, "0" * 64)) == []
    assert ask(farm, lambda session: doing.of_workers(session, mine)) == []


def test_the_tally_of_a_model(farm: Farm, model: str, done: str) -> None:
    submit(farm, model, "openvino:fp16")
    with farm.read() as session:
        found = lineage.tally_of_model(session, me(farm), model)
        none = lineage.tally_of_model(session, me(farm), "0" * 64)
    assert (found.builds, found.succeeded, found.open) == (2, 1, 1)
    assert none.builds == 0


def test_the_store_s_bytes(farm: Farm, model: str, model_bytes: bytes) -> None:
    with farm.read() as session:
        assert usage.farm_bytes(session) == (1, len(model_bytes))

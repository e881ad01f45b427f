"""The list of jobs for people: what is looked for is found, pages go by key, and it costs the same at any length."""

from __future__ import annotations

from datetime import timedelta

import pytest
from farmhand import Farmhand, job, me, push, skip_backoff, submit, tick
from sqlalchemy import insert, select
from test_plans import statements

from enginehouse.errors import UnsupportedOperator
from enginehouse.states import BuildState, JobState, Priority
from scheduler import jobs
from scheduler.farm import Farm
from scheduler.job_rows import COUNTED, JobRow, Wanted, counts, newer, rows
from scheduler.registry.engine import now
from scheduler.registry.tables import Build, Job

MANY = 100_000


def found(farm: Farm, **wanted: object) -> list[JobRow]:
    with farm.read() as session:
        return rows(session, me(farm), Wanted(**wanted)).items


def names(farm: Farm, **wanted: object) -> list[str]:
    return [row.name for row in found(farm, **wanted)]


@pytest.fixture
def three(farm: Farm, model: str, model_bytes: bytes) -> list[str]:
    """One that succeeded, one that failed, one that waits and is urgent."""
    hand = Farmhand(farm)
    good = submit(farm, model, "openvino:fp16", name="Night build")
    tick(farm)
    hand.build(good.builds[0].id)
    bad = submit(farm, model, "openvino:fp32", name="100%_sure", seed=1)
    tick(farm)
    hand.fail(hand.claim(bad.builds[0].id), UnsupportedOperator("no", operator="x").failure())
    other = push(farm, model_bytes + b"", name="second name")
    waits = submit(farm, other, "openvino:fp16", "auto", name="", seed=2, priority="high")
    return [good.id, bad.id, waits.id]


def test_a_row_says_what_the_job_is(farm: Farm, model: str, three: list[str]):
    waits, bad, good = found(farm)
    assert [waits.id, bad.id, good.id] == three[::-1]
    assert (good.state, good.priority, good.model) == (JobState.SUCCEEDED, Priority.NORMAL, model)
    assert good.ended is not None
    assert [(build.target, build.state) for build in good.builds] == [("openvino:fp16", BuildState.SUCCEEDED)]
    assert bad.builds[0].code == "build.unsupported_operator"
    assert not bad.builds[0].replaced
    assert len(waits.builds) == 2
    assert waits.model_name


@pytest.mark.parametrize(
    ("wanted", "which"),
    [
        ({"state": JobState.FAILED}, [1]),
        ({"priority": Priority.HIGH}, [2]),
        ({"text": "night"}, [0]),
        ({"text": "  NIGHT b "}, [0]),
        ({"text": "0%_s"}, [1]),
        ({"text": "%"}, [1]),
        ({"text": "_"}, [1]),
        ({"text": "nothing like that"}, []),
        ({"target": "openvino:fp16"}, [2, 0]),
        ({"target": "auto"}, [2]),
        ({"target": "openvino:fp"}, [2, 1, 0]),
        ({"state": JobState.SUCCEEDED, "target": "openvino:fp32"}, []),
        ({"pool": "no such pool"}, []),
    ],
)
def test_what_is_looked_for_is_found(farm: Farm, three: list[str], wanted: dict, which: list[int]):
    assert [row.id for row in found(farm, **wanted)] == [three[index] for index in which]


def test_by_ids_models_and_pools(farm: Farm, model: str, three: list[str]):
    assert [row.id for row in found(farm, text=three[0])] == [three[0]]
    assert [row.id for row in found(farm, text=model[:10])] == three[::-1]
    assert [row.id for row in found(farm, model=model)] == three[::-1]
    assert found(farm, model="0" * 64) == []
    pool = job(farm, three[0]).builds[0].pool
    assert three[0] in [row.id for row in found(farm, pool=pool)]


def test_the_rung_that_gave_way_says_so(farm: Farm, model: str):
    hand = Farmhand(farm)
    made = submit(farm, model, "openvino:fp16", ladder=True)
    tick(farm)
    hand.complete(hand.claim(made.builds[0].id), agrees=False)
    (row,) = found(farm)
    assert [(build.target, build.replaced) for build in row.builds] == [
        ("openvino:fp16", True),
        ("openvino:fp32", False),
    ]


def test_another_project_sees_nothing(farm: Farm, three: list[str]):
    from dataclasses import replace

    stranger = replace(me(farm), project="another")
    with farm.read() as session:
        assert rows(session, stranger, Wanted()).items == []
        assert rows(session, stranger, Wanted(text=three[0])).items == []
        assert sum(counts(session, stranger).values()) == 0


def test_pages_and_what_came_since(farm: Farm, model: str):
    made = [submit(farm, model, "openvino:fp16", seed=seed, name=f"n{seed}").id for seed in range(7)][::-1]
    with farm.read() as session:
        first = rows(session, me(farm), Wanted(), limit=3)
        second = rows(session, me(farm), Wanted(), limit=3, after=first.next)
        last = rows(session, me(farm), Wanted(), limit=3, after=second.next)
        assert [row.id for page in (first, second, last) for row in page.items] == made
        assert last.next is None
        kept = rows(session, me(farm), Wanted(), limit=3, upto=made[2])
        assert [row.id for row in kept.items] == made[2:5]
        assert newer(session, me(farm), Wanted(), made[2]) == 2
        assert newer(session, me(farm), Wanted(text="n6"), made[2]) == 1
        assert counts(session, me(farm))[JobState.WAITING] == 7


def test_a_page_takes_few_statements_however_many_builds_it_shows(farm: Farm, model: str):
    def cost() -> int:
        with statements(farm) as seen, farm.read() as session:
            rows(session, me(farm), Wanted())
        return len(seen)

    submit(farm, model, "openvino:fp16", seed=1)
    one = cost()
    for seed in range(2, 30):
        submit(farm, model, "openvino:fp16", "openvino:fp32", seed=seed)
    assert cost() == one <= 5


@pytest.fixture
def crowd(farm: Farm, model: str) -> list[str]:
    """100,000 jobs that have ended, with a build each, written as rows."""
    submit(farm, model, "openvino:fp16", name="the pattern")
    with farm.write() as session:
        moment = now(session)
        one = session.scalars(select(Job)).one()
        build = session.scalars(select(Build)).one()
        like_job = {column.name: getattr(one, column.name) for column in Job.__table__.columns}
        like_build = {column.name: getattr(build, column.name) for column in Build.__table__.columns}
        like_job |= {"state": "succeeded", "idempotency_key": None, "ended": moment}
        like_build |= {"state": "succeeded", "ended": moment}
        ids = []
        for begin in range(0, MANY, 10_000):
            some = range(begin, begin + 10_000)
            ids += [f"job_0{number:08d}" for number in some]
            session.execute(
                insert(Job),
                [
                    {
                        **like_job,
                        "id": f"job_0{number:08d}",
                        "name": f"n{number}",
                        "created": moment - timedelta(hours=1),
                    }
                    for number in some
                ],
            )
            session.execute(
                insert(Build),
                [{**like_build, "id": f"build_0{number:08d}", "job_id": f"job_0{number:08d}"} for number in some],
            )
    return ids


def test_among_a_hundred_thousand_a_page_reads_its_own_rows(farm: Farm, crowd: list[str]):
    with statements(farm) as seen, farm.read() as session:
        first = rows(session, me(farm), Wanted(), limit=50)
        deep = rows(session, me(farm), Wanted(), limit=50, after=crowd[MANY // 2])
        some = rows(session, me(farm), Wanted(text="n99999"), limit=50)
        state = rows(session, me(farm), Wanted(state=JobState.SUCCEEDED), limit=50, after=crowd[MANY // 2])
        many = counts(session, me(farm))
        ahead = newer(session, me(farm), Wanted(), crowd[0])
    assert len(first.items) == len(deep.items) == 50
    assert [row.id for row in deep.items] == crowd[MANY // 2 - 50 : MANY // 2][::-1]
    assert state.items == deep.items
    assert [row.name for row in some.items] == ["n99999"]
    assert (many[JobState.SUCCEEDED], ahead) == (COUNTED, COUNTED)
    assert sorting(farm, [one for one in seen if "LIKE" not in one[0].upper()]) == []


def sorting(farm: Farm, seen: list) -> list[str]:
    """Statements over jobs that sort what they read instead of reading it in order: their cost grows with the table."""
    found = []
    with farm.engine.connect() as connection:
        lite = connection.dialect.name == "sqlite"
        if not lite:
            connection.exec_driver_sql("ANALYZE jobs")
        for statement, parameters in seen:
            if "FROM jobs" not in statement:
                continue
            plan = connection.exec_driver_sql(("EXPLAIN QUERY PLAN " if lite else "EXPLAIN ") + statement, parameters)
            text = "\n".join(str(row[-1]) for row in plan)
            if "TEMP B-TREE" in text or "Sort" in text:
                found.append(f"{statement}\n-> {text}")
    return found


def test_the_service_is_that_of_the_api(farm: Farm, three: list[str]):
    """The two lists agree on what there is."""
    skip_backoff(farm)
    with farm.read() as session:
        assert [one.id for one in jobs.list_(session, me(farm)).items] == [row.id for row in found(farm)]

"""Whose turn it is: shares, classes and age, quotas; where it goes; and what is told of it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from farmhand import OPENVINO, Farmhand, build, let_leases_end, me, submit, tick
from sqlalchemy import select

from enginehouse.errors import AttemptStale, FarmFull, QuotaExceeded
from enginehouse.request import JobRequest
from enginehouse.states import BuildState, Origin, Priority
from enginehouse.views import ProjectChange
from enginehouse.work import ClaimRequest, Heartbeat
from scheduler import attempts, builds, jobs, line, models, projects, tokens, workers
from scheduler.farm import Farm
from scheduler.registry.tables import Attempt, Build, OutboxRow, Project, Worker
from scheduler.tokens import Principal
from scheduler.waiting import Waiting


def other(farm: Farm, name: str, **quotas) -> Principal:
    """Somebody of another project."""
    with farm.write() as session:
        projects.create(session, name, ProjectChange(**quotas))
        row = projects.by_name(session, name)
        return Principal(None, row.id, frozenset({"submit", "read"}), name)


def ask(farm: Farm, principal: Principal, model: str, **more) -> str:
    """One build of the project's."""
    request = JobRequest(model=model, targets=["openvino:fp32"], **more)
    return jobs.submit(farm, principal, request)[0].builds[0].id


def push(farm: Farm, principal: Principal, content: bytes) -> str:
    return models.receive(farm, principal, "model", iter([content]), None)[0].id


def told(farm: Farm, principal: Principal, id_: str):
    with farm.read() as session:
        return builds.get(session, principal, id_, Waiting(session, farm.settings))


def dispatched(farm: Farm) -> list[str]:
    """Builds on their way, in the order in which they were sent."""
    with farm.read() as session:
        query = select(Attempt.build_id).join(OutboxRow, OutboxRow.body["build"].as_string() == Attempt.build_id)
        return list(session.scalars(query.order_by(OutboxRow.id)))


def served(farm: Farm, hand: Farmhand, rounds: int) -> list[str]:
    """The projects in the order in which a worker with one slot is given their builds."""
    order = []
    for number in range(rounds):
        tick(farm)
        with farm.read() as session:
            row = session.scalars(select(Build).where(Build.state == BuildState.DISPATCHED.value)).one()
            id_, project = row.id, session.get_one(Project, row.project_id).name
        order.append(project)
        hand.complete(_claim(farm, hand, id_), f"engine {number}".encode())
    return order


def _claim(farm: Farm, hand: Farmhand, id_: str):
    return attempts.claim(farm, id_, ClaimRequest(worker=hand.signed_on.worker, boot_id=hand.boot, attempt=1))


def test_nobody_waits_behind_somebody_elses_many(farm, model, model_bytes):
    hand = Farmhand(farm, slots=1)
    for seed in range(12):
        ask(farm, me(farm), model, seed=seed)
    guest = other(farm, "guest")
    theirs = push(farm, guest, model_bytes)
    for seed in range(3):
        ask(farm, guest, theirs, seed=100 + seed)
    order = served(farm, hand, 7)
    assert order.count("guest") == 3
    assert "guest" in order[:2]


def test_weights_are_shares(farm, model, model_bytes):
    hand = Farmhand(farm, slots=1)
    guest = other(farm, "guest", weight=3.0)
    theirs = push(farm, guest, model_bytes)
    for seed in range(10):
        ask(farm, me(farm), model, seed=seed)
        ask(farm, guest, theirs, seed=100 + seed)
    order = served(farm, hand, 8)
    assert 5 <= order.count("guest") <= 7


def test_the_classes_order_a_projects_own_builds_and_age_passes_them(farm, model):
    Farmhand(farm, slots=1)
    low = submit(farm, model, "openvino:fp32", seed=1, priority="low").builds[0].id
    high = submit(farm, model, "openvino:fp32", seed=2, priority="high").builds[0].id
    with farm.write() as session:  # as if the low one had waited for longer than two classes are worth
        aged = timedelta(seconds=2 * line.CLASS_S + 60)
        row = session.get_one(Build, low)
        row.due = line.due(row.created - aged, Priority.LOW)
    tick(farm)
    assert build(farm, low).state is BuildState.DISPATCHED
    assert build(farm, high).state is BuildState.WAITING


def test_a_queue_never_holds_more_than_the_free_slots(farm, model):
    Farmhand(farm, slots=3)
    ids = [submit(farm, model, "openvino:fp32", seed=seed).builds[0].id for seed in range(10)]
    tick(farm)
    tick(farm)
    assert dispatched(farm) == ids[:3]


def test_a_project_holds_no_more_slots_than_it_may(farm, model_bytes):
    Farmhand(farm, slots=4)
    guest = other(farm, "guest", most_running=1)
    theirs = push(farm, guest, model_bytes)
    first, second = (ask(farm, guest, theirs, seed=seed) for seed in range(2))
    tick(farm)
    tick(farm)
    assert [told(farm, guest, one).state for one in (first, second)] == [BuildState.DISPATCHED, BuildState.WAITING]
    assert "may have 1" in told(farm, guest, second).reason


def test_a_project_has_no_more_builds_waiting_than_it_may(farm, model_bytes):
    guest = other(farm, "guest", most_waiting=2)
    Farmhand(farm)
    theirs = push(farm, guest, model_bytes)
    for seed in range(2):
        ask(farm, guest, theirs, seed=seed)
    with pytest.raises(QuotaExceeded) as refused:
        ask(farm, guest, theirs, seed=3)
    assert refused.value.where == {"waiting": 2, "asked": 1, "most": 2}
    with farm.read() as session:
        assert len(jobs.list_(session, guest).items) == 2


def test_the_farm_keeps_no_more_builds_waiting_than_it_may(farm, model):
    farm.settings.farm_most_waiting = 2
    Farmhand(farm)
    for seed in range(2):
        submit(farm, model, "openvino:fp32", seed=seed)
    with pytest.raises(FarmFull):
        submit(farm, model, "openvino:fp32", seed=3)


def test_the_place_in_line_and_when_it_begins(farm, model, model_bytes):
    hand = Farmhand(farm, slots=1)
    first = submit(farm, model, "openvino:fp32", seed=0).builds[0].id
    tick(farm)
    hand.build(first)
    guest = other(farm, "guest")
    theirs = push(farm, guest, model_bytes)
    mine = [submit(farm, model, "openvino:fp32", seed=seed).builds[0].id for seed in range(1, 6)]
    guests = [ask(farm, guest, theirs, seed=seed) for seed in range(10, 12)]
    tick(farm)
    waiting = [one for one in mine if told(farm, me(farm), one).state is BuildState.WAITING]
    last = told(farm, me(farm), waiting[-1])
    assert last.wait is not None
    assert last.wait.ahead == len(waiting) - 1 + len([g for g in guests if told(farm, guest, g).wait])
    assert last.wait.least_s is not None
    assert last.wait.most_s is not None
    assert last.wait.least_s <= last.wait.most_s
    assert "begins in about" in last.reason
    assert told(farm, me(farm), first).wait is None


def test_a_build_goes_to_the_worker_that_has_the_model(farm, model):
    Farmhand(farm, "one")
    two = Farmhand(farm, "two", "boot-0002")
    with farm.read() as session:
        file = models.row(session, me(farm).project, model).files[0]["sha256"]
    with farm.write() as session:  # a beat that comes early writes nothing
        session.get_one(Worker, two.signed_on.worker).last_seen -= timedelta(seconds=farm.settings.heartbeat_s)
    beat = Heartbeat(worker=two.signed_on.worker, boot_id=two.boot, files=[file])
    workers.heartbeat(farm, beat)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    with farm.read() as session:
        assert session.scalars(select(OutboxRow.queue)).all() == [two.signed_on.own_queue]
        assert session.get_one(Attempt, (id_, 1)).meant_for == two.signed_on.worker
    one = Farmhand(farm, "one", "boot-0003")
    assert one.beat().waiting == 0
    assert two.beat().waiting == 1
    with pytest.raises(AttemptStale, match="another worker"):
        one.claim(id_)
    two.build(id_)


def test_elsewhere_first(farm, model):
    one = Farmhand(farm, "one")
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    with farm.write() as session:
        session.get_one(Build, id_).avoid = [one.signed_on.worker]
    let_leases_end(farm)
    one.beat()
    two = Farmhand(farm, "two", "boot-0002")
    tick(farm)
    tick(farm)
    with farm.read() as session:
        build_ = session.get_one(Build, id_)
        assert session.get_one(Attempt, (id_, build_.attempt)).meant_for == two.signed_on.worker


def test_a_project_is_not_answered_from_what_another_had_built(farm, model, model_bytes):
    hand = Farmhand(farm, slots=2)
    mine = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    guest = other(farm, "guest")
    theirs = push(farm, guest, model_bytes)
    while_it_runs = ask(farm, guest, theirs)
    assert told(farm, guest, while_it_runs).reason == "about to be dispatched"  # and not joined
    hand.build(mine)
    tick(farm)
    assert told(farm, guest, while_it_runs).state is BuildState.DISPATCHED
    again = ask(farm, me(farm), model)
    assert told(farm, me(farm), again).origin is Origin.CACHE


def test_a_project_is_answered_from_a_model_that_another_shares(farm, model, model_bytes):
    hand = Farmhand(farm, slots=1)
    mine = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    models.share(farm, me(farm), model, True)
    guest = other(farm, "guest")
    theirs = push(farm, guest, model_bytes)
    joined = ask(farm, guest, theirs)
    assert "joined" in told(farm, guest, joined).reason or "in flight" in told(farm, guest, joined).reason
    hand.build(mine)
    assert told(farm, guest, joined).origin is Origin.JOINED
    assert told(farm, guest, ask(farm, guest, theirs)).origin is Origin.CACHE
    models.share(farm, me(farm), model, False)
    # What it was given is its own now.
    assert told(farm, guest, ask(farm, guest, theirs)).origin is Origin.CACHE


def test_every_kind_in_line_is_seen_once(farm, model, model_bytes):
    both = OPENVINO.model_copy(update={"backend": "other"})
    Farmhand(farm, capabilities=(OPENVINO, both), slots=1)
    guest = other(farm, "guest")
    theirs = push(farm, guest, model_bytes)
    for seed in range(3):
        ask(farm, guest, theirs, seed=seed)
        submit(farm, model, "openvino:fp32", "openvino:fp16", "other:fp32", seed=50 + seed)
    with farm.read() as session:
        found = line.kinds(session)
    names = ["onnx openvino:fp16", "onnx openvino:fp32", "onnx other:fp32"]
    assert sorted(found) == sorted([(me(farm).project, name) for name in names] + [(guest.project, names[1])])


def test_a_line_longer_than_one_look_is_walked_in_order(farm, model):
    ids = [submit(farm, model, "openvino:fp32", seed=seed).builds[0].id for seed in range(70)]
    with farm.read() as session:
        assert [row.id for row in line.of(session, tokens.DEFAULT_PROJECT, "onnx openvino:fp32")] == ids

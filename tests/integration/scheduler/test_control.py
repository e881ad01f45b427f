"""What operators do to workers, pools and the farm: what is let through, what is taken back, what is told."""

from __future__ import annotations

import pytest
from farmhand import OPENVINO, Farmhand, build, let_leases_end, me, submit, tick
from sqlalchemy import select

from enginehouse.errors import AttemptStale, NotFound
from enginehouse.states import AttemptState, BuildState, PoolMode, WorkerMode
from scheduler import control, dispatch, events, pools, workers
from scheduler.registry.tables import OutboxRow, Worker


def kinds(farm) -> list[str]:
    with farm.read() as session:
        return [event.kind for event in events.after(session, 0)]


def queues(farm) -> list[str]:
    with farm.read() as session:
        return [row.queue for row in session.scalars(select(OutboxRow).order_by(OutboxRow.id))]


def set_worker(farm, mode: WorkerMode, name: str = "one", reason: str = ""):
    return control.set_worker(farm, me(farm), name, mode, reason)


def free(farm) -> dict[str, int]:
    with farm.read() as session:
        return {pool.name: pool.free for pool in pools.online(session)}


def test_a_paused_worker_has_no_slots_and_the_reason_says_so(farm, model):
    hand = Farmhand(farm, slots=2)
    pool = hand.signed_on.pool
    assert free(farm) == {pool: 2}
    view = set_worker(farm, WorkerMode.PAUSED, reason="new disks")
    assert (view.mode, view.mode_reason) == (WorkerMode.PAUSED, "new disks")
    assert free(farm) == {pool: 0}
    waiting = submit(farm, model, "openvino:fp32").builds[0]
    assert waiting.reason == f"every worker of pool {pool} is paused or drained"
    tick(farm)
    assert build(farm, waiting.id).state is BuildState.WAITING
    set_worker(farm, WorkerMode.OPEN)
    tick(farm)
    assert hand.build(waiting.id).state is BuildState.SUCCEEDED
    assert [kind for kind in kinds(farm) if kind.startswith("worker.")] == [
        "worker.online",
        "worker.paused",
        "worker.resumed",
    ]


def test_a_worker_is_named_by_its_id_too_and_one_that_is_not_there_is_refused(farm):
    hand = Farmhand(farm)
    assert set_worker(farm, WorkerMode.PAUSED, hand.signed_on.worker).name == "one"
    with pytest.raises(NotFound, match="there is no worker two"):
        set_worker(farm, WorkerMode.PAUSED, "two")
    with pytest.raises(NotFound, match="there is no pool nowhere"):
        control.set_pool(farm, me(farm), "nowhere", PoolMode.PAUSED)


def test_saying_the_same_again_tells_nobody(farm):
    Farmhand(farm)
    for _ in range(3):
        set_worker(farm, WorkerMode.PAUSED, reason="x")
    assert kinds(farm).count("worker.paused") == 1


def test_a_draining_worker_finishes_what_it_holds_and_is_drained_then(farm, model):
    hand = Farmhand(farm, slots=2)
    held = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    claim = hand.claim(held)
    assert set_worker(farm, WorkerMode.DRAINING).mode is WorkerMode.DRAINING
    other = submit(farm, model, "openvino:fp16").builds[0].id
    tick(farm)
    assert build(farm, other).state is BuildState.WAITING
    let_leases_end(farm)
    reply = hand.beat(claim)
    assert (reply.mode, reply.drop, reply.leave) == (WorkerMode.DRAINING, [], False)
    assert hand.complete(claim).state is BuildState.SUCCEEDED
    let_leases_end(farm)
    assert hand.beat().mode is WorkerMode.DRAINED
    assert kinds(farm)[-1] == "worker.drained"
    tick(farm)
    assert build(farm, other).state is BuildState.WAITING
    set_worker(farm, WorkerMode.OPEN)
    tick(farm)
    assert hand.build(other).state is BuildState.SUCCEEDED


def test_draining_a_worker_that_holds_nothing_is_done_at_once(farm):
    Farmhand(farm)
    assert set_worker(farm, WorkerMode.DRAINING).mode is WorkerMode.DRAINED


def test_a_worker_that_shall_leave_is_told_when_it_holds_nothing_and_comes_back_drained(farm, model):
    hand = Farmhand(farm)
    held = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    claim = hand.claim(held)
    assert set_worker(farm, WorkerMode.LEAVING).mode is WorkerMode.LEAVING
    assert not hand.beat(claim).leave
    hand.complete(claim)
    assert hand.beat().leave
    workers.sign_off(farm, hand.signed_on.worker, hand.boot)
    again = Farmhand(farm, boot="boot-0002")
    assert again.signed_on.mode is WorkerMode.DRAINED
    assert not again.beat().leave  # whoever starts it again does not start it for ever
    assert free(farm) == {again.signed_on.pool: 0}


@pytest.mark.parametrize("mode", [WorkerMode.PAUSED, WorkerMode.DRAINING])
def test_a_mode_survives_a_restart(farm, model, mode):
    hand = Farmhand(farm)
    submit(farm, model, "openvino:fp32")
    tick(farm)
    set_worker(farm, mode, reason="why")
    again = Farmhand(farm, boot="boot-0002")
    assert again.signed_on.mode is not WorkerMode.OPEN
    with farm.read() as session:
        (view,) = workers.list_(session)
    assert (view.id, view.mode_reason) == (hand.signed_on.worker, "why")


def test_a_claim_of_a_paused_worker_is_refused_and_the_build_goes_on_elsewhere_at_once(farm, model):
    one, two = Farmhand(farm, "one"), Farmhand(farm, "two", "boot-0002")
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    set_worker(farm, WorkerMode.PAUSED, "one", "new disks")
    assert build(farm, id_).state is BuildState.DISPATCHED  # the other one may have it
    with pytest.raises(AttemptStale, match="worker one is paused: new disks"):
        one.claim(id_)
    assert build(farm, id_).state is BuildState.WAITING
    tick(farm)
    assert two.build(id_).state is BuildState.SUCCEEDED
    assert [a.state for a in build(farm, id_).attempts] == [AttemptState.EXPIRED, AttemptState.SUCCEEDED]


def test_what_was_on_its_way_to_the_only_worker_is_taken_back_when_it_is_paused(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    set_worker(farm, WorkerMode.PAUSED)
    assert build(farm, id_).state is BuildState.WAITING
    with pytest.raises(AttemptStale):
        hand.claim(id_)


def test_slots_of_a_drained_worker_do_not_count_against_the_others(farm, model):
    one, two = Farmhand(farm, "one"), Farmhand(farm, "two", "boot-0002")
    first = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    one.claim(first)
    set_worker(farm, WorkerMode.DRAINING, "one")
    assert free(farm) == {two.signed_on.pool: 1}
    second = submit(farm, model, "openvino:fp16").builds[0].id
    tick(farm)
    assert two.build(second).state is BuildState.SUCCEEDED


def test_a_paused_pool_takes_nothing_and_is_named(farm, model):
    hand = Farmhand(farm)
    pool = hand.signed_on.pool
    sent = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    view = control.set_pool(farm, me(farm), pool, PoolMode.PAUSED, "a new driver")
    assert (view.mode, view.slots, view.busy, view.waiting) == (PoolMode.PAUSED, 1, 0, 1)
    waits = build(farm, sent)
    assert waits.state is BuildState.WAITING
    assert f"pool {pool} is paused: a new driver" in waits.reason
    other = submit(farm, model, "openvino:fp16").builds[0]
    assert other.reason == f"pool {pool} is paused: a new driver"
    tick(farm)
    assert build(farm, other.id).state is BuildState.WAITING
    control.set_pool(farm, me(farm), pool, PoolMode.OPEN)
    tick(farm)
    assert hand.build(sent).state is BuildState.SUCCEEDED
    assert [kind for kind in kinds(farm) if kind.startswith("pool.")] == ["pool.paused", "pool.resumed"]


def test_a_paused_pool_refuses_a_claim_that_was_quicker_than_the_pause(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    control.set_pool(farm, me(farm), hand.signed_on.pool, PoolMode.PAUSED)
    tick(farm)
    with farm.write() as session:  # as if the round had looked before the pause
        from scheduler import transitions
        from scheduler.registry.tables import Build

        transitions.dispatched(session, session.get_one(Build, id_), hand.signed_on.pool, "0" * 64, 10)
    with pytest.raises(AttemptStale, match="is paused"):
        hand.claim(id_)
    assert build(farm, id_).state is BuildState.WAITING


def test_another_pool_takes_what_a_paused_one_would_have_had(farm, model):
    old = Farmhand(farm, "old")
    new = Farmhand(farm, "new", "boot-0002", hardware_class="cpu-test-4c")
    control.set_pool(farm, me(farm), old.signed_on.pool, PoolMode.PAUSED)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    assert new.build(id_).state is BuildState.SUCCEEDED


def test_pools_are_listed_with_what_they_do_and_what_waits_for_them(farm, model):
    hand = Farmhand(farm, slots=2)
    quiet = Farmhand(farm, "two", "boot-0002", hardware_class="gpu", capabilities=[])
    for seed in range(4):
        submit(farm, model, "openvino:fp32", seed=seed)
    tick(farm)
    with farm.read() as session:
        found = {view.name: view for view in control.list_pools(session)}
    mine, other = found[hand.signed_on.pool], found[quiet.signed_on.pool]
    assert (mine.workers, mine.slots, mine.busy, mine.waiting, mine.backends) == (1, 2, 2, 2, ["openvino"])
    assert (other.workers, other.slots, other.busy, other.waiting, other.backends) == (1, 1, 0, 0, [])


def test_in_maintenance_submissions_are_taken_and_nothing_is_dispatched(farm, model):
    hand = Farmhand(farm, slots=3)
    running, sent = (submit(farm, model, target).builds[0].id for target in ("openvino:fp32", "openvino:fp16"))
    tick(farm)
    claim = hand.claim(running)
    view = control.set_maintenance(farm, me(farm), True, "the store moves")
    assert (view.on, view.reason, view.by) == (True, "the store moves", me(farm).name)
    assert "the farm is in maintenance: the store moves" in build(farm, sent).reason
    new = submit(farm, model, "openvino:fp32", seed=1).builds[0]
    assert new.reason == "the farm is in maintenance: the store moves"
    tick(farm)
    assert {build(farm, id_).state for id_ in (sent, new.id)} == {BuildState.WAITING}
    assert hand.complete(claim).state is BuildState.SUCCEEDED
    assert not control.set_maintenance(farm, me(farm), False).on
    assert not control.set_maintenance(farm, me(farm), False).on
    tick(farm)
    assert {hand.build(id_, id_.encode()).state for id_ in (sent, new.id)} == {BuildState.SUCCEEDED}
    assert kinds(farm).count("farm.maintenance") == 2


def test_what_the_cache_has_is_answered_in_maintenance_too(farm, model):
    hand = Farmhand(farm)
    first = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    hand.build(first)
    control.set_maintenance(farm, me(farm), True)
    assert submit(farm, model, "openvino:fp32").builds[0].state is BuildState.SUCCEEDED


def upgraded(farm) -> Farmhand:
    newer = OPENVINO.model_copy(update={"toolchain": {"openvino": "2026.9"}})
    return Farmhand(farm, "one", "boot-0002", capabilities=[newer])


def test_a_worker_that_is_upgraded_while_its_queue_is_not_empty_leaves_nothing_behind(farm, model):
    old = Farmhand(farm, "one")
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    new = upgraded(farm)
    assert new.signed_on.pool != old.signed_on.pool
    assert build(farm, id_).state is BuildState.WAITING  # at once: nobody is left who reads that queue
    tick(farm)
    assert queues(farm)[-1] == new.signed_on.queue
    assert new.build(id_).state is BuildState.SUCCEEDED
    assert [a.state for a in build(farm, id_).attempts] == [AttemptState.EXPIRED, AttemptState.SUCCEEDED]


def test_an_upgrade_leaves_the_old_pools_queue_to_those_who_stay_and_what_they_never_claim_expires(farm, model):
    Farmhand(farm, "one")
    stays = Farmhand(farm, "stays", "boot-0009")
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    new = upgraded(farm)
    assert build(farm, id_).state is BuildState.DISPATCHED
    with pytest.raises(AttemptStale):
        new.claim(id_)  # it is in the other pool's queue
    let_leases_end(farm)  # and the one who stays never claims it
    new.beat()
    dispatch.tick(farm)
    assert queues(farm)[-1] == new.signed_on.queue
    assert new.build(id_).state is BuildState.SUCCEEDED
    assert stays.signed_on.pool != new.signed_on.pool


def test_what_was_on_its_way_to_a_worker_that_signs_off_waits_again_at_once(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    workers.sign_off(farm, hand.signed_on.worker, hand.boot)
    assert build(farm, id_).state is BuildState.WAITING


def test_a_beat_that_comes_early_writes_nothing_and_tells_all(farm, model):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    claim = hand.claim(id_)
    farm.settings.heartbeat_s = 3600.0  # however slow the machine is

    def seen():
        with farm.read() as session:
            return session.get_one(Worker, hand.signed_on.worker).last_seen

    before = seen()
    from scheduler import builds

    builds.cancel(farm, me(farm), id_)
    reply = hand.beat(claim)
    assert [held.build for held in reply.cancel] == [id_]
    assert seen() == before
    let_leases_end(farm)
    hand.beat(claim)
    assert seen() != before

"""What a build did and when: from events, and where they are gone, from attempts and reports."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise

from farmhand import Farmhand, build, job, let_leases_end, skip_backoff, submit, tick
from sqlalchemy import delete

from enginehouse.report import PhaseTiming
from enginehouse.states import Phase
from enginehouse.work import PhaseUpdate
from scheduler import attempts, timeline
from scheduler.farm import Farm
from scheduler.registry.tables import EventRow
from scheduler.timeline import Piece


def pieces(farm: Farm, id_: str) -> list[Piece]:
    view = build(farm, id_)
    with farm.read() as session:
        return timeline.of_job(session, view.job, job(farm, view.job).builds)[id_]


def kinds(some: list[Piece]) -> list[tuple[str, int]]:
    return [(piece.kind, piece.attempt) for piece in some]


def joined(some: list[Piece]) -> bool:
    """Whether each begins where the one before ended."""
    return all(one.ended == other.began for one, other in pairwise(some))


def built(farm: Farm, model: str) -> str:
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    claim = hand.claim(id_)
    for phase in (Phase.COMPILE, Phase.VERIFY):
        attempts.phase(farm, id_, PhaseUpdate(fence=claim.fence, phase=phase))
    hand.complete(claim)
    return id_


def test_a_build_that_waits(farm: Farm, model: str):
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    (piece,) = pieces(farm, id_)
    assert (piece.kind, piece.attempt, piece.ended) == ("waiting", 0, None)
    assert piece.seconds(piece.began + timedelta(seconds=5)) == 5


def test_phases_of_a_build_that_succeeded(farm: Farm, model: str):
    id_ = built(farm, model)
    found = pieces(farm, id_)
    assert kinds(found) == [("waiting", 0), ("dispatched", 1), ("fetch", 1), ("compile", 1), ("verify", 1)]
    assert joined(found)
    assert found[0].began == build(farm, id_).created
    assert found[-1].ended >= build(farm, id_).ended


def test_attempts_and_the_waits_between_them(farm: Farm, model: str):
    hand = Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    hand.fail(hand.claim(id_))
    skip_backoff(farm)
    tick(farm)
    hand.claim(id_)
    found = pieces(farm, id_)
    assert kinds(found) == [
        ("waiting", 0), ("dispatched", 1), ("fetch", 1), ("waiting", 1), ("dispatched", 2), ("fetch", 2),
    ]  # fmt: skip
    assert found[-1].ended is None
    assert joined(found)


def test_a_dispatch_that_nobody_claimed(farm: Farm, model: str):
    Farmhand(farm)
    id_ = submit(farm, model, "openvino:fp32").builds[0].id
    tick(farm)
    let_leases_end(farm)
    tick(farm)
    assert kinds(pieces(farm, id_))[:3] == [("waiting", 0), ("dispatched", 1), ("waiting", 1)]


def test_without_events_there_are_attempts_and_the_report(farm: Farm, model: str):
    id_ = built(farm, model)
    with farm.write() as session:
        session.execute(delete(EventRow))
    found = pieces(farm, id_)
    assert kinds(found) == [("waiting", 0), ("dispatched", 1), ("running", 1)]
    told = [PhaseTiming(phase=Phase.FETCH, seconds=1), PhaseTiming(phase=Phase.COMPILE, seconds=2)]
    whole = timeline.with_phases(found, told)
    assert kinds(whole)[2:] == [("fetch", 1), ("compile", 1)]
    assert (whole[-1].ended - whole[2].began).total_seconds() == 3
    assert timeline.with_phases(found, []) == found


def test_what_events_say_goes_before_what_the_report_says(farm: Farm, model: str):
    found = pieces(farm, built(farm, model))
    assert timeline.with_phases(found, [PhaseTiming(phase=Phase.EXPLAIN, seconds=9)]) == found


def test_time_never_runs_backwards():
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    assert Piece("fetch", 1, moment, moment - timedelta(seconds=1)).seconds(moment) == 0

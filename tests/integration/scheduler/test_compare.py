"""Which builds a project may compare, and what is said of those without a report."""

from __future__ import annotations

import pytest
from farmhand import Farmhand, build, me, submit, tick

from enginehouse.comparison import Comparison
from enginehouse.errors import NoReport, NotFound, UnsupportedOperator
from scheduler import compare, ids
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Build, Project


def compared(farm: Farm, *given: str) -> Comparison:
    with farm.read() as session:
        return compare.compared(session, me(farm), given)


def test_builds_and_artifacts_are_compared_in_the_order_given(farm: Farm, model: str) -> None:
    hand = Farmhand(farm)
    first, second = submit(farm, model, "openvino:fp32", "openvino:fp16").builds
    tick(farm)
    hand.build(first.id, b"thirty-two")
    tick(farm)
    hand.build(second.id, b"half")
    found = compared(farm, second.id, first.id)
    assert [(side.label, side.build) for side in found.builds] == [("A", second.id), ("B", first.id)]
    assert [(row.field, row.values) for row in found.request] == [("target.precision", ["fp16", "fp32"])]
    size = next(metric for metric in found.metrics if metric.name == "size")
    assert (size.values, size.best) == ([4.0, 10.0], 0)
    artifacts = [build(farm, one.id).artifact or "" for one in (second, first)]
    assert compared(farm, *artifacts) == found
    assert compared(farm, second.id, artifacts[1]) == found


def test_without_a_report_the_state_is_the_reason(farm: Farm, model: str) -> None:
    hand = Farmhand(farm)
    first, second = submit(farm, model, "openvino:fp32", "openvino:fp16").builds
    with pytest.raises(NoReport, match=f"build {first.id} is waiting and has no report yet"):
        compared(farm, first.id, second.id)
    tick(farm)
    hand.build(first.id)
    tick(farm)
    claim = hand.claim(second.id)
    with pytest.raises(NoReport, match="is running and has no report yet"):
        compared(farm, first.id, second.id)
    hand.fail(claim, UnsupportedOperator("operator 'If'").failure())
    with pytest.raises(NoReport, match=r"is failed \(build.unsupported_operator\) and left no report"):
        compared(farm, first.id, second.id)


def test_a_build_that_missed_its_proof_left_a_report_and_is_compared(farm: Farm, model: str) -> None:
    hand = Farmhand(farm)
    first, second = submit(farm, model, "openvino:fp32", "openvino:fp16").builds
    tick(farm)
    hand.build(first.id)
    tick(farm)
    ended = hand.complete(hand.claim(second.id), b"wrong", agrees=False)
    assert ended.state == "failed"
    assert [side.agrees for side in compared(farm, first.id, second.id).builds] == [True, False]


def test_another_projects_builds_are_not_there(farm: Farm, model: str) -> None:
    hand = Farmhand(farm)
    (mine,) = submit(farm, model, "openvino:fp32").builds
    tick(farm)
    hand.build(mine.id)
    artifact = build(farm, mine.id).artifact
    assert artifact is not None
    compared(farm, mine.id, artifact)
    with farm.write() as session:
        other = Project(id=ids.new("project"), name="others", created=now(session))
        session.add(other)
        session.flush()
        session.get_one(Build, mine.id).project_id = other.id
    for unseen in (mine.id, artifact, "build_none", "f" * 64):
        with pytest.raises(NotFound):
            compared(farm, unseen, unseen)

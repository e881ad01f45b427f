"""Constraints on their way through the registry: the pool that meets them builds, and what it built is found again."""

from __future__ import annotations

import pytest
from farmhand import OPENVINO, Farmhand, build, submit, tick
from sqlalchemy import update

from enginehouse.states import BuildState, Origin
from enginehouse.targets import parse_target
from scheduler import line, workers
from scheduler.farm import Farm
from scheduler.registry.tables import Build, Pool

NEWER = OPENVINO.model_copy(update={"toolchain": {"openvino": "2027.0.0"}})


def test_only_a_pool_that_meets_it_builds_it(farm: Farm, model: str) -> None:
    small = Farmhand(farm, "small")
    id_ = submit(farm, model, "openvino:fp32@cpu.cores>=8").builds[0].id
    tick(farm)
    waiting = build(farm, id_)
    assert waiting.state is BuildState.WAITING
    assert f"meets cpu.cores>=8; offered: 2 by pool {small.signed_on.pool}" in waiting.reason
    large = Farmhand(farm, "large", "boot-0002", cores=16)
    assert large.signed_on.pool != small.signed_on.pool
    tick(farm)
    assert build(farm, id_).pool == large.signed_on.pool
    assert large.build(id_).state is BuildState.SUCCEEDED


def test_a_version_chooses_the_pool(farm: Farm, model: str) -> None:
    old, new = Farmhand(farm, "old"), Farmhand(farm, "new", "boot-0002", capabilities=[NEWER])
    targets = {"openvino:fp32@openvino<2027": old, "openvino:fp16@openvino~=2027.0": new}
    builds = submit(farm, model, *targets).builds
    tick(farm)
    assert [build(farm, one.id).pool for one in builds] == [hand.signed_on.pool for hand in targets.values()]


@pytest.mark.parametrize("again", ["openvino:fp32", "openvino:fp32@memory_gb>=1", "openvino:fp32@openvino>=2026+cpu"])
def test_what_one_pool_built_is_shared_whatever_was_required_of_it(farm: Farm, model: str, again: str) -> None:
    hand = Farmhand(farm)
    first = submit(farm, model, "openvino:fp32@cpu.cores>=2").builds[0].id
    tick(farm)
    made = hand.build(first)
    found = submit(farm, model, again).builds[0]
    assert (found.state, found.origin, found.artifact) == (BuildState.SUCCEEDED, Origin.CACHE, made.artifact)


def test_the_line_keeps_a_demand_that_reads_back(farm: Farm, model: str) -> None:
    id_ = submit(farm, model, "openvino:fp32@cpu.isa has amx_int8 + cpu.cores >= 08").builds[0].id
    with farm.read() as session:
        demand = session.get_one(Build, id_).demand
    assert line.wanted(demand) == ("onnx", parse_target("openvino:fp32@cpu.cores>=8+cpu.isa has amx_int8"))


def test_a_worker_shows_its_facts_and_an_older_pool_gets_them_when_it_signs_on_again(farm: Farm) -> None:
    told = {"cpu.cores": 2, "cpu.isa": ["avx2"], "cpu.model": "test", "memory_gb": 1, "pipeline": "1"}
    tags = ("avx2", "cpu")
    pool = Farmhand(farm, tags=tags).signed_on.pool
    with farm.write() as session:
        session.execute(update(Pool).values(facts={}))
    with farm.read() as session:
        assert workers.list_(session)[0].facts == {}
    assert Farmhand(farm, tags=tags, boot="boot-0002").signed_on.pool == pool
    with farm.read() as session:
        assert workers.list_(session)[0].facts == told

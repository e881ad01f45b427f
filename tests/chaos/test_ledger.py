"""The ledger finds what is wrong: a registry that keeps its promises is spoilt in one place at a time."""

from __future__ import annotations

import random
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import onnx
import pytest
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

sys.path.insert(0, str(Path(__file__).parents[1] / "integration/scheduler"))

import farmhand

from chaos.ledger import Findings, Ledger, Promise
from enginehouse.client import job_request
from scheduler import jobs, tokens
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.registry.tables import Artifact, Attempt, Build, EventRow, Job
from scheduler.settings import Settings

MODEL = (Path(onnx.__file__).parent / "backend/test/data/pytorch-converted/test_Linear/model.onnx").read_bytes()


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[Farm]:
    url = f"sqlite:///{tmp_path / 'db'}"
    upgrade(url)
    farm = Farm(Settings(data_dir=tmp_path, database_url=url, secret_key="k" * 32, signing_key="5" * 64))
    farm.broker.send = lambda *_, **__: True
    tokens.bootstrap(farm)
    yield farm
    farm.dispose()


@pytest.fixture
def ledger(farm: Farm) -> Ledger:
    """One promise: a build whose first worker was lost, and which another one built."""
    made = Ledger()
    one, two = farmhand.Farmhand(farm, "one"), farmhand.Farmhand(farm, "two", "boot-0002")
    model = farmhand.push(farm, MODEL)
    request = job_request(model=model, targets=["openvino:fp32"])
    job, _ = jobs.submit(farm, farmhand.me(farm), request, "key-1")
    farmhand.tick(farm)
    one.claim(job.builds[0].id)
    farmhand.let_leases_end(farm)
    farmhand.tick(farm)
    two.beat()
    farmhand.skip_backoff(farm)
    farmhand.tick(farm)
    two.build(job.builds[0].id)
    farmhand.tick(farm)
    made.promised(Promise(job.id, "key-1", request, MODEL, 0.0))
    return made


def audited(farm: Farm, ledger: Ledger) -> Findings:
    with farm.read() as session:
        return ledger.audit(session, max_attempts=3)


def test_kept_promises_are_found_kept(farm: Farm, ledger: Ledger):
    found = audited(farm, ledger)
    assert (found.lost, found.twice, found.wrong, found.given_up) == ([], [], [], [])
    assert (found.accepted, found.ended, found.origins) == (1, 1, {"built": 1})
    assert found.attempts == {"lost": 1, "succeeded": 1}
    assert found.good


def drop_job(session: Session) -> None:
    for table in (EventRow, Attempt, Build, Job):
        session.execute(delete(table))


def open_again(session: Session) -> None:
    session.execute(update(Job).values(state="running", ended=None))


def other_key(session: Session) -> None:
    session.execute(update(Job).values(idempotency_key="key-2"))


def job_state(session: Session) -> None:
    session.execute(update(Job).values(state="failed"))


def no_artifact(session: Session) -> None:
    session.execute(update(Build).values(artifact_id=None))


def failed_early(session: Session) -> None:
    session.execute(update(Build).values(state="failed", failure={"detail": "no", "code": "x"}))


def overlap(session: Session) -> None:
    first = session.get_one(Attempt, (session.scalars(select(Build.id)).one(), 1))
    first.ended = (first.ended or first.created) + timedelta(hours=1)


def same_fence(session: Session) -> None:
    session.execute(update(Attempt).values(fence=2))


def fence_back(session: Session) -> None:
    for number, fence in ((1, 2), (2, 1)):
        session.execute(update(Attempt).where(Attempt.number == number).values(fence=fence))


def still_alive(session: Session) -> None:
    session.execute(update(Attempt).where(Attempt.number == 1).values(state="running", ended=None))


def second_success(session: Session) -> None:
    session.execute(update(Attempt).values(state="succeeded"))


def second_artifact(session: Session) -> None:
    row = session.scalars(select(Artifact)).one()
    copy = {column.key: getattr(row, column.key) for column in Artifact.__table__.columns}
    session.add(Artifact(**{**copy, "id": "0" * 64, "serial": "artifact_2"}))


def told_twice(session: Session) -> None:
    end = session.scalars(select(EventRow).where(EventRow.kind == "job.succeeded")).one()
    session.add(EventRow(time=end.time, kind=end.kind, project_id=end.project_id, job_id=end.job_id, data={}))


def left_its_end(session: Session) -> None:
    end = session.scalars(select(EventRow).where(EventRow.kind == "build.succeeded")).one()
    more = {"time": end.time, "job_id": end.job_id, "build_id": end.build_id, "data": {}}
    session.add_all([EventRow(kind="build.running", **more), EventRow(kind="build.succeeded", **more)])


@pytest.mark.parametrize(
    ("spoil", "kind", "says"),
    [
        (drop_job, "lost", "not in the registry"),
        (open_again, "lost", "is running still"),
        (other_key, "wrong", "answers key key-2"),
        (job_state, "wrong", "is failed, its builds are succeeded"),
        (no_artifact, "wrong", "succeeded without an artifact"),
        (failed_early, "wrong", "after 1 spent attempts"),
        (overlap, "wrong", "overlap in their leases"),
        (same_fence, "wrong", "given twice"),
        (fence_back, "wrong", "fencing went back"),
        (still_alive, "wrong", "running after the end"),
        (second_success, "twice", "succeeded in two attempts"),
        (second_artifact, "twice", "2 artifacts were published"),
        (told_twice, "wrong", "ended 2 times"),
        (left_its_end, "wrong", "went from succeeded to running"),
    ],
)
def test_each_broken_promise_is_found(
    farm: Farm, ledger: Ledger, spoil: Callable[[Session], None], kind: str, says: str
):
    with farm.write() as session:
        spoil(session)
    found = audited(farm, ledger)
    assert not found.good
    assert [line for line in getattr(found, kind) if says in line], found


def test_a_job_that_nobody_was_promised_is_found(farm: Farm, ledger: Ledger):
    farmhand.submit(farm, farmhand.push(farm, MODEL), "openvino:fp32")
    assert [line for line in audited(farm, ledger).wrong if "promised to nobody" in line]


def test_a_resent_submission_that_makes_another_job_is_found(farm: Farm, ledger: Ledger):
    other = farmhand.submit(farm, farmhand.push(farm, MODEL), "openvino:fp32")
    promise = ledger.any(random.Random(0))
    assert promise is not None
    ledger.resent(promise, other)
    assert [line for line in audited(farm, ledger).wrong if "sent again, job" in line]

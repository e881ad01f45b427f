"""Any interleaving of submissions, deliveries, deaths and cancels: every job ends, once, in a true state.

Seeded random walks over the real registry (SQLite), each followed by a calm in which one healthy worker finishes
what is left.
"""

from __future__ import annotations

import hashlib
import random
from pathlib import Path

import onnx
import pytest
from farmhand import Farmhand, let_leases_end, me, push, skip_backoff, submit, tick
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from enginehouse.errors import AttemptStale, Conflict, ConversionFailed, PrecisionNotKept
from enginehouse.states import ENDED, JOB_ENDED, AttemptState, BuildState, JobState, PoolMode, WorkerMode, job_state
from enginehouse.work import Claim
from scheduler import control, jobs, quarantine, tokens
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.registry.tables import Artifact, Attempt, Build, EventRow, Job, OutboxRow
from scheduler.settings import Settings

MODEL = (Path(onnx.__file__).parent / "backend/test/data/pytorch-converted/test_Linear/model.onnx").read_bytes()


STEPS = 120
WEIGHTS = {
    "submit": 4,
    "round": 2,
    "deliver": 3,
    "work": 6,
    "overtaken": 2,
    "answer": 8,
    "cancel": 1,
    "reboot": 1,
    "silence": 1,
    "beat": 2,
    "operate": 2,
}


class Walk:
    """Workers and clients doing anything at any time."""

    def __init__(self, folder: Path, seed: int):
        self.random = random.Random(seed)
        url = f"sqlite:///{folder / 'db'}"
        upgrade(url)
        self.farm = Farm(Settings(data_dir=folder, database_url=url, secret_key="k" * 32, signing_key="5" * 64))
        self.farm.broker.send = lambda *_, **__: False
        tokens.bootstrap(self.farm)
        self.model = push(self.farm, MODEL)
        self.boots = 0
        self.jobs: list[str] = []
        self.claims: list[tuple[Farmhand, Claim]] = []
        self.hands = [self._boot("one"), self._boot("two")]
        self.fences: dict[str, int] = {}
        self.ends: dict[str, tuple[str, str | None]] = {}

    def _boot(self, name: str) -> Farmhand:
        self.boots += 1
        return Farmhand(self.farm, name, f"boot-{self.boots:04}", slots=2)

    def step(self):
        (name,) = self.random.choices(list(WEIGHTS), WEIGHTS.values())
        getattr(self, name)()
        self.the_registry_is_consistent()

    def _who(self) -> int:
        return self.random.randrange(2)

    def submit(self):
        targets = ["openvino:fp32", "openvino:fp16"][: self.random.randint(1, 2)]
        ladder = self.random.random() < 0.5
        self.jobs.append(submit(self.farm, self.model, *targets, seed=self.random.randrange(3), ladder=ladder).id)

    def round(self):
        tick(self.farm)

    def deliver(self, who=None, newest=None):
        """A message arrives: the newest, or any old one again."""
        who = self._who() if who is None else who
        newest = self.random.random() < 0.5 if newest is None else newest
        with self.farm.read() as session:
            rows = session.scalars(select(OutboxRow).order_by(OutboxRow.id.desc() if newest else OutboxRow.id)).all()
        if rows:
            try:
                claim = self.hands[who].claim(rows[0].body["build"])
            except AttemptStale:
                return
            self.claims.append((self.hands[who], claim))

    def answer(self):
        """Some claim, perhaps a stale one, is answered."""
        if not self.claims:
            return
        how = self.random.choice(["complete", "complete", "crash", "refuse", "degrade", "release", "cancelled"])
        hand, claim = self.random.choice(self.claims[-6:])
        before = self._build(claim.build)
        current = before.fence == claim.fence and before.state in {BuildState.RUNNING, BuildState.CANCELLING}
        try:
            if how == "complete":
                content = hashlib.sha256(claim.recipe.model_dump_json().encode()).digest()
                hand.complete(
                    claim, content, agrees=str(claim.recipe.target) == "openvino:fp32" or bool(claim.recipe.seed)
                )
            elif how == "crash":
                hand.fail(claim)
            elif how == "refuse":
                hand.fail(claim, ConversionFailed("no").failure())
            elif how == "degrade":
                hand.fail(claim, PrecisionNotKept("no").failure())
            else:
                hand.fail(claim, released=how == "release", cancelled=how == "cancelled")
        except (AttemptStale, Conflict):
            assert not (current and before.state == BuildState.RUNNING), "the holder was refused"
        else:
            after = self._build(claim.build)
            assert current or (before.state, before.fence) == (after.state, after.fence), "a stale answer was taken"

    def _build(self, build: str) -> Build:
        with self.farm.read() as session:
            return session.get_one(Build, build)

    def work(self, who=None):
        """The usual way: a round, and its newest message arrives."""
        who = self._who() if who is None else who
        self.round()
        self.deliver(who, newest=True)

    def overtaken(self):
        """A worker falls silent, and another one gets the build while the first still holds it."""
        who = self._who()
        self.work(who)
        self.silence()
        self.beat(1 - who)
        self.work(1 - who)

    def cancel(self):
        if self.jobs:
            jobs.cancel(self.farm, me(self.farm), self.random.choice(self.jobs))

    def reboot(self):
        who = self._who()
        self.hands[who] = self._boot(["one", "two"][who])

    def operate(self):
        """An operator does something to a worker, the pool or the farm, or lets something out of quarantine."""
        who = me(self.farm)
        how = self.random.choice(["worker", "worker", "pool", "farm", "release", "release"])
        if how == "worker":
            mode = self.random.choice([*WorkerMode, WorkerMode.OPEN, WorkerMode.OPEN])
            control.set_worker(self.farm, who, self.random.choice(["one", "two"]), mode)
        elif how == "pool":
            control.set_pool(self.farm, who, self.hands[0].signed_on.pool, self.random.choice(list(PoolMode)))
        elif how == "farm":
            control.set_maintenance(self.farm, who, self.random.random() < 0.3)
        else:
            self.release()

    def release(self):
        with self.farm.read() as session:
            held = quarantine.list_(session).items
        for item in held:
            quarantine.release(self.farm, me(self.farm), item.build)

    def silence(self):
        let_leases_end(self.farm)

    def beat(self, who=None):
        who = self._who() if who is None else who
        self.hands[who].beat(*[claim for hand, claim in self.claims if hand is self.hands[who]])

    def the_registry_is_consistent(self):
        with self.farm.read() as session:
            live = [AttemptState.DISPATCHED.value, AttemptState.RUNNING.value]
            for build in session.scalars(select(Build)):
                mine = (Attempt.build_id == build.id) & Attempt.state.in_(live)
                current = session.scalar(select(func.count()).select_from(Attempt).where(mine))
                moving = build.state in {BuildState.DISPATCHED, BuildState.RUNNING, BuildState.CANCELLING}
                assert current == (1 if moving else 0), (build.state, current)
                assert (build.ended is not None) == (build.state in ENDED)
                assert build.artifact_id is not None or build.state != BuildState.SUCCEEDED
                assert build.joined_to is None or build.state == BuildState.WAITING
                assert 0 <= build.tries <= self.farm.settings.max_attempts
                self.fencing_only_grows(session, build)
                self.an_end_is_final(build.id, build.state, build.artifact_id)
            for job in session.scalars(select(Job)):
                rows = session.scalars(select(Build).where(Build.job_id == job.id).order_by(Build.rung)).all()
                ladders = [
                    [row, *(one for one in rows if one.ladder_of == row.id)] for row in rows if row.ladder_of is None
                ]
                for first, *further in ladders:
                    assert [rung.rung for rung in further] == list(range(1, len(further) + 1))
                    assert not further or job.ladder
                    assert all(rung.state == BuildState.FAILED for rung in [first, *further][:-1])
                replaced = [BuildState(rung.state) for ladder in ladders for rung in ladder[:-1]]
                assert job.state == job_state([BuildState(ladder[-1].state) for ladder in ladders], replaced)
                self.an_end_is_final(job.id, job.state, None)

    def fencing_only_grows(self, session: Session, build: Build):
        """From one look to the next, and from each attempt to the one after it; the newest claim has the build's."""
        assert build.fence >= self.fences.get(build.id, 0), "fencing went back"
        self.fences[build.id] = build.fence
        mine = (Attempt.build_id == build.id) & Attempt.fence.is_not(None)
        given = session.scalars(select(Attempt.fence).where(mine).order_by(Attempt.number)).all()
        assert given == list(range(1, build.fence + 1)), "a fencing number was given twice, or to nobody"

    def an_end_is_final(self, id_: str, state: str, artifact: str | None):
        """What has ended once is found as it ended, whatever came later."""
        assert self.ends.get(id_, (state, artifact)) == (state, artifact), "an end was not final"
        if state in {*ENDED, *JOB_ENDED}:
            self.ends[id_] = (state, artifact)

    def calm(self):
        for name in ("one", "two"):
            control.set_worker(self.farm, me(self.farm), name, WorkerMode.OPEN)
        hand = self._boot("calm")
        control.set_pool(self.farm, me(self.farm), hand.signed_on.pool, PoolMode.OPEN)
        control.set_maintenance(self.farm, me(self.farm), False)
        for _ in range(200):
            let_leases_end(self.farm)
            hand.beat()
            skip_backoff(self.farm)
            tick(self.farm)
            with self.farm.read() as session:
                sent = session.scalars(select(Build.id).where(Build.state == BuildState.DISPATCHED.value)).all()
                left = session.scalar(select(func.count()).select_from(Job).where(Job.state.not_in(list(JOB_ENDED))))
            for build in sent:
                hand.complete(hand.claim(build), build.encode())
            if not left:
                break

    def all_ended(self):
        with self.farm.read() as session:
            for job in session.scalars(select(Job)):
                assert JobState(job.state) in JOB_ENDED, job.state
                ended = [f"job.{state}" for state in JOB_ENDED]
                mine = (EventRow.job_id == job.id) & EventRow.kind.in_(ended)
                assert session.scalar(select(func.count()).select_from(EventRow).where(mine)) == 1
            for build in session.scalars(select(Build)):
                assert build.state in ENDED
                won = (Attempt.build_id == build.id) & (Attempt.state == AttemptState.SUCCEEDED.value)
                assert (session.scalar(select(func.count()).select_from(Attempt).where(won)) or 0) <= 1
            proven = select(Artifact.cache_key, func.count()).where(Artifact.agrees.is_(True))
            keys = session.execute(proven.group_by(Artifact.cache_key)).all()
            assert all(count == 1 for _, count in keys), "the same thing was built twice"


@pytest.mark.parametrize("seed", range(8))
def test_every_job_ends_once_whatever_happens(tmp_path, seed):
    walk = Walk(tmp_path, seed)
    for _ in range(STEPS):
        walk.step()
    walk.calm()
    walk.all_ended()
    walk.farm.dispose()

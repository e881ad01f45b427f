"""Uploads, builds, pins, deletions, crashes and collections in any order, and inside of one another.

Nothing that is needed or was promised is ever missing; when everything is given up, nothing is left.
"""

from __future__ import annotations

import atexit
import hashlib
import io
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import numpy as np
import onnx
from clock import pass_time, rows
from farmhand import Farmhand, let_leases_end, me, skip_backoff, submit, tick
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from sqlalchemy import delete, select

from enginehouse.errors import (
    ArtifactEvicted,
    AttemptStale,
    Conflict,
    DatasetMismatch,
    NotFound,
    RequestError,
    UploadIncomplete,
)
from enginehouse.states import ENDED, JOB_ENDED, AttemptState
from enginehouse.uploads import DatasetRequest, ModelRequest, PartRequest, PartsRequest, UploadedFile, UploadRequest
from enginehouse.work import Claim, Complete, KeptUpdate, PublishFile, PublishReply, PublishRequest, kept_key
from scheduler import attempts, blobs, datasets, jobs, models, tokens, toolchain_caches, uploads
from scheduler.farm import Farm
from scheduler.registry.migrate import upgrade
from scheduler.registry.tables import (
    Artifact,
    Attempt,
    Blob,
    Build,
    Dataset,
    Holding,
    Job,
    Model,
    OutboxRow,
    Pin,
    ToolchainCache,
    Upload,
)
from scheduler.retention import pins
from scheduler.retention.run import run
from scheduler.settings import Settings

GRACE_S = 3 * 3600
KEEP_DAYS = 2
DAY = 24.0


@cache
def _migrated() -> Path:
    """An empty registry: to copy it is faster than to migrate one for every walk."""
    path = Path(tempfile.mkdtemp(prefix="enginehouse-registry-")) / "db"
    atexit.register(shutil.rmtree, path.parent)
    upgrade(f"sqlite:///{path}")
    return path


def _model(number: int) -> bytes:
    path = Path(onnx.__file__).parent / "backend/test/data/pytorch-converted/test_Linear/model.onnx"
    found = onnx.load(path)
    found.doc_string = f"number {number}"
    return found.SerializeToString()


def _dataset(number: int) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{"0": np.full((2, 4, 10), float(number), np.float32)})
    return file.getvalue()


MODELS = [_model(number) for number in range(2)]
DATASETS = [_dataset(number) for number in range(2)]
UPLOADED = [*MODELS, *DATASETS, b"bytes of nothing"]
ENGINES = [b"bytes of nothing", b"an engine", MODELS[0]]
"""What workers publish; some of it a client has sent before."""
NAMES = [hashlib.sha256(content).hexdigest() for content in UPLOADED]


class _Killed(BaseException):
    """The process dies here."""


@dataclass
class _Held:
    """A claim, and what its worker was told when it asked where the files go."""

    hand: Farmhand
    claim: Claim
    content: bytes = b""
    asked: float = 0.0
    reply: PublishReply | None = None


which = st.integers(0, 9)
at = st.integers(0, 3)


class Retention(RuleBasedStateMachine):
    """Clients, workers and the operator, over the real services, on SQLite and a local store."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp(prefix="enginehouse-retention-"))
        url = f"sqlite:///{self.folder / 'db'}"
        shutil.copy(_migrated(), self.folder / "db")
        self.farm = Farm(
            Settings(
                data_dir=self.folder,
                database_url=url,
                secret_key="k" * 32,
                signing_key="5" * 64,
                gc_grace_s=GRACE_S,
                keep_days=KEEP_DAYS,
                lease_s=3000,  # longer than a test, and shorter than let_leases_end thinks of
                dispatch_expires_s=3000,
                keep_failed_days=1,
                keep_logs_days=0,  # their writes would stand between what is walked through here
                keep_events_days=0,
            )
        )
        self.farm.broker.send = lambda *_, **__: False
        tokens.bootstrap(self.farm)
        self.hand = Farmhand(self.farm, slots=4)
        self.hours = 0.0
        self.promised: dict[str, float] = {}
        """SHA-256 to the hour until which the project was promised the bytes."""
        self.open: list[tuple[str, bytes]] = []
        self.held: list[_Held] = []

    def teardown(self) -> None:
        try:
            self._give_everything_up()
        finally:
            self.farm.dispose()
            shutil.rmtree(self.folder)

    # --- what happens inside of something else ------------------------------------------------

    @contextmanager
    def _meanwhile(self, number: int, what: str) -> Iterator[None]:
        """Before the transaction with this number that the body writes, another process does something."""
        happens: dict[str, Callable[[], object]] = {
            "nothing": lambda: None,
            "collected": lambda: run(self.farm),
            "late": lambda: (self._pass(GRACE_S / 3600 + 1), run(self.farm), uploads.sweep(self.farm)),
            "very late": lambda: (
                run(self.farm),
                self._pass(GRACE_S / 3600 + 1),
                run(self.farm),
                uploads.sweep(self.farm),
            ),
            "asked for": self.ask_for_all,
            "published": lambda: [self.publish(i, i) for i in range(len(self.held))],
            "pinned": lambda: self.pin(0),
            "reaped": lambda: (let_leases_end(self.farm), tick(self.farm)),
        }
        count, write = 0, self.farm.write

        @contextmanager
        def interrupted(**how):
            nonlocal count
            count += 1
            if count == number + 1:
                self.farm.write = write
                happens[what]()
                self.farm.write = interrupted
            with write(**how) as session:
                yield session

        self.farm.write = interrupted
        try:
            yield
        finally:
            self.farm.write = write

    others = st.sampled_from(
        ["nothing", "nothing", "collected", "late", "very late", "asked for", "published", "pinned", "reaped"]
    )

    def _pass(self, hours: float) -> None:
        pass_time(self.farm, hours=hours)
        self.hours += hours

    def _promise(self, sha256: str) -> None:
        self.promised[sha256] = self.hours + GRACE_S / 3600

    # --- a client ---------------------------------------------------------------------------------

    def _ask(self, sha256: str, size: int) -> str:
        view = uploads.open_(self.farm, me(self.farm), UploadRequest(sha256=sha256, size=size))
        if view.state == "complete":
            self._promise(sha256)
        return view.id

    @rule(i=which, number=at, meanwhile=others)
    def upload(self, i, number, meanwhile):
        content = UPLOADED[i % len(UPLOADED)]
        with self._meanwhile(number, meanwhile):
            id_ = self._ask(NAMES[i % len(UPLOADED)], len(content))
        if id_ and (id_, content) not in self.open:
            self.open.append((id_, content))

    @rule(i=which)
    def push_bytes(self, i):
        content = UPLOADED[i % len(UPLOADED)]
        digest, _ = blobs.receive(self.farm, iter([content]), None, 10_000, me(self.farm).project)
        self._promise(digest)

    @precondition(lambda self: self.open)
    @rule(i=which, number=at, meanwhile=others, forget=st.booleans())
    def send(self, i, number, meanwhile, forget):
        id_, content = self.open[i % len(self.open)]
        digest = hashlib.sha256(content).hexdigest()
        wanted = PartsRequest(parts=[PartRequest(number=1, sha256=digest)])
        try:
            (url,) = uploads.part_urls(self.farm, me(self.farm), id_, wanted)
            self._put(id_, url.url, content)
        except (NotFound, Conflict):  # swept, or complete
            pass
        with self._meanwhile(number, meanwhile):
            began = self.hours
            try:
                uploads.complete(self.farm, me(self.farm), id_)
            except NotFound:
                return  # swept
            except UploadIncomplete:
                raise AssertionError("its only part was sent") from None
        self.promised[digest] = began + GRACE_S / 3600
        if forget:
            self.open.remove((id_, content))

    def _put(self, upload: str, url: str, content: bytes) -> None:
        query = {key: values[0] for key, values in parse_qs(urlsplit(url).query).items()}
        expires, digest = int(query["expires"]), hashlib.sha256(content).hexdigest()
        uploads.receive_part(self.farm, upload, 1, digest, expires, query["signature"], iter([content]))

    def _available(self, sha256: str) -> bool:
        return self.promised.get(sha256, -1.0) > self.hours

    @rule(i=st.integers(0, len(MODELS) - 1), number=at, meanwhile=others)
    def make_model(self, i, number, meanwhile):
        request = ModelRequest(name="m", files=[UploadedFile(path="model", sha256=NAMES[i])])
        promised = self._available(NAMES[i])
        with self._meanwhile(number, meanwhile):
            try:
                models.create(self.farm, me(self.farm), request)
            except NotFound:
                assert not promised or "late" in meanwhile, "bytes that were promised are gone"

    @rule(i=st.integers(0, len(DATASETS) - 1), number=at, meanwhile=others)
    def make_dataset(self, i, number, meanwhile):
        sha256 = NAMES[len(MODELS) + i]
        promised = self._available(sha256)
        with self._meanwhile(number, meanwhile):
            try:
                datasets.create(self.farm, me(self.farm), DatasetRequest(name="d", sha256=sha256))
            except NotFound:
                assert not promised or "late" in meanwhile, "bytes that were promised are gone"

    @rule(i=st.integers(0, len(MODELS) - 1))
    def push_model(self, i):
        models.receive(self.farm, me(self.farm), "m", iter([MODELS[i]]), None)

    @rule(i=st.integers(0, len(MODELS) - 1), seed=st.integers(0, 2), ladder=st.booleans(), with_data=st.booleans())
    def submit(self, i, seed, ladder, with_data):
        more = {"dataset": "d"} if with_data else {}
        with suppress(NotFound, DatasetMismatch):
            submit(self.farm, NAMES[i], "openvino:fp16", seed=seed, ladder=ladder, **more)

    @rule(i=which)
    def cancel(self, i):
        found = rows(self.farm, Job)
        if found:
            jobs.cancel(self.farm, me(self.farm), found[i % len(found)].id)

    @rule(i=which)
    def pin(self, i):
        found = rows(self.farm, Artifact)
        if found:
            with suppress(ArtifactEvicted):
                pins.pin(self.farm, me(self.farm), found[i % len(found)].id, "")

    @rule(i=which)
    def unpin(self, i):
        found = rows(self.farm, Pin)
        if found:
            pins.unpin(self.farm, me(self.farm), found[i % len(found)].artifact_id)

    @rule(i=which)
    def delete_model(self, i):
        found = rows(self.farm, Model)
        if found:
            with suppress(Conflict):
                models.delete(self.farm, me(self.farm), found[i % len(found)].id)

    @rule(i=which)
    def delete_dataset(self, i):
        found = rows(self.farm, Dataset)
        if found:
            with suppress(Conflict):
                one = found[i % len(found)]
                datasets.delete(self.farm, me(self.farm), f"{one.name}@{one.version}")

    # --- a worker ---------------------------------------------------------------------------------

    @rule()
    def claim(self):
        if not self.held:
            self.push_model(0)
            self.submit(0, 0, ladder=False, with_data=False)
        skip_backoff(self.farm)
        tick(self.farm)
        for owed in rows(self.farm, OutboxRow)[-3:]:
            with suppress(AttemptStale):
                claim = self.hand.claim(owed.body["build"])
                if all(held.claim.fence != claim.fence or held.claim.build != claim.build for held in self.held):
                    self.held.append(_Held(self.hand, claim))

    @precondition(lambda self: self.held)
    @rule(i=which, engine=which, number=at, meanwhile=others)
    def ask_to_publish(self, i, engine, number, meanwhile):
        with self._meanwhile(number, meanwhile):
            self.publish(i, engine)

    def publish(self, i: int, engine: int) -> None:
        held = self.held[i % len(self.held)]
        if held.reply is not None:
            return
        content = ENGINES[engine % len(ENGINES)]
        digest = hashlib.sha256(content).hexdigest()
        wanted = PublishFile(sha256=digest, size=len(content), parts=[digest])
        request = PublishRequest(fence=held.claim.fence, files=[wanted])
        with suppress(AttemptStale):
            held.reply = attempts.publish(self.farm, held.claim.build, request)
            held.content, held.asked = content, self.hours

    @precondition(lambda self: any(held.reply for held in self.held))
    @rule(i=which, number=at, meanwhile=others, agrees=st.booleans(), keep=st.booleans())
    def complete(self, i, number, meanwhile, agrees, keep):
        published = [held for held in self.held if held.reply]
        held = published[i % len(published)]
        assert held.reply is not None
        slot = held.reply.slots[0]
        if not slot.have and slot.upload:
            with suppress(NotFound, Conflict):  # swept with an attempt that has ended, or sent before
                self._put(slot.upload, slot.parts[0].url, held.content)
        sent = self._answer(held, [] if slot.have else [slot.upload], agrees=agrees)
        with self._meanwhile(number, meanwhile):
            try:
                attempts.complete(self.farm, held.claim.build, sent)
            except (AttemptStale, NotFound):
                expired = not slot.have and self.hours - held.asked >= DAY  # the store keeps parts for a day
                assert expired or not self._runs(held), "a promise to a running attempt was broken"
            except RequestError as error:
                raise AssertionError(f"a promise to a running attempt was broken: {error.detail}") from error
        if not keep:
            self.held.remove(held)

    def _answer(self, held: _Held, sent: list[str], *, agrees: bool) -> Complete:
        """As Farmhand has it, for what was published before."""
        made = held.hand.answer(held.claim, held.content, agrees=agrees)
        return made.model_copy(update={"uploads": sent})

    def _runs(self, held: _Held) -> bool:
        with self.farm.read() as session:
            query = select(Attempt).where(Attempt.build_id == held.claim.build, Attempt.fence == held.claim.fence)
            found = session.scalar(query)
        return found is not None and found.state == AttemptState.RUNNING

    @precondition(lambda self: self.held)
    @rule(i=which, how=st.sampled_from(["failed", "released", "cancelled"]))
    def fail(self, i, how):
        held = self.held.pop(i % len(self.held))
        with suppress(AttemptStale, Conflict):
            self.hand.fail(held.claim, **({} if how == "failed" else {how: True}))

    @rule()
    def workers_are_lost(self):
        let_leases_end(self.farm)
        tick(self.farm)
        self.hand.beat()

    @rule(i=st.integers(0, 2), number=at, meanwhile=others)
    def keep_a_toolchains_cache(self, i, number, meanwhile):
        content = [b"timings", b"an engine", b"more timings"][i]
        found = rows(self.farm, ToolchainCache)
        version = found[0].version if found else 0
        update = KeptUpdate(label="l", version=version, sha256=hashlib.sha256(content).hexdigest())
        with self._meanwhile(number, meanwhile if "late" not in meanwhile else "collected"):
            toolchain_caches.replace(self.farm, kept_key("l"), update, iter([content]))

    # --- the operator and the clock ---------------------------------------------------------------

    @rule(hours=st.sampled_from([1.0, GRACE_S / 3600 + 0.5, 30.0, 24.0 * (KEEP_DAYS + 1)]))
    def time_passes(self, hours):
        self._pass(hours)

    @rule(number=st.integers(0, 2), meanwhile=others)
    def collect(self, number, meanwhile):
        with self._meanwhile(number, meanwhile):
            run(self.farm)

    @rule(hours=st.sampled_from([GRACE_S / 3600 + 0.5, 24.0 * (KEEP_DAYS + 1)]), asked=st.booleans())
    def what_is_not_needed_becomes_due(self, hours, asked):
        """Marked, and the grace is over; perhaps it is asked for in the last moment."""
        run(self.farm)
        self._pass(hours)
        if asked:
            self.ask_for_all()

    def ask_for_all(self) -> None:
        for content, name in zip(UPLOADED, NAMES, strict=True):
            self._ask(name, len(content))

    @rule()
    def sweep(self):
        uploads.sweep(self.farm)

    @rule()
    def dies_between_row_and_object(self):
        """The collector is killed before it deletes an object."""

        def killed(_key):
            raise _Killed

        self.farm.store.delete = killed
        try:
            with suppress(_Killed):
                run(self.farm)
        finally:
            del self.farm.store.delete

    @rule()
    def dies_between_object_and_row(self):
        self.farm.store.put(f"blobs/zz/dead-{self.hours}-{len(rows(self.farm, Blob))}", iter([b"nobody's"]))

    # --- what always holds --------------------------------------------------------------------------

    @invariant()
    def every_blob_can_be_read(self):
        for blob in rows(self.farm, Blob):
            assert self.farm.store.digest(blob.key) == blob.sha256

    @invariant()
    def what_is_needed_is_there(self):
        known = {blob.sha256 for blob in rows(self.farm, Blob)}
        pinned = {pin.artifact_id for pin in rows(self.farm, Pin)}
        for model in rows(self.farm, Model):
            assert {file["sha256"] for file in model.files} <= known
        for dataset in rows(self.farm, Dataset):
            assert dataset.sha256 in known
        for artifact in rows(self.farm, Artifact):
            if artifact.evicted is None:
                assert {file["sha256"] for file in artifact.manifest["files"]} <= known
            assert artifact.evicted is None or artifact.id not in pinned
        for held in self.held:
            if held.reply and held.reply.slots[0].have and self._runs(held):
                assert held.reply.slots[0].sha256 in known, "promised to an attempt that runs"
        for sha256 in NAMES:
            assert not self._available(sha256) or sha256 in known, "promised to the project"

    @invariant()
    def what_runs_has_its_inputs(self):
        models_ = {model.id for model in rows(self.farm, Model)}
        known = {blob.sha256 for blob in rows(self.farm, Blob)}
        for build in rows(self.farm, Build):
            if build.state not in ENDED:
                assert build.model_id in models_
                assert build.recipe["dataset"] is None or build.recipe["dataset"] in known

    # --- the end --------------------------------------------------------------------------------------

    def _give_everything_up(self) -> None:
        for job in rows(self.farm, Job):
            jobs.cancel(self.farm, me(self.farm), job.id)
        let_leases_end(self.farm)
        tick(self.farm)
        assert all(job.state in JOB_ENDED for job in rows(self.farm, Job))
        for pin in rows(self.farm, Pin):
            pins.unpin(self.farm, me(self.farm), pin.artifact_id)
        for model in rows(self.farm, Model):
            models.delete(self.farm, me(self.farm), model.id)
        for one in rows(self.farm, Dataset):
            datasets.delete(self.farm, me(self.farm), f"{one.name}@{one.version}")
        with self.farm.write() as session:
            session.execute(delete(ToolchainCache))
        for _ in range(4):
            pass_time(self.farm, days=KEEP_DAYS + 1)
            run(self.farm)
            uploads.sweep(self.farm)
        assert all(artifact.evicted for artifact in rows(self.farm, Artifact))
        left = [path for path in (self.folder / "store").rglob("*") if path.is_file()]
        assert (rows(self.farm, Blob), rows(self.farm, Holding), rows(self.farm, Upload), left) == ([], [], [], [])


Retention.TestCase.settings = settings(
    max_examples=10,
    stateful_step_count=40,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
TestRetention = Retention.TestCase

"""A worker's side of the registry, spoken directly to the scheduler's services: sign on, claim, publish, complete."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import timedelta
from urllib.parse import parse_qs, urlsplit

from sqlalchemy import update

from enginehouse.bundle import BundleFile, Manifest
from enginehouse.capability import Capability, Hardware
from enginehouse.errors import BuildCrashed, Failure
from enginehouse.report import OutputVerification, Report, Verification
from enginehouse.request import JobRequest
from enginehouse.targets import Precision
from enginehouse.views import BuildView, JobView
from enginehouse.work import Claim, ClaimRequest, Complete, Fail, Heartbeat, Held, PublishFile, PublishRequest, SignOn
from scheduler import attempts, builds, dispatch, jobs, models, tokens, uploads, workers
from scheduler.farm import Farm
from scheduler.registry.engine import now
from scheduler.registry.tables import Attempt, Build, Worker
from scheduler.waiting import Waiting

OPENVINO = Capability(
    backend="openvino",
    toolchain={"openvino": "2026.4.1"},
    precisions=[Precision.FP32, Precision.FP16],
    formats=["onnx"],
    options_schema={
        "type": "object",
        "properties": {"threads": {"type": "integer", "default": 0}},
        "additionalProperties": False,
    },
)


def me(farm: Farm) -> tokens.Principal:
    with farm.read() as session:
        return tokens.loopback_principal(session)


def submit(farm: Farm, model: str, *targets: str, **more) -> JobView:
    return jobs.submit(farm, me(farm), JobRequest(model=model, targets=list(targets), **more))[0]


def job(farm: Farm, id_: str) -> JobView:
    with farm.read() as session:
        return jobs.get(session, me(farm), id_, Waiting(session, farm.settings))


def build(farm: Farm, id_: str) -> BuildView:
    with farm.read() as session:
        return builds.get(session, me(farm), id_, Waiting(session, farm.settings))


def push(farm: Farm, content: bytes, name: str = "model") -> str:
    return models.receive(farm, me(farm), name, iter([content]), None)[0].id


class Farmhand:
    """One worker, or one boot of it."""

    def __init__(
        self,
        farm: Farm,
        name: str = "one",
        boot: str = "boot-0001",
        slots: int = 1,
        tags: Iterable[str] = ("cpu",),
        capabilities: Iterable[Capability] = (OPENVINO,),
        hardware_class: str = "cpu-test-2c",
        cores: int = 2,
        memory_mb: int = 1024,
        pipeline: str = "1",
    ) -> None:
        self.farm = farm
        self.boot = boot
        hardware = Hardware(
            hardware_class=hardware_class, tags=sorted(tags), cpu_model="test", cores=cores, memory_mb=memory_mb
        )
        announced = SignOn(
            name=name, boot_id=boot, slots=slots, pipeline=pipeline, hardware=hardware, capabilities=list(capabilities)
        )
        self.signed_on = workers.sign_on(farm, me(farm), announced)

    def claim(self, id_: str) -> Claim:
        number = len(build(self.farm, id_).attempts)
        return attempts.claim(
            self.farm, id_, ClaimRequest(worker=self.signed_on.worker, boot_id=self.boot, attempt=number)
        )

    def beat(self, *claims: Claim):
        held = [Held(build=claim.build, fence=claim.fence) for claim in claims]
        return workers.heartbeat(self.farm, Heartbeat(worker=self.signed_on.worker, boot_id=self.boot, held=held))

    def bundle(
        self,
        claim: Claim,
        content: bytes = b"an engine",
        *,
        agrees: bool = True,
        error: float = 0.5,
        sqnr_db: float | None = None,
    ) -> Complete:
        digest = hashlib.sha256(content).hexdigest()
        wanted = PublishFile(sha256=digest, size=len(content), parts=[digest])
        (slot,) = attempts.publish(self.farm, claim.build, PublishRequest(fence=claim.fence, files=[wanted])).slots
        sent = []
        if not slot.have:
            query = {key: values[0] for key, values in parse_qs(urlsplit(slot.parts[0].url).query).items()}
            uploads.receive_part(
                self.farm, slot.upload, 1, digest, int(query["expires"]), query["signature"], iter([content])
            )
            sent = [slot.upload]
        answer = self.answer(claim, content, agrees=agrees, error=error, sqnr_db=sqnr_db)
        return answer.model_copy(update={"uploads": sent})

    def answer(
        self,
        claim: Claim,
        content: bytes,
        *,
        agrees: bool = True,
        error: float = 0.5,
        sqnr_db: float | None = None,
    ) -> Complete:
        """What is said of a bundle with these bytes, without sending any."""
        digest = hashlib.sha256(content).hexdigest()
        file = BundleFile(path="model.xml", sha256=digest, size=len(content), role="model")
        manifest = Manifest(
            model=claim.recipe.model,
            target=claim.recipe.target,
            entry="model.xml",
            runtime={"openvino": "2026.4.1"},
            hardware_class="cpu-test-2c",
            files=[file],
        )
        output = OutputVerification(
            name="y", dtype="float32", shape=[1], max_abs_error=error, cosine=0.9, sqnr_db=sqnr_db, agrees=agrees
        )
        verification = Verification(
            reference="r", inputs="seeded", samples=1, shapes={}, tolerance={}, outputs=[output], agrees=agrees
        )
        report = Report(
            model=claim.recipe.model, target=str(claim.recipe.target), size=len(content), verification=verification
        )
        return Complete(fence=claim.fence, uploads=[], manifest=manifest, report=report)

    def complete(self, claim: Claim, content: bytes = b"an engine", **report) -> BuildView:
        return attempts.complete(self.farm, claim.build, self.bundle(claim, content, **report))

    def fail(self, claim: Claim, failure: Failure | None = None, **how) -> BuildView:
        said = failure if failure or how else BuildCrashed("died by SIGSEGV").failure()
        return attempts.fail(self.farm, claim.build, Fail(fence=claim.fence, failure=said, **how))

    def build(self, id_: str, content: bytes = b"an engine") -> BuildView:
        return self.complete(self.claim(id_), content)


def tick(farm: Farm) -> None:
    dispatch.tick(farm)


def skip_backoff(farm: Farm) -> None:
    with farm.write() as session:
        session.execute(update(Build).values(not_before=now(session) - timedelta(seconds=1)))


def let_leases_end(farm: Farm) -> None:
    """As if every worker had been silent, and every dispatch unclaimed, for long enough."""
    with farm.write() as session:
        past = now(session) - timedelta(hours=1)
        session.execute(update(Attempt).values(until=past))
        session.execute(update(Worker).values(last_seen=past))

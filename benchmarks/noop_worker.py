"""A worker whose builds do nothing: ``python -m benchmarks.noop_worker FOLDER``; the settings come as a worker's do.

It signs on, claims, publishes a bundle of one file that the farm has, and completes. FOLDER/times gets a line for each
build: when it was claimed and when it was complete, seconds of the monotonic clock.
"""

from __future__ import annotations

import hashlib
import sys
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from enginehouse.bundle import BundleFile, Manifest
from enginehouse.capability import Capability, Hardware
from enginehouse.errors import EnginehouseError
from enginehouse.report import Report
from enginehouse.targets import Precision
from enginehouse.work import ClaimRequest, Heartbeat, Held, SignOn
from workers.celery_app import Waker, celery_app, consumer
from workers.child.messages import Built
from workers.farm_client import FarmClient
from workers.publish import publish
from workers.settings import WorkerSettings

CONTENT = b"nothing"
BACKEND = "noop"
_PATIENCE_S = 9.0


class NoopAgent:
    """As much of ``workers.agent.Agent`` as a consumer needs."""

    open = True

    def __init__(self, settings: WorkerSettings, folder: Path) -> None:
        self.settings = settings
        self.deaf: Any = None
        self.opened: Any = None
        self.client = FarmClient(settings.url, settings.token)
        self.boot = uuid.uuid4().hex
        self.bundle = folder / "bundle"
        self.bundle.mkdir()
        (self.bundle / "nothing").write_bytes(CONTENT)
        self.times = (folder / "times").open("w", buffering=1)
        self._held: dict[str, Held] = {}
        self._stopping = threading.Event()
        capability = Capability(
            backend=BACKEND, toolchain={BACKEND: "1"}, precisions=[Precision.FP32], formats=["onnx"], options_schema={}
        )
        hardware = Hardware(hardware_class="noop", tags=["noop"], cpu_model="", cores=1, memory_mb=1024)
        self.signed_on = self.client.sign_on(
            SignOn(
                name=settings.worker_name, boot_id=self.boot, slots=settings.slots, pipeline="1", hardware=hardware,
                capabilities=[capability],
            )
        )  # fmt: skip
        threading.Thread(target=self._beat, daemon=True).start()

    def handle(self, build: str, attempt: int) -> None:
        """Claim it and complete it."""
        request = ClaimRequest(worker=self.signed_on.worker, boot_id=self.boot, attempt=attempt)
        try:
            claim = self.client.claim(build, request, _PATIENCE_S)
        except EnginehouseError:
            return  # a message is a hint
        claimed = time.monotonic()
        self._held[build] = Held(build=build, fence=claim.fence)
        file = BundleFile(path="nothing", sha256=hashlib.sha256(CONTENT).hexdigest(), size=len(CONTENT), role="model")
        recipe = claim.recipe
        manifest = Manifest(
            model=recipe.model, target=recipe.target, entry="nothing", runtime={BACKEND: "1"}, hardware_class="noop",
            settings={"seed": recipe.seed}, files=[file],
        )  # fmt: skip
        report = Report(model=recipe.model, target=str(recipe.target), size=len(CONTENT))
        publish(self.client, claim, Built(manifest=manifest, report=report), self.bundle)
        self._held.pop(build)
        self.times.write(f"{claimed} {time.monotonic()}\n")

    def stop(self) -> None:
        """Leave."""
        self._stopping.set()

    def _beat(self) -> None:
        while not self._stopping.wait(self.signed_on.heartbeat_s):
            held = list(self._held.values())
            self.client.heartbeat(Heartbeat(worker=self.signed_on.worker, boot_id=self.boot, held=held))


def main() -> None:
    """Serve until SIGTERM."""
    settings = WorkerSettings()
    agent: Any = NoopAgent(settings, Path(sys.argv[1]))
    waker = Waker()
    queues = (agent.signed_on.own_queue, agent.signed_on.queue)
    consumer(celery_app(settings.broker_url, queues, agent, waker), agent, waker).start()


if __name__ == "__main__":
    main()

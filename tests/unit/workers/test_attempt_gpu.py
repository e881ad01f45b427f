"""An attempt that needs a GPU: it holds one, its child sees that one alone, and what the toolchain keeps goes along.

The agent, the child's process and its confinement are real; the driver's list of GPUs and the build are not.
"""

from __future__ import annotations

import hashlib
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from contract.backends_models import HARDWARE, convolution, write
from unit.workers import gpu_child, misbehaving
from unit.workers.small_farm import SmallFarm

import workers.attempt
from enginehouse.capability import Gpu
from enginehouse.errors import Conflict
from enginehouse.targets import parse_target
from enginehouse.work import KeptUpdate, KeptView, kept_key
from workers.agent import Agent
from workers.farm_client import FarmClient
from workers.gpus import one_of
from workers.probe import Found
from workers.probe.nvidia import Card
from workers.settings import WorkerSettings

CARD = Card(Gpu(name="NVIDIA H200", kind="nvidia", compute_capability="9.0"), "GPU-0123", "13.0")
LABEL = "tensorrt timing cache | NVIDIA H200 | compute capability 9.0 | TensorRT 11.4.0.106 (tensorrt) | CUDA 13.0"


class Client(FarmClient):
    """The farm's toolchain caches, as tests/integration/api/test_caches.py has them over HTTP."""

    have: ClassVar[dict[str, tuple[int, bytes]]] = {}

    def kept(self, key: str, patience_s: float) -> KeptView | None:
        if key not in self.have:
            return None
        version, content = self.have[key]
        digest = hashlib.sha256(content).hexdigest()
        return KeptView(
            key=key, label=LABEL, version=version, sha256=digest, size=len(content), url="/kept",
            updated="2026-01-01T00:00:00Z",
        )  # fmt: skip

    def download(self, url: str) -> Iterator[bytes]:
        if url == "/kept":
            yield self.have[kept_key(LABEL)][1]
        else:
            yield from super().download(url)

    def keep(self, key: str, update: KeptUpdate, content: bytes, patience_s: float) -> KeptView:
        version, _ = self.have.get(key, (0, b""))
        if version != update.version:
            raise Conflict("another worker was quicker")
        self.have[key] = (version + 1, content)
        found = self.kept(key, 0)
        assert found is not None
        return found


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[SmallFarm]:
    made = SmallFarm(write(convolution(), tmp_path / "source"), target="tensorrt:fp16")
    yield made
    made.close()


@pytest.fixture
def agent(farm: SmallFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    locks = tmp_path / "locks"
    locks.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(locks))
    monkeypatch.setattr(workers.attempt, "cards", lambda: [CARD])
    monkeypatch.setattr("workers.backends.tensorrt.versions.installed", lambda: ("tensorrt", "11.4.0.106"))
    monkeypatch.setattr(workers.attempt, "main", gpu_child.main)
    monkeypatch.setattr(Client, "have", {})
    settings = WorkerSettings(
        url=farm.url, token="t0ken", worker_name="w", scratch_dir=tmp_path / "scratch", stop_grace_s=0.2
    )
    made = Agent(settings, Client(farm.url, "t0ken"), Found(HARDWARE, [], threads=1, missing={}))
    made.sign_on()
    beats = threading.Thread(target=made.beat_until_stopped)
    beats.start()
    yield made
    made.stop()
    beats.join(10)
    made.client.close()


def lines(farm: SmallFarm) -> list[str]:
    return [line["text"] for batch in farm.told("log") for line in batch["lines"]]


def test_the_child_sees_its_gpu_alone_and_what_it_learnt_is_shared(farm: SmallFarm, agent: Agent) -> None:
    agent.handle("build_1", 1)
    assert farm.told("fail") == []
    assert len(farm.told("complete")) == 1
    assert "building on NVIDIA H200 (GPU-0123)" in lines(farm)
    assert "sees GPU-0123 by PCI_BUS_ID, had []" in lines(farm)
    assert Client.have == {kept_key(LABEL): (1, b"learnt")}
    agent.handle("build_1", 1)
    assert "sees GPU-0123 by PCI_BUS_ID, had ['learnt']" in lines(farm)
    assert Client.have == {kept_key(LABEL): (2, b"learnt+learnt")}


def test_a_build_that_is_tried_again_is_given_nothing(farm: SmallFarm, agent: Agent) -> None:
    Client.have[kept_key(LABEL)] = (4, b"poison")
    farm.claim = farm.claim.model_copy(update={"attempt": 2})
    agent.handle("build_1", 2)
    assert len(farm.told("complete")) == 1
    assert "sees GPU-0123 by PCI_BUS_ID, had []" in lines(farm)
    assert Client.have == {kept_key(LABEL): (4, b"poison")}  # and what it learnt waits here
    farm.claim = farm.claim.model_copy(update={"attempt": 1})
    agent.handle("build_1", 1)
    assert "sees GPU-0123 by PCI_BUS_ID, had ['poison', 'learnt']" in lines(farm)


def test_without_the_option_nothing_is_shared(farm: SmallFarm, agent: Agent) -> None:
    recipe = farm.claim.recipe
    target = recipe.target.model_copy(update={"options": {"timing_cache": False}})
    farm.claim = farm.claim.model_copy(update={"recipe": recipe.model_copy(update={"target": target})})
    agent.handle("build_1", 1)
    assert len(farm.told("complete")) == 1
    assert Client.have == {}


def test_a_baseline_that_needs_a_gpu_gets_one_and_what_is_kept_is_the_targets_own(
    farm: SmallFarm, agent: Agent
) -> None:
    recipe = farm.claim.recipe
    plain, engine = parse_target("onnxruntime:fp32"), parse_target("tensorrt:fp32")
    for target, baseline, kept in [(plain, engine, []), (recipe.target, plain, [kept_key(LABEL)])]:
        asked = recipe.model_copy(update={"target": target, "baselines": (baseline,)})
        farm.claim = farm.claim.model_copy(update={"recipe": asked})
        agent.handle("build_1", 1)
        assert farm.told("fail") == []
        assert lines(farm).count("sees GPU-0123 by PCI_BUS_ID, had []") == 1 + len(kept)
        assert list(Client.have) == kept


def test_a_build_waits_while_another_has_the_gpu(farm: SmallFarm, agent: Agent) -> None:
    with one_of([CARD], lambda: False):
        thread = threading.Thread(target=agent.handle, args=("build_1", 1))
        thread.start()
        farm.wait_for(lambda: any(name == "phase" for name, _ in farm.calls))
        time.sleep(0.4)
        assert not any(line.startswith("building on") for line in lines(farm))
    thread.join(30)
    assert len(farm.told("complete")) == 1


def test_a_build_that_waits_for_a_gpu_can_be_cancelled(farm: SmallFarm, agent: Agent) -> None:
    with one_of([CARD], lambda: False):
        thread = threading.Thread(target=agent.handle, args=("build_1", 1))
        thread.start()
        farm.wait_for(lambda: any(name == "phase" for name, _ in farm.calls))
        farm.heartbeat = {"known": True, "cancel": [{"build": "build_1", "fence": 7}]}
        thread.join(20)
        assert not thread.is_alive()
    [fail] = farm.told("fail")
    assert (fail["cancelled"], fail["failure"]) == (True, None)


def test_a_build_that_gets_no_gpu_in_time_says_so(farm: SmallFarm, agent: Agent) -> None:
    farm.claim = farm.claim.model_copy(update={"limits": farm.claim.limits.model_copy(update={"time_s": 1})})
    with one_of([CARD], lambda: False):
        agent.handle("build_1", 1)
    [fail] = farm.told("fail")
    assert (fail["failure"]["code"], fail["failure"]["detail"]) == (
        "build.time_exceeded", "no GPU was free within 1 s",
    )  # fmt: skip


def test_a_gpu_that_is_gone_is_the_farms_fault(farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workers.attempt, "cards", list)
    agent.handle("build_1", 1)
    [fail] = farm.told("fail")
    assert (fail["failure"]["code"], fail["failure"]["retried"]) == ("farm.worker_lost", True)


def test_a_cancelled_build_gives_its_gpu_back(farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    real = workers.attempt.start

    def hang(method: Any, main: Any, order: str, memory_mb: int) -> Any:
        work = workers.attempt.Order.model_validate_json(order).work
        return real(method, misbehaving.hang, str(work), memory_mb)

    monkeypatch.setattr(workers.attempt, "start", hang)
    thread = threading.Thread(target=agent.handle, args=("build_1", 1))
    thread.start()
    farm.wait_for(lambda: any(line["text"] == "hanging" for n, b in farm.calls if n == "log" for line in b["lines"]))
    until = time.monotonic() + 0.3
    with one_of([CARD], lambda: time.monotonic() > until) as none:
        assert none is None
    farm.heartbeat = {"known": True, "cancel": [{"build": "build_1", "fence": 7}]}
    thread.join(20)
    began = time.monotonic()
    with one_of([CARD], lambda: time.monotonic() > began + 5) as mine:
        assert mine == CARD
    assert Client.have == {}

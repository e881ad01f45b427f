"""The agent against a small real server, with real builds in real children."""

from __future__ import annotations

import hashlib
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from contract.backends_models import HARDWARE, convolution, write
from unit.workers import misbehaving
from unit.workers.small_farm import SmallFarm

import workers.agent
import workers.attempt
import workers.disk
from enginehouse.errors import FarmUnreachable, StoreUnavailable, WorkerDiskFull
from workers.agent import Agent, own_scratch
from workers.child.parent import warm_up
from workers.child.watch import Stop
from workers.farm_client import FarmClient
from workers.probe import Found
from workers.settings import WorkerSettings


@pytest.fixture(scope="module", autouse=True)
def _warm() -> None:
    warm_up()


@pytest.fixture
def farm(tmp_path: Path) -> Iterator[SmallFarm]:
    made = SmallFarm(write(convolution(), tmp_path / "source"), verify=False, benchmark=False)
    yield made
    made.close()


def agent_for(farm: SmallFarm | str, tmp_path: Path, **settings: Any) -> Agent:
    url = farm if isinstance(farm, str) else farm.url
    made = WorkerSettings(
        url=url, token="t0ken", worker_name="w", scratch_dir=tmp_path / "scratch", stop_grace_s=0.2, **settings
    )
    return Agent(made, FarmClient(url, "t0ken"), Found(HARDWARE, [], threads=1, missing={}))


@pytest.fixture
def agent(farm: SmallFarm, tmp_path: Path) -> Iterator[Agent]:
    made = agent_for(farm, tmp_path)
    made.sign_on()
    beats = threading.Thread(target=made.beat_until_stopped)
    beats.start()
    yield made
    made.stop()
    beats.join(10)
    made.client.close()


def hanging(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every build hang in its work folder instead of building."""
    real = workers.attempt.start

    def start(method: Any, main: Any, order: str, memory_mb: int) -> Any:
        work = workers.attempt.Order.model_validate_json(order).work
        return real(method, misbehaving.hang, str(work), memory_mb)

    monkeypatch.setattr(workers.attempt, "start", start)


def in_thread(agent: Agent) -> threading.Thread:
    thread = threading.Thread(target=agent.handle, args=("build_1", 1))
    thread.start()
    return thread


def lines(farm: SmallFarm) -> list[str]:
    return [line["text"] for batch in farm.told("log") for line in batch["lines"]]


def test_a_build_from_claim_to_complete(farm: SmallFarm, agent: Agent, tmp_path: Path) -> None:
    agent.handle("build_1", 1)
    [claim] = farm.told("claim")
    assert claim == {"worker": "w1", "boot_id": agent.boot_id, "attempt": 1}
    [publish] = farm.told("publish")
    [complete] = farm.told("complete")
    assert farm.told("fail") == []
    assert complete["fence"] == publish["fence"] == 7
    assert complete["manifest"]["model"] == farm.claim.recipe.model
    sent = {hashlib.sha256(data).hexdigest() for data in farm.puts.values()}
    assert sent == {file["sha256"] for file in complete["manifest"]["files"]}
    assert complete["uploads"] == [f"up{index}" for index in range(len(complete["manifest"]["files"]))]
    numbers = [line["seq"] for batch in farm.told("log") for line in batch["lines"]]
    assert numbers == list(range(1, len(numbers) + 1))
    assert any(line.startswith("import: ") for line in lines(farm))
    names = [name for name, _ in farm.calls]
    assert max(i for i, name in enumerate(names) if name == "log") < names.index("complete")
    assert farm.tokens == {"Bearer t0ken"}
    assert list((tmp_path / "scratch/builds").iterdir()) == []


def test_the_second_time_the_input_is_at_hand(farm: SmallFarm, agent: Agent) -> None:
    agent.handle("build_1", 1)
    farm.model = b"no longer to be had"
    agent.handle("build_1", 1)
    assert len(farm.told("complete")) == 2
    assert any(line.startswith("had model.onnx") for line in lines(farm))


def test_a_stale_message_is_dropped_silently(farm: SmallFarm, agent: Agent) -> None:
    farm.stale = True
    agent.handle("build_1", 1)
    assert {name for name, _ in farm.calls} <= {"sign-on", "heartbeat", "claim"}


def test_an_outage_in_the_middle_is_survived(farm: SmallFarm, agent: Agent) -> None:
    thread = in_thread(agent)
    farm.wait_for(lambda: any(name == "claim" for name, _ in farm.calls))
    farm.down_until = time.monotonic() + 2
    thread.join(30)
    assert len(farm.told("complete")) == 1
    assert farm.told("fail") == []


def test_a_farm_that_comes_up_later_is_waited_for(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    agent = agent_for(f"http://127.0.0.1:{port}", tmp_path)
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(agent.sign_on()))
    thread.start()
    time.sleep(0.5)
    assert found == []
    farm = SmallFarm(write(convolution(), tmp_path / "source"), port=port)
    thread.join(10)
    farm.close()
    agent.client.close()
    assert found[0].queue == "pool.p"


def test_cancel_reaches_the_child(farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging(monkeypatch)
    thread = in_thread(agent)
    farm.wait_for(lambda: any(line["text"] == "hanging" for n, b in farm.calls if n == "log" for line in b["lines"]))
    beats = farm.told("heartbeat")
    assert beats[-1]["held"] == [{"build": "build_1", "fence": 7}]
    farm.heartbeat = {"known": True, "cancel": [{"build": "build_1", "fence": 7}]}
    thread.join(20)
    [fail] = farm.told("fail")
    assert (fail["cancelled"], fail["released"], fail["failure"]) == (True, False, None)


def test_who_holds_something_asks_often_whether_to_stop(
    farm: SmallFarm, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging(monkeypatch)
    monkeypatch.setattr(workers.agent, "_HOLDING_BEAT_S", 0.05)
    farm.heartbeat_s = 600.0
    farm.heartbeat = {"known": True, "cancel": [{"build": "build_1", "fence": 7}]}
    agent = agent_for(farm, tmp_path)
    agent.sign_on()
    beats = threading.Thread(target=agent.beat_until_stopped)
    beats.start()  # the first beat is due in ten minutes
    thread = in_thread(agent)
    thread.join(20)
    assert not thread.is_alive()
    [fail] = farm.told("fail")
    assert fail["cancelled"]
    agent.stop()
    beats.join(10)
    assert not beats.is_alive()
    agent.client.close()


def test_a_cancel_is_through_within_five_seconds_by_the_defaults() -> None:
    grace = WorkerSettings.model_fields["stop_grace_s"].default
    assert workers.agent._HOLDING_BEAT_S + grace < 5


def test_a_cancel_while_files_are_sent_ends_between_two_of_them(farm: SmallFarm, agent: Agent) -> None:
    farm.puts_wait_for = threading.Event()
    thread = in_thread(agent)
    farm.wait_for(lambda: farm.puts)
    [held] = agent._held()
    farm.heartbeat = {"known": True, "cancel": [{"build": "build_1", "fence": 7}]}
    farm.wait_for(lambda: held._stopped is Stop.CANCEL)
    farm.puts_wait_for.set()
    thread.join(20)
    assert len(farm.puts) == 1
    assert farm.told("complete") == []
    [fail] = farm.told("fail")
    assert fail["cancelled"]


def test_a_mode_opens_and_closes_the_agent(farm: SmallFarm, agent: Agent) -> None:
    opened = threading.Event()
    agent.opened = opened.set
    assert agent.open
    farm.heartbeat = {"known": True, "mode": "paused", "mode_reason": "new disks"}
    farm.wait_for(lambda: not agent.open)
    assert not opened.is_set()
    farm.heartbeat = {"known": True}
    assert opened.wait(10)
    assert agent.open


def test_a_worker_that_shall_leave_leaves_when_it_holds_nothing(
    farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging(monkeypatch)
    left = threading.Event()
    agent.leave = left.set
    thread = in_thread(agent)
    farm.wait_for(lambda: any(name == "phase" for name, _ in farm.calls))
    farm.heartbeat = {"known": True, "mode": "leaving", "leave": True}  # the farm may not know of it yet
    farm.wait_for(lambda: not agent.open)
    beats = len(farm.told("heartbeat"))
    farm.wait_for(lambda: len(farm.told("heartbeat")) > beats + 1)
    assert not left.is_set()
    farm.heartbeat = {**farm.heartbeat, "cancel": [{"build": "build_1", "fence": 7}]}
    thread.join(20)
    assert left.wait(10)


def test_what_is_no_longer_ours_ends_in_silence(farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    hanging(monkeypatch)
    thread = in_thread(agent)
    farm.wait_for(lambda: any(name == "phase" for name, _ in farm.calls))
    farm.heartbeat = {"known": False, "drop": [{"build": "build_1", "fence": 7}]}
    thread.join(20)
    assert not thread.is_alive()
    assert farm.told("fail") == farm.told("complete") == []
    farm.wait_for(lambda: sum(name == "sign-on" for name, _ in farm.calls) >= 2)


def test_a_worker_that_stops_gives_its_build_back(
    farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging(monkeypatch)
    thread = in_thread(agent)
    farm.wait_for(lambda: any(name == "phase" for name, _ in farm.calls))
    agent.stop()
    agent.sign_off()
    thread.join(60)
    assert not thread.is_alive()
    [fail] = farm.told("fail")
    assert (fail["cancelled"], fail["released"]) == (False, True)
    assert farm.told("sign-off") == [{"worker": "w1", "boot_id": agent.boot_id}]
    agent.handle("build_1", 2)
    assert len(farm.told("claim")) == 1  # nothing new is taken


def test_without_renewal_the_agent_ends_its_own_build(
    farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    hanging(monkeypatch)
    monkeypatch.setattr(workers.agent, "SELF_KILL_S", 1.0)
    thread = in_thread(agent)
    farm.wait_for(lambda: any(name == "phase" for name, _ in farm.calls))
    farm.down_until = time.monotonic() + 60
    thread.join(50)
    assert not thread.is_alive()
    assert farm.told("fail") == []


def test_wrong_bytes_from_the_farm_are_the_farms_fault(farm: SmallFarm, agent: Agent) -> None:
    farm.model = farm.model[:-1] + b"!"
    agent.handle("build_1", 1)
    [fail] = farm.told("fail")
    assert fail["failure"]["code"] == StoreUnavailable.code
    assert fail["failure"]["retried"]


def test_an_input_that_breaks_off_is_fetched_again(farm: SmallFarm, agent: Agent) -> None:
    farm.broken_gets = 2
    agent.handle("build_1", 1)
    assert (len(farm.told("complete")), farm.told("fail"), farm.broken_gets) == (1, [], 0)


def test_an_input_that_does_not_come_for_long_is_the_farms_fault_and_tried_again(
    farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.attempt, "OUTAGE_S", 0.5)
    farm.broken_gets = 1_000
    agent.handle("build_1", 1)
    [fail] = farm.told("fail")
    assert fail["failure"]["code"] == FarmUnreachable.code
    assert fail["failure"]["retried"]


def test_with_a_full_disk_the_worker_takes_nothing(
    farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.disk, "LEAST_BYTES", 2**62)
    monkeypatch.setattr(workers.agent, "_CLAIM_PATIENCE_S", 0.3)
    agent.handle("build_1", 1)
    assert farm.told("claim") == []


def test_space_that_comes_back_is_noticed(farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as full:
        full.setattr(workers.disk, "LEAST_BYTES", 2**62)
        thread = in_thread(agent)
        thread.join(0.3)
        assert farm.told("claim") == []
    thread.join(30)
    assert len(farm.told("complete")) == 1


def test_what_fails_on_a_full_disk_says_nothing_of_the_model(
    farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers.disk, "LEAST_BYTES", 2**62)
    recipe = farm.claim.recipe
    wrong = recipe.target.model_copy(update={"options": {"nonsense": 1}})
    claim = farm.claim.model_copy(update={"recipe": recipe.model_copy(update={"target": wrong})})
    workers.attempt.Attempt(agent.bench, claim).run()
    [fail] = farm.told("fail")
    assert fail["failure"]["code"] == WorkerDiskFull.code
    assert fail["failure"]["where"] == {"last": "target.invalid_option"}
    assert fail["failure"]["retried"]


def test_a_build_that_fails_says_so(farm: SmallFarm, agent: Agent) -> None:
    recipe = farm.claim.recipe
    wrong = recipe.target.model_copy(update={"options": {"nonsense": 1}})
    farm.claim = farm.claim.model_copy(update={"recipe": recipe.model_copy(update={"target": wrong})})
    agent.handle("build_1", 1)
    [fail] = farm.told("fail")
    assert fail["failure"]["code"] == "target.invalid_option"


def test_work_that_waits_unheard_wakes_the_consumer(
    farm: SmallFarm, agent: Agent, monkeypatch: pytest.MonkeyPatch
) -> None:
    woken = threading.Event()
    agent.deaf = woken.set
    monkeypatch.setattr(workers.agent, "_DEAF_S", 0.3)
    time.sleep(0.6)
    assert not woken.is_set()  # nothing waits
    farm.heartbeat = {"known": True, "waiting": 1}
    assert woken.wait(10)


def test_two_workers_do_not_share_a_scratch_folder(tmp_path: Path) -> None:
    import os

    handle = own_scratch(tmp_path)
    with pytest.raises(BlockingIOError):
        own_scratch(tmp_path)
    os.close(handle)
    os.close(own_scratch(tmp_path))

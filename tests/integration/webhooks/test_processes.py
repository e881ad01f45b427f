"""Real schedulers, two at once, killed in the middle, with and without Redis: every event comes, in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from integration.webhooks.hand import Hand
from integration.webhooks.receiver import Got, Receiver, Reply, receiving
from services.process import running, wait_until
from services.redis import RedisServer

from enginehouse.webhooks import WebhookRequest
from scheduler.farm import Farm
from scheduler.webhooks import registry

NOBODY = "redis://127.0.0.1:1/0"
EVENTS = 60

Start = Callable[..., "subprocess.Popen[bytes]"]


@pytest.fixture
def start(farm: Farm, tmp_path: Path) -> Iterator[Start]:
    """Starts ``python -m scheduler`` on the test's registry."""
    with ExitStack() as stack:

        def begin(name: str, broker: str, **more: str) -> subprocess.Popen[bytes]:
            env = {key: value for key, value in os.environ.items() if not key.startswith("ENGINEHOUSE_")}
            env |= {
                "ENGINEHOUSE_DATA_DIR": str(tmp_path / name),
                "ENGINEHOUSE_DATABASE_URL": farm.settings.database_url,
                "ENGINEHOUSE_BROKER_URL": broker,
                "ENGINEHOUSE_SECRET_KEY": farm.settings.secret_key.get_secret_value(),
                "ENGINEHOUSE_WEBHOOK_NETWORKS": "127.0.0.1",
                "ENGINEHOUSE_WEBHOOK_HTTP": "true",
                "ENGINEHOUSE_TICK_S": "0.1",
                "ENGINEHOUSE_HEARTBEAT_S": "0.5",
                "ENGINEHOUSE_LEASE_S": "5",
                **more,
            }
            command = [sys.executable, "-m", "scheduler"]
            log = tmp_path / f"{name}.log"
            return stack.enter_context(running(command, log, ready=lambda: True, env=env))

        yield begin


def first_seen(receiver: Receiver) -> list[int]:
    """The cursors of what came, each where it came first."""
    return list(dict.fromkeys(int(got.event["sequence"]) for got in receiver.got))


def all_came(receiver: Receiver, numbers: list[int]) -> Callable[[], bool]:
    return lambda: set(first_seen(receiver)) >= set(numbers)


def test_two_schedulers_one_killed_again_and_again(
    hand: Hand, receiver: Receiver, start: Start, redis_server: RedisServer
) -> None:
    hand.webhook(receiver, "build.*")
    numbers: list[int] = []
    doomed: list[subprocess.Popen[bytes]] = [start("one", redis_server.url), start("two", NOBODY)]
    kills = 0

    def kill_now_and_then(_: Got) -> Reply:
        nonlocal kills
        if kills < 3 and len(receiver.got) >= 10 * (kills + 1):  # in the middle of a request, which holds the webhook
            kills += 1
            for process in doomed:
                process.send_signal(signal.SIGKILL)
        return Reply()

    receiver.answer = kill_now_and_then
    numbers += hand.tell(*["build.phase"] * EVENTS, phase="compile")
    for round_ in range(3):
        wait_until(lambda: all(process.poll() is not None for process in doomed), 60, "the schedulers' end")
        doomed[:] = [start(f"three-{round_}", NOBODY), start(f"four-{round_}", redis_server.url)]
    wait_until(all_came(receiver, numbers), 60, "every event")
    assert kills == 3
    assert first_seen(receiver) == numbers
    assert all(got.verified for got in receiver.got)
    assert len(receiver.got) <= EVENTS + kills  # what was under way is sent again, and nothing else
    wait_until(lambda: hand.states() == ["delivered"] * EVENTS, 20, "every delivery on record")


def test_two_schedulers_that_live_deliver_once(hand: Hand, start: Start, redis_server: RedisServer) -> None:
    with ExitStack() as stack:
        receivers = [stack.enter_context(receiving()) for _ in range(6)]
        for each in receivers:
            hand.webhook(each, "build.*")
        for name, broker in (("one", redis_server.url), ("two", NOBODY)):
            start(name, broker, ENGINEHOUSE_LEASE_S="60")  # a machine that stalls for seconds breaks no promise
        numbers = hand.tell(*["build.phase"] * EVENTS, phase="compile")
        for each in receivers:
            wait_until(all_came(each, numbers), 60, "every event")
        wait_until(lambda: hand.states().count("pending") == 0, 20, "every delivery on record")
        for each in receivers:
            assert [int(got.event["sequence"]) for got in each.got] == numbers
            assert all(got.verified for got in each.got)


def test_a_scheduler_that_is_asked_to_end_gives_back_what_it_holds(
    hand: Hand, receiver: Receiver, start: Start, redis_server: RedisServer
) -> None:
    hand.webhook(receiver, "build.*")
    hand.tell("build.phase")
    process = start("one", redis_server.url, ENGINEHOUSE_LEASE_S="600")
    receiver.until(1)
    wait_until(lambda: hand.states() == ["delivered"], 20, "the delivery on record")
    process.send_signal(signal.SIGTERM)
    wait_until(lambda: process.poll() is not None, 30, "the scheduler's end")
    assert process.returncode == 0
    hand.tell("build.phase")
    assert hand.round() == 1  # nobody holds it any more


def test_a_receiver_that_never_answers_holds_up_neither_others_nor_the_rounds(
    farm: Farm, hand: Hand, receiver: Receiver, start: Start, redis_server: RedisServer
) -> None:
    go_on = threading.Event()

    def never(_: Got) -> Reply:
        go_on.wait(60)
        return Reply()

    with receiving(never) as tar_pit:
        for _ in range(3):
            registry.create(farm, hand.me, WebhookRequest(url=tar_pit.url, kinds=["build.*"]))
        hand.webhook(receiver, "build.*")
        start("one", redis_server.url, ENGINEHOUSE_WEBHOOK_TIME_S="120")
        hand.tell("build.phase")
        tar_pit.until(3)
        numbers = hand.tell(*["build.phase"] * 20)
        wait_until(all_came(receiver, numbers), 30, "the other's events")
        assert len(tar_pit.got) == 3
        go_on.set()

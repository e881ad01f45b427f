"""Events become signed requests: which ones, in which form, in which order, how often."""

from __future__ import annotations

import json
import threading
from datetime import UTC, datetime

import pytest
from cloudevents.core.bindings.http import HTTPMessage, from_http
from cloudevents.core.formats.json import JSONFormat
from integration.webhooks.hand import Hand
from integration.webhooks.receiver import Got, Receiver, Reply, receiving
from sqlalchemy import func, select
from standardwebhooks import Webhook, WebhookVerificationError

from enginehouse.errors import Conflict, NotFound, QuotaExceeded, WebhookAddressRefused
from enginehouse.webhooks import ENDINGS, Outcome, WebhookChange, WebhookRequest
from scheduler import events
from scheduler.farm import Farm
from scheduler.registry.tables import EventRow, WebhookAttempt, WebhookDelivery
from scheduler.registry.tables import Webhook as Row
from scheduler.tokens import Principal
from scheduler.webhooks import deliveries, line, message, registry
from scheduler.webhooks.courier import Courier
from scheduler.webhooks.fanout import fan_out


def test_given_an_event_i_expect_a_verified_cloudevent(hand: Hand, receiver: Receiver) -> None:
    hook = hand.webhook(receiver, "worker.*")
    (cursor,) = hand.tell("worker.online", project=None, worker="one", pool="p")
    assert hand.round() == 1
    (got,) = receiver.got
    assert got.verified
    assert hook.secret.startswith("whsec_")
    assert got.headers["content-type"] == "application/cloudevents+json; charset=utf-8"
    event = from_http(HTTPMessage(got.headers, got.body), JSONFormat())  # the CloudEvents project's own reader
    assert (event.get_type(), event.get_id()) == ("enginehouse.worker.online", got.id)
    assert (event.get_subject(), event.get_source()) == ("workers/one", "urn:enginehouse:farm")
    assert event.get_data() == {"worker": "one", "pool": "p"}
    assert int(got.event["sequence"]) == cursor
    (logged,) = hand.log()
    assert (logged.state, logged.message, logged.attempts) == ("delivered", got.id, 1)
    assert logged.last is not None
    assert (logged.last.outcome, logged.last.status, logged.last.address) == (Outcome.ACCEPTED, 204, "127.0.0.1")
    with hand.farm.read() as session:
        detail = deliveries.get(session, hand.farm.settings, hand.me, logged.id)
    assert detail.body.encode() == got.body
    assert hand.round() == 0


def test_another_secret_and_a_changed_body_do_not_verify(hand: Hand, receiver: Receiver) -> None:
    hook = hand.webhook(receiver)
    hand.tell("model.created", model="m")
    hand.round()
    (got,) = receiver.got
    Webhook(hook.secret).verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + "A" * 43 + "=").verify(got.body, got.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(hook.secret).verify(got.body.replace(b'"m"', b'"n"'), got.headers)


def test_it_is_told_of_its_project_and_the_farm_by_the_kinds_it_names_and_from_then_on(
    hand: Hand, receiver: Receiver
) -> None:
    hand.tell("job.succeeded")
    made = registry.create(hand.farm, hand.me, WebhookRequest(url=receiver.url))
    assert made.kinds == ENDINGS
    hand.tell("job.running", "job.failed", "build.failed")
    hand.tell("job.failed", project="somebody-else")
    hand.tell("job.cancelled")
    hand.round()
    assert receiver.kinds == ["job.failed", "job.cancelled"]
    registry.change(hand.farm, hand.me, made.id, WebhookChange(kinds=["pool.*"]))
    hand.tell("pool.paused", project=None, pool="p")
    hand.tell("job.failed")
    hand.round()
    assert receiver.kinds == ["job.failed", "job.cancelled", "pool.paused"]


def test_they_come_in_the_order_of_commits_one_at_a_time(hand: Hand, receiver: Receiver) -> None:
    hand.webhook(receiver)
    numbers = hand.tell(*["build.phase"] * 60, phase="verify")
    while hand.round():
        pass
    assert [int(got.event["sequence"]) for got in receiver.got] == numbers
    assert receiver.most_at_once == 1
    assert all(got.verified for got in receiver.got)


def test_whatever_dies_between_two_steps_nothing_is_lost(hand: Hand, receiver: Receiver) -> None:
    hook = hand.webhook(receiver)
    hand.tell("job.created", "job.running")
    fan_out(hand.farm)
    dead = Courier(hand.farm)  # it took the webhook, sent one, and died before it could say so
    with hand.farm.write() as session:
        assert line.take(session, dead.who, [hook.id], 20) == [hook.id]
    with hand.farm.read() as session:
        parcel = line.next_(session, dead.who, hook.id, hand.farm.settings, aside_first=False)
    assert parcel is not None
    answer = dead._send(parcel, datetime.now(UTC))
    assert answer.accepted
    assert hand.round() == 0  # it is held
    hand.tell("job.succeeded")
    assert hand.wait(seconds=21) == 3
    assert receiver.kinds == ["job.created", "job.created", "job.running", "job.succeeded"]
    assert receiver.ids[0] == receiver.ids[1]  # by which the receiver knows it again
    with hand.farm.write() as session:  # and should it live after all, what it has to say is no news
        assert not line.finish(session, dead.who, parcel, datetime.now(UTC), answer, hand.farm.settings)
    assert [each.attempts for each in hand.log()] == [1, 1, 1]


def test_two_couriers_deliver_once(hand: Hand, receiver: Receiver) -> None:
    other = Courier(hand.farm)
    hook = hand.webhook(receiver)
    hand.tell(*["job.created"] * 5)
    fan_out(hand.farm)
    assert fan_out(hand.farm) == 0
    with hand.farm.write() as session:
        assert line.take(session, hand.courier.who, [hook.id], 30) == [hook.id]
        assert line.take(session, other.who, [hook.id], 30) == []
    assert hand.round(other) == 0
    assert other.serve(hook.id) == 0
    assert hand.courier.serve(hook.id) == 5
    with hand.farm.write() as session:
        line.release(session, other.who, hook.id)  # not its own to give
    hand.tell("job.created")
    assert hand.round(other) == 0
    with hand.farm.write() as session:
        line.release(session, hand.courier.who, hook.id)
    assert hand.round(other) == 1
    assert len(set(receiver.ids)) == len(receiver.ids) == 6


def test_a_slow_receiver_holds_up_no_other(farm: Farm, hand: Hand, receiver: Receiver) -> None:
    go_on = threading.Event()

    def slow(_: Got) -> Reply:
        go_on.wait(30)
        return Reply()

    farm.settings.webhook_time_s = 60
    farm.settings.tick_s = 0.02
    with receiving(slow) as tar_pit:
        stuck = hand.webhook(tar_pit, "job.*")
        quick = hand.webhook(receiver, "job.*")
        courier = Courier(farm)
        courier.start()
        try:
            hand.tell("job.created")
            tar_pit.until(1)
            hand.tell(*["job.running"] * 20)
            receiver.until(21)
            assert len(tar_pit.got) == 1
            assert (hand.view(stuck.id).pending, hand.view(quick.id).failing_since) == (21, None)
        finally:
            go_on.set()
        tar_pit.until(21)
        courier.stop()
    assert tar_pit.kinds == receiver.kinds


def test_there_is_never_more_than_one_thread_for_a_webhook_nor_more_than_the_setting_in_all(
    farm: Farm, hand: Hand
) -> None:
    running, most = [0], [0]
    lock = threading.Lock()

    def count(_: Got) -> Reply:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        with lock:
            running[0] -= 1
        return Reply()

    farm.settings.webhook_threads = 2
    farm.settings.tick_s = 0.02
    with receiving(count) as receiver:
        for _ in range(5):
            hand.webhook(receiver, "job.*")
        hand.tell(*["job.created"] * 10)
        courier = Courier(farm)
        courier.start()
        receiver.until(50)
        courier.stop()
        assert most[0] <= 2
        assert receiver.most_at_once <= 2
        assert sorted(receiver.ids) == sorted(5 * [*dict.fromkeys(receiver.ids)])


def test_a_new_secret_signs_beside_the_old_one_until_the_overlap_is_over(hand: Hand, receiver: Receiver) -> None:
    hook = hand.webhook(receiver)
    made = registry.rotate(hand.farm, hand.me, hook.id, 3600)
    assert made.secret != hook.secret
    assert hand.view(hook.id).old_secret_until is not None

    def verifying() -> list[bool]:
        got = receiver.got[-1]
        found = []
        for secret in (hook.secret, made.secret):
            try:
                Webhook(secret).verify(got.body, got.headers)
                found.append(True)
            except WebhookVerificationError:
                found.append(False)
        return found

    hand.tell("job.created")
    hand.round()
    assert verifying() == [True, True]
    hand.pass_time(hours=2)
    hand.tell("job.created")
    hand.round()
    assert verifying() == [False, True]
    assert hand.view(hook.id).old_secret_until is None


def test_secrets_are_not_in_the_registry_and_another_key_says_what_to_do(
    farm: Farm, hand: Hand, receiver: Receiver
) -> None:
    hook = hand.webhook(receiver, "job.*")
    with farm.read() as session:
        kept = session.get_one(Row, hook.id).secret
    assert hook.secret not in kept
    assert hook.secret.removeprefix("whsec_") not in kept
    farm.settings = farm.settings.model_copy(update={"secret_key": type(farm.settings.secret_key)("another" * 5)})
    other = Hand(farm)
    other.tell("job.created")
    other.round()
    assert receiver.got == []
    (logged,) = other.log()
    assert logged.last is not None
    assert logged.last.outcome is Outcome.SECRET_LOST
    assert "rotate the secret" in logged.last.error
    receiver.secret = registry.rotate(farm, other.me, hook.id, 0).secret
    other.round()
    assert receiver.got[0].verified


def test_an_event_that_is_too_large_comes_without_its_data(hand: Hand, receiver: Receiver) -> None:
    hand.webhook(receiver)
    hand.tell("job.created", builds=["build_" + "0" * 26] * 3000)
    hand.round()
    (got,) = receiver.got
    assert got.verified
    assert len(got.body) < message.LARGEST
    assert "builds" not in got.event["data"]
    assert "omitted" in got.event["data"]


def test_an_answer_is_kept_in_part_and_as_text_that_every_database_takes(hand: Hand) -> None:
    with receiving(lambda _: Reply(500, b"\x00\xff oh <b>no</b>" + b"x" * 100_000)) as receiver:
        hand.webhook(receiver)
        hand.tell("job.created")
        hand.round()
    last = hand.log()[0].last
    assert last is not None
    assert last.response.startswith("�� oh <b>no</b>x")
    assert len(last.response) == 2048
    assert last.error == "it answered 500"


def test_a_test_event_goes_to_one_webhook_alone(hand: Hand, receiver: Receiver) -> None:
    hook = hand.webhook(receiver, "job.failed")
    with receiving() as other:
        hand.webhook(other, "*")
        receiver.secret = hook.secret
        sent = registry.test(hand.farm, hand.me, hook.id)
        hand.round()
        assert [got.id for got in receiver.got] == [sent.message]
        assert receiver.kinds == ["webhook.test"]
        assert "webhook.test" not in other.kinds
    registry.change(hand.farm, hand.me, hook.id, WebhookChange(enabled=False))
    with pytest.raises(Conflict):
        registry.test(hand.farm, hand.me, hook.id)


def test_a_deleted_webhook_leaves_nothing(hand: Hand, receiver: Receiver) -> None:
    hook = hand.webhook(receiver)
    hand.tell(*["job.created"] * 3)
    hand.round()
    hand.tell("job.created")
    fan_out(hand.farm)
    registry.remove(hand.farm, hand.me, hook.id)
    assert hand.round() == 0
    with hand.farm.read() as session:
        for table in (Row, WebhookDelivery, WebhookAttempt):
            assert session.scalar(select(func.count()).select_from(table)) == 0
    with pytest.raises(NotFound):
        hand.view(hook.id)
    assert len(receiver.got) == 3


def test_a_project_sees_its_own_alone_and_may_have_so_many(hand: Hand, receiver: Receiver) -> None:
    hook = hand.webhook(receiver)
    hand.tell("job.created")
    hand.round()
    stranger = Principal(None, "other", frozenset({"admin"}), "stranger")
    with hand.farm.read() as session:
        assert registry.list_(session, stranger, 50, None).items == []
        assert deliveries.list_(session, stranger, None, None, 50, None).items == []
        with pytest.raises(NotFound):
            registry.get(session, stranger, hook.id)
        with pytest.raises(NotFound):
            deliveries.get(session, hand.farm.settings, stranger, hand.log()[0].id)
    with pytest.raises(NotFound):
        registry.remove(hand.farm, stranger, hook.id)
    for _ in range(registry.MOST - 1):
        hand.webhook(receiver)
    with pytest.raises(QuotaExceeded):
        hand.webhook(receiver)


def test_an_address_that_may_not_be_reached_is_refused_at_once(farm: Farm, hand: Hand) -> None:
    for url in ("https://10.0.0.1/x", "https://[::1]/", "https://169.254.169.254/latest", "https://2886729729/"):
        with pytest.raises(WebhookAddressRefused, match="is no public address"):
            registry.create(farm, hand.me, WebhookRequest(url=url))
    farm.settings.webhook_http = False
    with pytest.raises(WebhookAddressRefused, match="without encryption"):
        registry.create(farm, hand.me, WebhookRequest(url="http://example.com/"))


def test_a_change_nobody_is_told_of_costs_nothing(farm: Farm, hand: Hand, receiver: Receiver) -> None:
    hand.tell(*["job.created"] * 5)
    assert fan_out(farm) == 0
    hook = hand.webhook(receiver)
    registry.change(farm, hand.me, hook.id, WebhookChange(enabled=False))
    hand.tell(*["job.created"] * 5)
    assert fan_out(farm) == 0
    registry.change(farm, hand.me, hook.id, WebhookChange(enabled=True))
    assert fan_out(farm) == 0  # what happened meanwhile is not handed on by itself
    hand.tell("job.failed")
    hand.round()
    assert receiver.kinds == ["job.failed"]
    with farm.read() as session:
        assert session.scalar(select(func.max(EventRow.id))) == events.newest(session)
    assert json.loads(receiver.got[0].body)["data"] == {"project": "default"}

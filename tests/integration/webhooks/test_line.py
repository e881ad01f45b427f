"""What failures make of a webhook's line: waits, order, what is put aside, what is given up, when it is disabled."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from integration.webhooks.hand import Hand
from integration.webhooks.receiver import Got, Receiver, Reply, receiving

from enginehouse.errors import Conflict
from enginehouse.webhooks import Outcome, Replay, WebhookChange
from scheduler.farm import Farm
from scheduler.retention.run import run as collect
from scheduler.webhooks import deliveries, registry
from scheduler.webhooks.schedule import MOST_TRIES

LONG = {"hours": 12}


class Moody:
    """Answers 500 while it is ``away``, and always to what it cannot ``bear``."""

    def __init__(self) -> None:
        self.away = False
        self.bear: set[str] = set()

    def __call__(self, got: Got) -> Reply:
        bad = self.away or got.event["data"].get("name") in self.bear
        return Reply(500 if bad else 200)


@pytest.fixture
def mood(receiver: Receiver) -> Moody:
    made = Moody()
    receiver.answer = made
    return made


def names(receiver: Receiver) -> list[str]:
    return [got.event["data"]["name"] for got in receiver.got]


def tell(hand: Hand, *called: str) -> None:
    for name in called:
        hand.tell("model.created", name=name)


def test_given_an_outage_i_expect_everything_afterwards_and_in_order(
    hand: Hand, receiver: Receiver, mood: Moody
) -> None:
    hook = hand.webhook(receiver, "model.*")
    mood.away = True
    tell(hand, "a", "b", "c")
    assert hand.round() == 1
    assert hand.round() == 0  # it waits
    assert hand.view(hook.id).failing_since is not None
    assert hand.wait(seconds=4) == 0
    assert hand.wait(seconds=3) == 1
    for _ in range(8):
        assert 1 <= hand.wait(hours=2) <= 2  # the first, and from the third failure on another one
    assert set(names(receiver)) == {"a", "b", "c"}  # each a different one, so that one bad event is told from an outage
    receiver.got.clear()
    mood.away = False
    tell(hand, "d")
    assert hand.wait(**LONG) == 4
    assert names(receiver) == ["a", "b", "c", "d"]
    view = hand.view(hook.id)
    assert (view.failing_since, view.next_try, view.pending, view.dead) == (None, None, 0, 0)


def test_given_one_event_that_is_refused_i_expect_the_others_to_go_on(
    hand: Hand, receiver: Receiver, mood: Moody
) -> None:
    hook = hand.webhook(receiver, "model.*")
    mood.bear = {"bad", "worse"}
    tell(hand, "a", "bad", "worse", "b", "c")
    hand.round()
    for _ in range(12):
        hand.wait(minutes=5)
    assert [name for name in names(receiver) if name not in mood.bear] == ["a", "b", "c"]
    stuck = [each for each in hand.log() if each.state == "pending"]
    assert [each.aside for each in stuck] == [True, True]
    for _ in range(MOST_TRIES):
        tell(hand, "more")
        hand.wait(**LONG)
    assert hand.view(hook.id).enabled
    dead = [each for each in hand.log() if each.state == "dead"]
    assert [each.attempts for each in dead] == [MOST_TRIES, MOST_TRIES]
    assert "while others were accepted" in dead[0].note
    assert hand.view(hook.id).dead == 2
    mood.bear.clear()
    deliveries.replay(hand.farm, hand.me, dead[0].id)
    hand.round()
    assert names(receiver)[-1] == "bad"
    assert hand.view(hook.id).dead == 1


def test_a_lone_event_that_is_refused_disables_nothing_before_its_time(
    hand: Hand, receiver: Receiver, mood: Moody
) -> None:
    hook = hand.webhook(receiver, "model.*")
    mood.bear = {"bad"}
    tell(hand, "bad")
    hand.round()
    for _ in range(5):
        hand.wait(**LONG)
    assert hand.view(hook.id).enabled
    assert hand.log()[0].state == "pending"


def test_given_days_of_failures_i_expect_it_disabled_with_the_reason_and_dead_letters(
    hand: Hand, receiver: Receiver, mood: Moody
) -> None:
    hook = hand.webhook(receiver, "model.*")
    with receiving() as other:
        hand.webhook(other, "webhook.disabled")
        receiver.secret = hook.secret
        mood.away = True
        tell(hand, "a", "b")
        hand.round()
        for _ in range(7):
            hand.wait(**LONG)
        hand.round()
        assert [got.event["data"]["webhook"] for got in other.got] == [hook.id]
    view = hand.view(hook.id)
    assert not view.enabled
    assert view.disabled is not None
    assert view.disabled_reason == "every try failed for 3 days; the last: it answered 500"
    assert (view.pending, view.dead) == (0, 2)
    tries = len(receiver.got)
    tell(hand, "c")
    assert hand.wait(**LONG) == 0
    with pytest.raises(Conflict):
        deliveries.replay(hand.farm, hand.me, hand.log(hook.id)[0].id)
    mood.away = False
    registry.change(hand.farm, hand.me, hook.id, WebhookChange(enabled=True))
    since = datetime.now(UTC) - timedelta(hours=1)
    done = deliveries.replay_range(hand.farm, hand.me, hook.id, Replay(since=since))
    assert (done.deliveries, done.whole) == (3, True)
    hand.round()
    assert names(receiver)[tries:] == ["a", "b", "c"]  # also what happened while it was disabled
    assert hand.view(hook.id).dead == 0


def test_a_receiver_that_says_gone_is_told_no_more(hand: Hand, receiver: Receiver) -> None:
    receiver.answer = lambda _: Reply(410)
    hook = hand.webhook(receiver, "model.*")
    tell(hand, "a", "b")
    assert hand.round() == 1
    view = hand.view(hook.id)
    assert not view.enabled
    assert "410" in view.disabled_reason
    assert hand.states() == ["dead", "dead"]


def test_a_receiver_says_itself_when_it_will_be_back(hand: Hand, receiver: Receiver) -> None:
    receiver.answer = lambda _: Reply(429, headers={"Retry-After": "600"})
    hand.webhook(receiver, "model.*")
    tell(hand, "a", "b")
    assert hand.round() == 1
    assert hand.wait(minutes=9) == 0
    assert hand.wait(minutes=4) == 1
    receiver.answer = lambda _: Reply(503, headers={"Retry-After": "9999999"})
    assert hand.wait(minutes=20) == 1
    receiver.answer = lambda _: Reply()
    assert hand.wait(minutes=73) == 2  # an hour is the longest that it is believed


def test_a_redirect_is_not_followed(hand: Hand, receiver: Receiver) -> None:
    with receiving(lambda _: Reply(302, headers={"Location": receiver.url})) as first:
        hand.webhook(first, "model.*")
        tell(hand, "a")
        hand.round()
    assert receiver.got == []
    last = hand.log()[0].last
    assert last is not None
    assert last.outcome is Outcome.REDIRECTED
    assert "final address" in last.error


def test_who_corrects_the_address_is_tried_at_once(hand: Hand, receiver: Receiver, mood: Moody) -> None:
    mood.away = True
    hook = hand.webhook(receiver, "model.*")
    tell(hand, "a")
    hand.round()
    with receiving() as right:
        right.secret = hook.secret
        registry.change(hand.farm, hand.me, hook.id, WebhookChange(url=right.url))
        assert hand.round() == 1
        assert right.got[0].verified


def test_one_delivery_once_more_is_the_same_message(hand: Hand, receiver: Receiver) -> None:
    hand.webhook(receiver, "model.*")
    tell(hand, "a", "b")
    hand.round()
    first = hand.log()[0]
    again = deliveries.replay(hand.farm, hand.me, first.id)
    assert again.state == "pending"
    with pytest.raises(Conflict):
        deliveries.replay(hand.farm, hand.me, first.id)
    hand.round()
    assert receiver.ids == [receiver.ids[0], receiver.ids[1], receiver.ids[0]]
    assert receiver.got[2].body == receiver.got[0].body
    assert receiver.got[2].verified
    assert hand.log()[0].attempts == 2


def test_a_stretch_of_time_once_more(hand: Hand, receiver: Receiver) -> None:
    tell(hand, "before")
    hook = hand.webhook(receiver, "model.*")
    tell(hand, "a", "b")
    hand.round()
    tell(hand, "c")  # committed, and not handed on yet
    moment = datetime.now(UTC)
    day = timedelta(days=1)

    def replay(**more: object) -> int:
        wanted = Replay.model_validate({"since": moment - day, **more})
        return deliveries.replay_range(hand.farm, hand.me, hook.id, wanted).deliveries

    assert replay() == 1  # what happened before there was a webhook
    assert replay() == 0  # it is on its way
    hand.round()
    assert sorted(names(receiver)) == ["a", "b", "before", "c"]
    assert replay(delivered=True) == 4
    hand.round()
    assert names(receiver)[4:] == ["before", "a", "b", "c"]
    assert replay(delivered=True, until=moment - day + timedelta(hours=1)) == 0
    assert replay(delivered=True, since=moment + day, until=moment + 2 * day) == 0


def test_a_long_stretch_comes_in_parts(hand: Hand, receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deliveries, "MOST_REPLAYED", 4)
    monkeypatch.setattr(deliveries, "_BATCH", 2)
    tell(hand, *"abcdefg")
    hook = hand.webhook(receiver, "model.*")
    since: datetime = datetime.now(UTC) - timedelta(hours=1)
    total = parts = 0
    while True:
        done = deliveries.replay_range(hand.farm, hand.me, hook.id, Replay(since=since))
        total, parts, since = total + done.deliveries, parts + 1, done.until
        if done.whole:
            break
    hand.round()
    assert (total, parts > 1) == (7, True)
    assert names(receiver) == list("abcdefg")


def test_the_log_is_kept_for_so_long_and_events_for_as_long_as_it(
    farm: Farm, hand: Hand, receiver: Receiver, mood: Moody
) -> None:
    from integration.scheduler.clock import pass_time, rows

    from scheduler.registry.tables import EventRow, WebhookAttempt, WebhookDelivery

    hook = hand.webhook(receiver, "model.*")
    tell(hand, "a")
    hand.round()
    mood.away = True
    tell(hand, "b")
    hand.round()
    farm.settings.keep_deliveries_days, farm.settings.keep_events_days = 30, 10
    pass_time(farm, days=20)
    tell(hand, "c")  # and is not handed on before the collection
    assert collect(farm).deliveries == 0
    assert [row.data.get("name") for row in rows(farm, EventRow)][-3:] == ["a", "b", "c"]
    pass_time(farm, days=20)
    assert collect(farm, dry_run=True).deliveries == 1
    assert collect(farm).deliveries == 1
    assert len(rows(farm, WebhookDelivery)) == len(rows(farm, WebhookAttempt)) == 1
    assert [row.data.get("name") for row in rows(farm, EventRow)][-2:] == [
        "b",
        "c",
    ]  # one waits, one is to be handed on
    mood.away = False
    hand.round()
    assert names(receiver)[-2:] == ["b", "c"]
    assert hand.view(hook.id).pending == 0


def test_a_deletion_that_was_cut_short_is_finished_by_retention(
    farm: Farm, hand: Hand, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    from integration.scheduler.clock import rows

    from scheduler.registry.tables import Webhook, WebhookDelivery

    hook = hand.webhook(receiver, "model.*")
    tell(hand, "a")
    hand.round()
    with monkeypatch.context() as patched:
        patched.setattr(registry, "purge", lambda *_: None)
        registry.remove(farm, hand.me, hook.id)
    assert len(rows(farm, WebhookDelivery)) == 1
    collect(farm)
    assert rows(farm, Webhook) == rows(farm, WebhookDelivery) == []

"""The pages of webhooks: made, shown once, changed, delivered, replayed; and what a receiver answers is only text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import with_token
from integration.pages.reading import Reading, keeps_to_the_policy
from integration.webhooks.hand import Hand
from integration.webhooks.receiver import Receiver, Reply, receiving

from scheduler.farm import Farm
from scheduler.webhooks import deliveries, registry

HOME = "/settings/webhooks"
EVIL = b"<script>alert(1)</script>\"'><img src=x onerror=alert(2)>"


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: which registry it is does not matter here."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def hand(farm: Farm) -> Hand:
    farm.settings.webhook_networks, farm.settings.webhook_http = "127.0.0.0/8", True
    return Hand(farm)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


def show(client: FlaskClient, path: str, status: int = 200) -> Reading:
    answer = client.get(path, headers={"Accept": "text/html"})
    assert answer.status_code == status, answer.text
    return keeps_to_the_policy(answer.text)


def secret_on(text: str) -> str:
    found = set(re.findall(r"whsec_[A-Za-z0-9+/=]+", unescape(text)))
    assert len(found) == 1
    return found.pop()


def test_none_yet_teaches_the_first_step(admin: FlaskClient) -> None:
    text = show(admin, HOME).text
    assert "There is no webhook yet" in text
    assert "enginehouse webhook create" in text


def test_the_way_of_a_webhook_by_hand(hand: Hand, admin: FlaskClient, receiver: Receiver) -> None:
    form = {"url": receiver.url, "kinds": ["job.*", "webhook.test"], "description": "the pipeline"}
    made = admin.post(HOME, data=form)
    assert made.status_code == 200, made.text
    keeps_to_the_policy(made.text)
    receiver.secret = secret_on(made.text)
    (hook,) = [each.id for each in page_of(hand)]
    address = f"{HOME}/{hook}"
    assert "whsec_" not in admin.get(address).text  # once is once
    assert "the pipeline" in show(admin, HOME).text

    sent = admin.post(f"{address}/test")
    assert sent.status_code == 303
    pending = admin.get(sent.headers["Location"])
    assert "every 2s" in pending.text  # it looks again by itself
    assert "It was not sent yet." in keeps_to_the_policy(pending.text).text
    hand.round()
    done = show(admin, sent.headers["Location"])
    assert "accepted" in done.text
    assert '"type": "enginehouse.webhook.test"' in done.text
    assert receiver.got[0].verified

    hand.tell("job.created")
    hand.round()
    log = show(admin, address).text
    assert "job.created delivered" in log
    assert "None is in this state" in show(admin, f"{address}?state=dead").text
    one = hand.log(hook)[-1].id
    assert admin.post(f"{address}/deliveries/{one}/replay").status_code == 303
    again = admin.post(f"{address}/deliveries/{one}/replay")
    assert again.status_code == 409
    assert "is on its way" in keeps_to_the_policy(again.text).text
    hand.round()
    replayed = admin.post(f"{address}/replay", data={"hours": "24", "delivered": "1"})
    assert "1 delivery is on its way." in keeps_to_the_policy(replayed.text).text
    hand.round()
    assert receiver.kinds == ["webhook.test", "job.created", "job.created", "job.created"]

    rotated = admin.post(f"{address}/rotate", data={"overlap_s": "0"})
    receiver.secret = secret_on(rotated.text)
    changed = admin.post(address, data={"url": receiver.url, "kinds": ["build.*"]})
    assert changed.status_code == 303
    view = hand.view(hook)
    assert (view.kinds, view.description) == (["build.*"], "")
    hand.tell("build.created")
    hand.round()
    assert receiver.got[-1].verified

    assert admin.post(f"{address}/disable").status_code == 303
    off = show(admin, address).text
    assert "Disabled by admin (settings)" in off
    assert "Send a test" not in off
    assert admin.post(f"{address}/test").status_code == 409
    assert admin.post(f"{address}/enable").status_code == 303
    assert hand.view(hook).enabled
    assert admin.post(f"{address}/delete").status_code == 303
    show(admin, address, 404)


def page_of(hand: Hand):
    with hand.farm.read() as session:
        return registry.list_(session, hand.me, 50, None).items


def test_what_is_wrong_with_a_form_is_told_on_it_and_what_was_typed_stays(hand: Hand, admin: FlaskClient) -> None:
    for form, says in (
        ({"url": "nonsense", "kinds": ["job.*"]}, "is no http:// or https:// address"),
        ({"url": "https://10.0.0.1/x", "kinds": ["job.*"]}, "10.0.0.1 is no public address"),
        ({"url": "https://example.com/x"}, "kinds"),
        ({"url": "https://example.com/x", "kinds": ["job.exploded"]}, "is no kind of event"),
        ({}, "url"),
    ):
        answer = admin.post(HOME, data=form)
        assert answer.status_code == 422
        assert says in keeps_to_the_policy(answer.text).text, form
        assert f'value="{form.get("url", "")}"' in answer.text
    assert page_of(hand) == []


def test_what_a_receiver_answers_is_only_text(hand: Hand, admin: FlaskClient, receiver: Receiver) -> None:
    receiver.answer = lambda _: Reply(400, EVIL)
    hook = hand.webhook(receiver, "model.*")
    registry.change(hand.farm, hand.me, hook.id, registry.WebhookChange(description="<b>mine</b>"))
    hand.tell("model.created", name="<script>alert(3)</script>")
    hand.round()
    one = hand.log()[0].id
    for path in (HOME, f"{HOME}/{hook.id}", f"{HOME}/{hook.id}/deliveries/{one}"):
        found = show(admin, path)
        assert "alert(1)" not in " ".join(found.scripts)
    text = admin.get(f"{HOME}/{hook.id}/deliveries/{one}").text
    assert EVIL.decode() in Reading(text).text
    assert "<script>alert" not in text
    assert "<b>mine</b>" not in text


def test_dead_letters_and_failures_say_why(hand: Hand, admin: FlaskClient, receiver: Receiver) -> None:
    receiver.answer = lambda _: Reply(500, b"no")
    hook = hand.webhook(receiver, "model.*")
    hand.tell("model.created")
    hand.round()
    text = show(admin, f"{HOME}/{hook.id}").text
    assert "failing" in text
    assert "500 it answered 500" in text
    receiver.answer = lambda _: Reply(410)
    hand.wait(seconds=10)
    text = show(admin, f"{HOME}/{hook.id}?state=dead").text
    assert "its receiver answered 410: it wants no more" in text
    assert "dead" in text
    one = hand.log()[0].id
    assert "the webhook was disabled" in show(admin, f"{HOME}/{hook.id}/deliveries/{one}").text


def test_a_long_log_comes_in_pages(hand: Hand, admin: FlaskClient, receiver: Receiver) -> None:
    hook = hand.webhook(receiver, "build.*")
    hand.tell(*["build.phase"] * 60)
    while hand.round():
        pass
    first = show(admin, f"{HOME}/{hook.id}?state=delivered")
    (older,) = [each for each in first.addresses if "after=" in each]
    assert "state=delivered" in older
    second = show(admin, older)
    rows = [[each for each in page.ids if each.startswith("delivery_")] for page in (first, second)]
    assert [len(each) for each in rows] == [50, 10]
    assert not set(rows[0]) & set(rows[1])


def test_only_administrators_of_the_project_see_them(
    app: Flask, hand: Hand, admin: FlaskClient, receiver: Receiver
) -> None:
    hook = hand.webhook(receiver, "model.*")
    hand.tell("model.created")
    hand.round()
    with hand.farm.read() as session:
        one = deliveries.list_(session, hand.me, None, None, 1, None).items[0].id
    paths = [HOME, f"{HOME}/{hook.id}", f"{HOME}/{hook.id}/deliveries/{one}"]
    reader = with_token(app, admin.post("/v1/tokens", json={"name": "r", "scopes": ["read", "submit"]}).json["token"])
    admin.post("/v1/projects", json={"name": "vision"})
    body = {"name": "t", "scopes": ["admin"], "project": "vision"}
    stranger = with_token(app, admin.post("/v1/tokens", json=body).json["token"])
    for path in paths:
        assert reader.get(path).status_code == 403
    assert [stranger.get(path).status_code for path in paths] == [200, 404, 404]
    assert receiver.url not in stranger.get(HOME).text
    assert stranger.post(f"{HOME}/{hook.id}/delete").status_code == 404
    assert stranger.post(f"{HOME}/{hook.id}/deliveries/{one}/replay").status_code == 404

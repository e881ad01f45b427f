"""Webhooks over REST, by the Python client and the command line; and the events for who polls."""

from __future__ import annotations

import contextlib
import io
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import ADMIN, Served, is_problem, push, tiny_model, with_token
from integration.webhooks.hand import Hand
from integration.webhooks.receiver import Receiver, Reply, receiving

from enginehouse.cli import run
from enginehouse.client import Client
from enginehouse.errors import Conflict, NotFound, RequestError, WebhookAddressRefused
from enginehouse.views import EventPage, Page
from enginehouse.webhooks import DeliveryDetail, DeliveryView, NewWebhook, WebhookView
from scheduler.farm import Farm


@pytest.fixture
def open_farm(farm: Farm) -> Farm:
    """One whose settings let webhooks reach the loopback."""
    farm.settings.webhook_networks, farm.settings.webhook_http = "127.0.0.0/8", True
    return farm


@pytest.fixture
def receiver() -> Any:
    with receiving() as made:
        yield made


@pytest.fixture
def hand(open_farm: Farm) -> Hand:
    return Hand(open_farm)


def test_the_way_of_a_webhook(hand: Hand, admin: FlaskClient, receiver: Receiver) -> None:
    answer = admin.post("/v1/webhooks", json={"url": receiver.url, "kinds": ["model.*"], "description": "for CI"})
    assert answer.status_code == 201, answer.text
    made = NewWebhook.model_validate(answer.json)
    receiver.secret = made.secret
    url = f"/v1/webhooks/{made.id}"
    for shown in (admin.get(url).json, admin.get("/v1/webhooks").json["items"][0]):
        assert WebhookView.model_validate(shown).description == "for CI"
        assert "secret" not in shown
        assert made.secret not in json.dumps(shown)
    push(admin, tiny_model())
    hand.round()
    assert receiver.kinds == ["model.created"]
    assert receiver.got[0].verified
    (one,) = Page[DeliveryView].model_validate(admin.get("/v1/webhook-deliveries").json).items
    detail = DeliveryDetail.model_validate(admin.get(f"/v1/webhook-deliveries/{one.id}").json)
    assert detail.body.encode() == receiver.got[0].body
    assert [each.status for each in detail.tries] == [204]
    again = admin.post(f"/v1/webhook-deliveries/{one.id}/replay")
    assert (again.status_code, again.json["state"]) == (202, "pending")
    is_problem(admin.post(f"/v1/webhook-deliveries/{one.id}/replay"), 409)
    hand.round()
    since = (datetime.now(UTC) - timedelta(hours=1)).isoformat()
    done = admin.post(f"{url}/replay", json={"since": since, "delivered": True})
    assert (done.status_code, done.json["deliveries"]) == (202, 1)
    tested = admin.post(f"{url}/test")
    assert (tested.status_code, tested.json["kind"]) == (202, "webhook.test")
    hand.round()
    assert receiver.kinds == ["model.created"] * 3 + ["webhook.test"]
    rotated = NewWebhook.model_validate(admin.post(f"{url}/rotate", json={"overlap_s": 60}).json)
    assert rotated.secret != made.secret
    off = admin.patch(url, json={"enabled": False}).json
    assert (off["enabled"], off["disabled_reason"]) == (False, "by admin (settings)")
    is_problem(admin.post(f"{url}/test"), 409)
    is_problem(admin.post(f"{url}/replay", json={"since": since}), 409)
    assert admin.patch(url, json={"enabled": True, "kinds": ["*"]}).json["kinds"] == ["*"]
    assert admin.delete(url).status_code == 204
    is_problem(admin.get(url), 404)
    is_problem(admin.get(f"/v1/webhook-deliveries/{one.id}"), 404)


def test_lists_come_in_pages(hand: Hand, admin: FlaskClient, receiver: Receiver) -> None:
    ids = [admin.post("/v1/webhooks", json={"url": receiver.url, "kinds": ["job.*"]}).json["id"] for _ in range(5)]
    first = admin.get("/v1/webhooks?limit=3").json
    rest = admin.get(f"/v1/webhooks?limit=3&after={first['next']}").json
    assert [each["id"] for each in first["items"] + rest["items"]] == ids[::-1]
    assert rest["next"] is None
    hand.tell("job.created", "job.running")
    receiver.answer = lambda got: Reply(410 if got.kind == "job.created" else 200)
    hand.round()
    seen: list[str] = []
    cursor = ""
    while True:
        page = admin.get(f"/v1/webhook-deliveries?limit=3{cursor}").json
        seen += [each["id"] for each in page["items"]]
        if page["next"] is None:
            break
        cursor = f"&after={page['next']}"
    assert len(seen) == len(set(seen)) == 10
    dead = admin.get(f"/v1/webhook-deliveries?webhook={ids[0]}&state=dead").json["items"]
    assert [each["kind"] for each in dead] == ["job.running", "job.created"]
    assert admin.get("/v1/webhook-deliveries?state=pending").json["items"] == []


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ({"url": "nonsense"}, "is no http:// or https:// address"),
        ({"url": "https://u:p@example.com/"}, "holds a user name or password"),
        ({"url": "https://example.com/", "kinds": ["job.exploded"]}, "is no kind of event"),
        ({"url": "https://example.com/", "kinds": []}, "kinds"),
        ({"url": "https://example.com/", "secret": "mine"}, "secret"),
        ({}, "url"),
    ],
)
def test_wrong_input_is_told_what_is_wrong(admin: FlaskClient, body: dict[str, Any], says: str) -> None:
    assert says in is_problem(admin.post("/v1/webhooks", json=body), 422, "request.invalid")["detail"]


def test_an_address_that_may_not_be_reached_has_a_code(admin: FlaskClient) -> None:
    for url in ("https://127.0.0.1/", "http://example.com/", "https://localhost:8443/"):
        problem = is_problem(admin.post("/v1/webhooks", json={"url": url}), 422, "webhook.address_refused")
        assert "ENGINEHOUSE_WEBHOOK" in problem["advice"]
    made = admin.post("/v1/webhooks", json={"url": "https://example.com/"}).json
    is_problem(admin.patch(f"/v1/webhooks/{made['id']}", json={"url": "https://10.0.0.1/"}), 422)
    assert admin.get(f"/v1/webhooks/{made['id']}").json["url"] == "https://example.com/"


def test_only_a_projects_administrators_see_webhooks(
    app: Flask, hand: Hand, admin: FlaskClient, receiver: Receiver
) -> None:
    made = admin.post("/v1/webhooks", json={"url": receiver.url, "kinds": ["*"]}).json
    hand.tell("job.created")
    hand.round()
    delivery = admin.get("/v1/webhook-deliveries").json["items"][0]["id"]
    admin.post("/v1/projects", json={"name": "vision"})
    body = {"name": "t", "scopes": ["admin"], "project": "vision"}
    stranger = with_token(app, admin.post("/v1/tokens", json=body).json["token"])
    assert stranger.get("/v1/webhooks").json["items"] == []
    assert stranger.get("/v1/webhook-deliveries").json["items"] == []
    for path in (f"/v1/webhooks/{made['id']}", f"/v1/webhook-deliveries/{delivery}"):
        is_problem(stranger.get(path), 404)
    is_problem(stranger.get(f"/v1/webhook-deliveries?webhook={made['id']}"), 404)
    is_problem(stranger.post(f"/v1/webhook-deliveries/{delivery}/replay"), 404)
    is_problem(stranger.delete(f"/v1/webhooks/{made['id']}"), 404)
    body = {"name": "t", "scopes": ["read", "submit"]}
    submitter = with_token(app, admin.post("/v1/tokens", json=body).json["token"])
    is_problem(submitter.get("/v1/webhooks"), 403)
    is_problem(submitter.get("/v1/webhook-deliveries"), 403)
    hand.tell("job.created", project="vision")
    hand.round()
    assert len(receiver.got) == 1  # another project's job is nobody else's business


def test_events_page_by_page(app: Flask, hand: Hand, admin: FlaskClient) -> None:
    start = EventPage.model_validate(admin.get("/v1/events/list").json).newest
    numbers = hand.tell(*["job.created", "build.phase", "job.failed"] * 3)
    hand.tell("job.failed", project="somebody-else")
    hand.tell("worker.online", project=None, worker="one")

    def page(after: int, **more: Any) -> EventPage:
        query = "&".join(f"{name}={value}" for name, value in {"after": after, **more}.items())
        return EventPage.model_validate(admin.get(f"/v1/events/list?{query}").json)

    seen, cursor = [], start
    while (found := page(cursor, limit=4)).items:
        assert len(found.items) <= 4
        seen += [each.id for each in found.items]
        cursor = found.next
    assert seen == [*numbers, numbers[-1] + 2]
    assert found.next == found.newest == numbers[-1] + 2
    assert [each.id for each in page(start, kinds="job.failed,worker.*").items] == [*numbers[2::3], numbers[-1] + 2]
    mixed = page(start, kinds="job.*", limit=3)
    assert [each.kind for each in mixed.items] == ["job.created", "job.failed", "job.created"]
    nothing = page(start, kinds="dataset.*")
    assert (nothing.items, nothing.next) == ([], nothing.newest)  # a consumer of rare kinds does not read all again
    assert page(10**15).next == 10**15
    is_problem(admin.get("/v1/events/list?kinds=nonsense"), 422)
    is_problem(admin.get("/v1/events/list?limit=0"), 422)
    is_problem(admin.get("/v1/events/list?after=-1"), 422)
    is_problem(admin.get("/v1/events/list?job=nothing"), 404)
    model = push(admin, tiny_model())["id"]
    job = admin.post("/v1/jobs", json={"model": model, "targets": ["openvino:fp32"]}).json["id"]
    assert {each.job for each in page(0, job=job).items} == {job}


def test_the_client_and_the_command_line(
    serve: Callable[..., Served], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    served = serve(ENGINEHOUSE_WEBHOOK_NETWORKS="127.0.0.0/8", ENGINEHOUSE_WEBHOOK_HTTP="true")
    monkeypatch.setenv("ENGINEHOUSE_URL", served.url)
    monkeypatch.setenv("ENGINEHOUSE_TOKEN", ADMIN)

    def cli(*words: str) -> tuple[int, str]:
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            status = run(["webhook", *words])
        return status, out.getvalue()

    settings = served.settings.model_copy(update={"webhook_networks": "127.0.0.0/8", "webhook_http": True})
    farm = Farm(settings)
    farm.broker.send = lambda *_, **__: False  # type: ignore[method-assign]  # no events go through the broker
    hand = Hand(farm)
    with receiving() as receiver, Client(served.url, ADMIN) as client:
        made = client.webhooks.create(receiver.url, ["job.*"], description="one")
        receiver.secret = made.secret
        status, secret = cli("create", receiver.url, "--kind", "job.failed", "--kind", "job.succeeded")
        assert (status, secret.startswith("whsec_")) == (0, True)
        other = client.webhooks.list().items[0].id
        assert client.webhooks.get(made.id).kinds == ["job.*"]
        hand.tell("job.created", "job.failed")
        hand.round()
        assert [each.kind for each in client.webhooks.deliveries(made.id).items] == ["job.failed", "job.created"]
        assert client.webhooks.deliveries(state="dead").items == []
        first = client.webhooks.deliveries(other).items[0]
        assert client.webhooks.delivery(first.id).tries[0].status == 204
        assert client.webhooks.replay(first.id).state == "pending"
        with pytest.raises(Conflict):
            client.webhooks.replay(first.id)
        hand.round()
        since = datetime.now(UTC) - timedelta(minutes=5)
        assert client.webhooks.replay_range(made.id, since, delivered=True).deliveries == 2
        assert client.webhooks.change(other, enabled=False).disabled_reason == "by admin (settings)"
        assert client.webhooks.rotate(made.id, 0).old_secret_until is None
        assert client.webhooks.test(made.id).kind == "webhook.test"
        for wrong in ({"url": "nonsense"}, {"kinds": ["nothing"]}, {"colour": "red"}):
            with pytest.raises(RequestError):
                client.webhooks.change(made.id, **wrong)
        with pytest.raises(WebhookAddressRefused):
            client.webhooks.create("https://10.0.0.1/")
        events = client.events_page(kinds=["job.*"])
        assert [event.kind for event in events.items] == ["job.created", "job.failed"]
        hand.round()

        status, text = cli("list")
        assert (status, made.id in text, "disabled" in text, "enabled" in text) == (0, True, True, True)
        status, text = cli("show", other)
        assert (status, "by admin (settings)" in text) == (0, True)
        status, text = cli("set", other, "--enable", "--kind", "*", "--description", "all of it", "--json")
        shown = WebhookView.model_validate_json(text)
        assert (status, shown.enabled, shown.kinds, shown.description) == (0, True, ["*"], "all of it")
        assert cli("set", other)[0] == 2
        status, text = cli("deliveries", made.id, "--state", "delivered")
        assert (status, text.count("delivery_"), "204 in" in text) == (0, 3, True)
        status, text = cli("delivery", first.id)
        assert (status, '"specversion":"1.0"' in text, "accepted  204" in text) == (0, True, True)
        status, text = cli("replay", first.id)
        assert (status, text) == (0, f"{first.id} is pending\n")
        assert cli("replay", first.id)[0] == 3
        told = "2 deliveries are on their way\n"
        assert cli("replay", made.id, "--since", "1h", "--delivered") == (0, told)
        for words in (["--since", "yesterday"], ["--since", "2026-11-22T00:00:00"], ["--until", "1h"]):
            assert cli("replay", made.id, *words)[0] == 2, words
        assert cli("rotate", made.id, "--overlap", "90s")[1].startswith("whsec_")
        assert cli("rotate", made.id, "--overlap", "soon")[0] == 2
        assert cli("rotate", made.id, "--overlap", "30d")[0] == 3
        status, text = cli("test", made.id)
        assert (status, text.startswith("delivery_")) == (0, True)
        assert cli("delete", other)[0] == 0
        assert cli("show", other)[0] == 4
        client.webhooks.delete(made.id)
        with pytest.raises(NotFound):
            client.webhooks.get(made.id)
    farm.dispose()
    assert "Traceback" not in capsys.readouterr().err

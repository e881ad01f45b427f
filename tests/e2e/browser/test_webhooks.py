"""The pages of webhooks in a browser: make one, try it, see the answer come, replay it, and read it in every light."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from e2e.browser.conftest import NARROW, fits, serious
from integration.webhooks.receiver import Receiver, Reply, receiving
from playwright.sync_api import expect

from enginehouse.client import Client


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as made:
        yield made


@pytest.mark.parametrize("how", [{}, {"viewport": NARROW, "color_scheme": "dark"}])
def test_from_none_to_a_delivery_and_its_replay(
    visit: Callable[..., Any], client: Client, receiver: Receiver, how: dict[str, Any]
) -> None:
    for hook in client.webhooks.list(limit=200).items:
        client.webhooks.delete(hook.id)
    visitor = visit(**how)
    page = visitor.open("/settings/webhooks")
    expect(page.get_by_text("There is no webhook yet")).to_be_visible()
    assert serious(page) == []
    assert fits(page)
    page.get_by_label("Address").fill(receiver.url)
    page.get_by_label("Description").fill("the pipeline")
    page.get_by_role("button", name="Make the webhook").click()
    secret = re.search(r"whsec_[\w+/=]+", page.inner_text("main"))
    assert secret is not None
    receiver.secret = secret[0]
    assert serious(page) == []
    assert fits(page)

    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("accepted")).to_be_visible()  # the page looks again by itself
    assert receiver.until(1)[0].verified
    assert serious(page) == []
    assert fits(page)
    page.get_by_role("button", name="Send it once more").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    assert receiver.until(2)[1].id == receiver.got[0].id

    receiver.answer = lambda _: Reply(500, b"<script>alert('no')</script>")
    page.get_by_role("link", name="the pipeline").click()
    page.get_by_role("button", name="Send a test").click()
    expect(page.get_by_text("it answered 500")).to_be_visible()
    expect(page.get_by_text("<script>alert('no')</script>")).to_be_visible()
    page.get_by_role("link", name="the pipeline").click()
    expect(page.get_by_text("failing", exact=True)).to_be_visible()
    page.get_by_role("button", name="Disable").click()
    expect(page.get_by_role("heading", name="Disabled", exact=True)).to_be_visible()
    page.get_by_role("link", name=re.compile("Dead letters")).click()
    expect(page.locator("tbody tr")).to_have_count(1)
    assert serious(page) == []
    assert fits(page)
    receiver.answer = lambda _: Reply()
    page.get_by_role("button", name="Enable").click()
    page.get_by_role("button", name="Replay webhook.test").first.click()
    expect(page.get_by_text("accepted").first).to_be_visible()

    page.get_by_role("link", name="the pipeline").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.get_by_text("There is no webhook yet")).to_be_visible()

"""Sign-in, account and settings in a browser: what a person does there, in light and dark, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from uuid import uuid4

import pytest
from browser.conftest import NARROW, WIDE, Visitor, fits, serious
from playwright.sync_api import Page, expect

from enginehouse.client import Client
from enginehouse.errors import Unauthenticated
from farm.embedded import EmbeddedFarm

PASSWORD = "four plain words here"
PLACES = (
    "/account",
    "/settings/project",
    "/settings/members",
    "/settings/tokens",
    "/settings/audit",
    "/settings/persons",
)


@pytest.fixture
def login(client: Client) -> Iterator[str]:
    """An admin of the project who operates the farm."""
    name = f"ana-{uuid4().hex[:8]}"
    client.persons.create(name, name="Ana Ortega", password=PASSWORD, operator=True)
    client.members.put(name, "admin")
    yield name
    client.persons.change(name, disabled=True)


def sign_in(visitor: Visitor, login: str, onward: str = "/account") -> Page:
    page = visitor.open(f"/sign-in?next={onward}")
    page.get_by_label("Name").fill(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in").click()
    expect(page).to_have_url(re.compile(re.escape(onward)))
    return page


def test_a_person_signs_in_makes_a_token_uses_it_and_signs_out(
    visitor: Visitor, farm: EmbeddedFarm, login: str
) -> None:
    visitor.expect("401")  # the attempt that fails
    page = visitor.open("/sign-in?next=/account")
    page.get_by_label("Name").fill(login)
    page.get_by_label("Password").fill("not the one at all")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("The name or the password is wrong")
    expect(page.get_by_label("Name")).to_have_value(login)
    page.get_by_label("Password").fill(PASSWORD)
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Ana Ortega")
    page.get_by_label("Name of a new token").fill("laptop")
    page.get_by_role("button", name="Make the token").click()
    secret = page.locator(".snippet code").inner_text()
    with Client(farm.url, secret) as own:
        assert own.me().name == f"{login} (laptop)"
    page.get_by_role("button", name="Revoke laptop").click()
    expect(page.get_by_role("button", name="Revoke laptop")).to_have_count(0)
    with Client(farm.url, secret) as own, pytest.raises(Unauthenticated):
        own.me()
    page.locator("details.account summary").click()
    page.get_by_role("button", name="Sign out", exact=True).first.click()
    expect(page).to_have_url(re.compile("/sign-in$"))
    held = [cookie for cookie in visitor.context.cookies() if cookie["name"] == "enginehouse"]
    assert held == []


def test_the_cookie_is_out_of_reach_of_scripts(visitor: Visitor, login: str) -> None:
    page = sign_in(visitor, login)
    (held,) = [cookie for cookie in visitor.context.cookies() if cookie["name"] == "enginehouse"]
    assert held["httpOnly"]
    assert held["sameSite"] == "Lax"
    assert "enginehouse" not in page.evaluate("document.cookie")


def test_an_admin_makes_a_member_and_it_is_in_the_log(visitor: Visitor, client: Client, login: str) -> None:
    name = f"bo-{uuid4().hex[:8]}"
    client.persons.create(name, name="Bo", password=PASSWORD)
    page = sign_in(visitor, login, "/settings/members")
    page.get_by_label("Name or mail address").fill(name)
    page.get_by_label("Role", exact=True).select_option("submitter")
    page.get_by_role("button", name="Add").click()
    row = page.get_by_role("row").filter(has_text=name)
    expect(row.get_by_label(f"Role of {name}")).to_have_value("submitter")
    row.get_by_label(f"Role of {name}").select_option("viewer")
    row.get_by_role("button", name="Change").click()
    expect(page.get_by_label(f"Role of {name}")).to_have_value("viewer")
    page.goto(f"{visitor.origin}/settings/audit?who={login}")
    lines = page.get_by_role("row").filter(has_text=name)
    expect(lines).to_have_count(2)
    expect(lines.first).to_contain_text(f"member {name}: viewer")


@pytest.mark.parametrize(
    ("role", "submits", "tabs"),
    [
        ("viewer", False, ["Project", "Members"]),
        ("submitter", True, ["Project", "Members"]),
        ("maintainer", True, ["Project", "Members"]),
        ("admin", True, ["Project", "Members", "Tokens", "Webhooks", "Audit log"]),
    ],
)
def test_each_role_is_offered_what_it_may(
    visitor: Visitor, client: Client, role: str, submits: bool, tabs: list[str]
) -> None:
    login = f"{role}-{uuid4().hex[:8]}"
    client.persons.create(login, name=role, password=PASSWORD)
    client.members.put(login, role)
    page = sign_in(visitor, login, "/settings/project")
    expect(page.get_by_role("navigation", name="Settings").get_by_role("link")).to_have_text(tabs)
    page.goto(f"{visitor.origin}/jobs")
    expect(page.get_by_role("banner").get_by_role("link", name="Submit")).to_have_count(int(submits))
    visitor.expect("403")
    assert (page.goto(f"{visitor.origin}/submit").status == 200) == submits
    assert (page.goto(f"{visitor.origin}/settings/audit").status == 200) == (role == "admin")
    assert page.goto(f"{visitor.origin}/settings/persons").status == 403
    expect(page.locator("main")).to_contain_text("operate")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, NARROW], ids=["wide", "narrow"])
def test_every_page_fits_and_keeps_nobody_out(
    visit: Callable[..., Visitor], login: str, scheme: str, size: dict[str, int]
) -> None:
    visitor = visit(viewport=size, color_scheme=scheme)
    page = visitor.open("/sign-in")
    assert serious(page) == []
    assert fits(page)
    sign_in(visitor, login)
    for place in PLACES:
        visitor.open(place)
        expect(page.get_by_role("heading", level=1)).to_have_count(1)
        assert serious(page) == [], place
        assert fits(page), place


def test_it_works_without_scripts(visit: Callable[..., Visitor], login: str) -> None:
    visitor = visit(java_script_enabled=False)
    page = sign_in(visitor, login, "/settings/tokens")
    page.get_by_label("Name", exact=True).fill(f"ci-{login}")
    page.get_by_role("button", name="Make the token").click()
    expect(page.locator(".snippet code")).to_contain_text("eh_")

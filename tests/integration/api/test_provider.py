"""Signing in through a real OpenID Connect provider beside the farm, and every way in which it may be wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx2
import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.people_support import PASSWORD, enter, window
from services.process import free_port, running

from api.app import create_app, door
from api.oidc import BACK, safe_next
from api.settings import ServeSettings
from scheduler.farm import Farm

PUBLIC = "http://localhost"
ANA = {"sub": "1", "email": "Ana@example.com", "email_verified": True, "name": "Ana Ortega"}
MANY = ServeSettings(sign_in_limit="100000/minute", sign_in_name_limit="100000/minute")


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    program = Path(__file__).parents[2] / "services" / "provider.py"

    def ready() -> bool:
        try:
            return httpx2.get(f"{url}/keys", trust_env=False).status_code == 200
        except httpx2.TransportError:
            return False

    command = [sys.executable, str(program), str(port), PUBLIC + BACK]
    with running(command, tmp_path_factory.mktemp("provider") / "log", ready=ready):
        yield url


@pytest.fixture
def make(lite: Callable[..., Farm], provider: str) -> Iterator[Callable[..., Flask]]:
    """Makes applications that know the provider."""
    made: list[Flask] = []

    def app(**more: Any) -> Flask:
        values = {
            "public_url": PUBLIC,
            "oidc_issuer": provider,
            "oidc_client_id": "farm",
            "oidc_client_secret": "a-secret-of-the-farm",
        }
        farm = lite(**(values | more))
        made.append(create_app(farm.settings, farm, MANY))
        return made[-1]

    be(provider)
    yield app
    for one in made:
        door(one).tailer.close()


def be(provider: str, **who: Any) -> None:
    """Let the provider's user be this."""
    httpx2.post(f"{provider}/be", json={**ANA, **who}, trust_env=False).raise_for_status()


def misbehave(provider: str, how: str) -> None:
    httpx2.post(f"{provider}/misbehave", json={"how": how}, trust_env=False).raise_for_status()


def there(client: FlaskClient, onward: str = "/settings/project") -> str:
    """To the provider, and the address to which it sends the browser back."""
    sent = client.get("/sign-in/provider", query_string={"next": onward})
    assert sent.status_code == 303, sent.text
    answer = httpx2.get(sent.headers["Location"], trust_env=False, follow_redirects=False)
    assert answer.status_code == 302, answer.text
    back: str = answer.headers["Location"]
    assert back.startswith(PUBLIC + BACK)
    return back.removeprefix(PUBLIC)


def sign_in(client: FlaskClient, onward: str = "/settings/project") -> Any:
    return client.get(there(client, onward))


def who(client: FlaskClient) -> Any:
    return client.get("/v1/me").json


def test_whoever_is_in_a_domain_is_entered_and_is_the_same_the_next_time(
    make: Callable[..., Flask], provider: str
) -> None:
    app = make(oidc_domains="other.org, example.com", oidc_role="submitter")
    client = window(app)
    answer = sign_in(client)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/settings/project")
    me = who(client)
    assert (me["name"], me["kind"], me["project"], me["role"]) == ("ana@example.com", "person", "default", "submitter")
    be(provider, email="ana@elsewhere.net")  # they are known by the provider's own id
    again = window(app)
    assert sign_in(again).status_code == 303
    assert who(again)["name"] == "ana@example.com"
    with door(app).farm.read() as session:
        from scheduler import audit

        lines = audit.list_(session, None).items
    assert {(line.who, line.action, line.outcome) for line in lines} == {
        ("ana@example.com", "page_sign_in_back", "done")
    }


def test_what_is_asked_of_the_provider(make: Callable[..., Flask], provider: str) -> None:
    there(window(make(oidc_domains="example.com")))
    asked = httpx2.get(f"{provider}/asked", trust_env=False).json()
    assert asked["response_type"] == "code"
    assert asked["code_challenge_method"] == "S256"
    assert len(asked["code_challenge"]) == 43
    assert len(asked["nonce"]) >= 20
    assert len(asked["state"]) >= 20
    assert asked["redirect_uri"] == PUBLIC + BACK
    assert asked["scope"] == "openid email profile"


def test_a_group_lets_in_where_the_address_is_verified(make: Callable[..., Flask], provider: str) -> None:
    app = make(oidc_groups="ml, ops", oidc_project="")
    be(provider, groups=["ops"])
    client = window(app)
    assert sign_in(client).status_code == 303
    be(provider, sub="2", email="bo@example.com", groups=["sales"])
    assert "nobody has invited you" in sign_in(window(app)).text
    be(provider, sub="3", email="cy@example.com", email_verified=False, groups=["ops"])
    assert "no verified mail address" in sign_in(window(app)).text


def test_groups_and_address_may_come_from_the_userinfo_alone(make: Callable[..., Flask], provider: str) -> None:
    app = make(oidc_domains="example.com")
    be(provider, hidden=["email", "email_verified"])
    client = window(app)
    assert sign_in(client).status_code == 303
    assert who(client)["name"] == "ana@example.com"
    misbehave(provider, "userinfo")
    refused = sign_in(window(app))
    assert refused.status_code == 400


def test_strangers_are_refused_and_nothing_is_entered(make: Callable[..., Flask], provider: str) -> None:
    app = make(oidc_domains="other.org")
    client = window(app)
    answer = sign_in(client)
    assert answer.status_code == 403
    assert "This farm does not let you in" in answer.text
    assert client.get("/v1/me").status_code == 401
    be(provider, email="ana@evil-other.org")
    assert sign_in(client).status_code == 403
    with door(app).farm.read() as session:
        from scheduler import persons

        assert persons.list_(session).items == []


def test_an_invitation_is_taken_by_a_verified_address_alone(make: Callable[..., Flask], provider: str) -> None:
    app = make()
    enter(door(app).farm, "ana@example.com", "maintainer")
    be(provider, email_verified=False)
    assert sign_in(window(app)).status_code == 403
    be(provider)
    client = window(app)
    assert sign_in(client).status_code == 303
    assert who(client)["role"] == "maintainer"
    be(provider, sub="another")  # the address again, and somebody else
    assert sign_in(window(app)).status_code == 403


def test_a_person_with_a_password_is_not_taken_over(make: Callable[..., Flask]) -> None:
    app = make(oidc_domains="example.com")
    enter(door(app).farm, "ana@example.com", "admin", password=PASSWORD)
    assert sign_in(window(app)).status_code == 403


def test_whoever_is_disabled_is_refused(make: Callable[..., Flask]) -> None:
    from enginehouse.people import PersonChange
    from scheduler import persons, tokens

    app = make(oidc_domains="example.com")
    client = window(app)
    sign_in(client)
    farm = door(app).farm
    with farm.read() as session:
        operator = tokens.loopback_principal(session)
    persons.change(farm, operator, "ana@example.com", PersonChange(disabled=True))
    assert client.get("/v1/me").status_code == 401
    assert sign_in(client).status_code == 403


@pytest.mark.parametrize(
    "how", ["key", "issuer", "audience", "expired", "nonce", "unsigned", "no-identity", "denied", "metadata"]
)
def test_what_is_not_proven_signs_nobody_in(make: Callable[..., Flask], provider: str, how: str) -> None:
    app = make(oidc_domains="example.com")
    misbehave(provider, how)
    client = window(app)
    answer = client.get("/sign-in/provider") if how == "metadata" else sign_in(client)
    assert answer.status_code == 400, answer.text
    assert "The sign-in with the provider failed" in answer.text
    assert client.get("/v1/me").status_code == 401
    be(provider)
    assert sign_in(client).status_code == 303  # and afterwards it goes on


def test_an_answer_counts_in_the_browser_that_asked_and_once(make: Callable[..., Flask]) -> None:
    app = make(oidc_domains="example.com")
    asked, other = window(app), window(app)
    back = there(asked)
    assert other.get(back).status_code == 400  # somebody else's browser: login CSRF
    assert asked.get(back + "x").status_code == 400  # another state
    back = there(asked)
    assert asked.get(back).status_code == 303
    assert asked.get(back).status_code == 400
    assert asked.get(BACK).status_code == 400
    forged = f"{BACK}?code=x&state={parse_qs(urlsplit(back).query)['state'][0]}"
    assert asked.get(forged).status_code == 400


def test_a_provider_that_is_away_is_said(make: Callable[..., Flask]) -> None:
    app = make(oidc_issuer=f"http://127.0.0.1:{free_port()}")
    answer = window(app).get("/sign-in/provider")
    assert answer.status_code == 400
    assert "does not answer" in answer.text


def test_a_farm_without_a_provider_has_no_such_way(lite: Callable[..., Farm]) -> None:
    farm = lite()
    client = window(create_app(farm.settings, farm, MANY))
    assert client.get("/sign-in/provider").status_code == 404
    assert "Sign in through" not in client.get("/sign-in").text


@pytest.mark.parametrize(
    ("asked", "answered"),
    [
        ("/jobs?state=failed", "/jobs?state=failed"),
        ("", "/"),
        (None, "/"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("/a\r\nSet-Cookie: x", "/"),
        ("javascript:alert(1)", "/"),
    ],
)
def test_nobody_is_sent_on_to_elsewhere(asked: str | None, answered: str) -> None:
    assert safe_next(asked) == answered

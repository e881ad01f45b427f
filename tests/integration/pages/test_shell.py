"""What every page has: the policy, the assets, the navigation, errors as pages."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient
from integration.api.support import is_problem
from integration.pages.reading import Reading, keeps_to_the_policy

from api.app import all_routes
from api.requests import content_policy
from enginehouse.errors import codes

BROWSER = {"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: which registry it is does not matter here."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


def test_the_front_door_leads_on(admin: FlaskClient) -> None:
    answer = admin.get("/")
    assert answer.status_code == 303
    assert answer.headers["Location"] == "/jobs"


@pytest.mark.parametrize("path", ["/openapi", "/nowhere"])
def test_a_page_runs_nothing_of_its_own_and_loads_nothing_from_elsewhere(admin: FlaskClient, path: str) -> None:
    answer = admin.get(path, headers=BROWSER)
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    found = keeps_to_the_policy(answer.text)
    for address in set(found.addresses):
        if address.startswith("/"):
            assert admin.get(address.split("#")[0], follow_redirects=True).status_code == 200, address


def test_every_answer_is_bounded(admin: FlaskClient) -> None:
    for path in ("/openapi", "/v1/jobs", "/assets/style.css", "/v1/nowhere"):
        headers = admin.get(path).headers
        policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == policy["base-uri"] == policy["object-src"] == "'none'"
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"


def test_uploads_may_go_straight_to_the_store() -> None:
    assert "connect-src 'self' https://s3.example.org:9000;" in content_policy(["https://s3.example.org:9000"])
    assert "unsafe" not in content_policy([])


def test_an_asset_that_is_named_with_its_content_is_kept(admin: FlaskClient, app: Flask) -> None:
    wanted = [one for one in Reading(admin.get("/openapi").text).addresses if one.startswith("/assets/")]
    assert len(wanted) > 5
    nobody = app.test_client()  # the page where one signs in has a style, too
    for address in wanted:
        answer = nobody.get(address)
        assert answer.status_code == 200, address
        assert "immutable" in answer.headers["Cache-Control"]
    assert "immutable" not in nobody.get("/assets/style.css?v=0123").headers["Cache-Control"]


@pytest.mark.parametrize("name", ["other.css", "..%2Fasset.py", "../asset.py", "vendor/VENDOR.toml", "vendor", ""])
def test_nothing_else_is_an_asset(admin: FlaskClient, name: str) -> None:
    assert admin.get(f"/assets/{name}").status_code == 404


def test_the_navigation_marks_where_one_is_and_links_only_to_what_is_there(admin: FlaskClient) -> None:
    text = admin.get("/openapi").text
    assert '<a href="/openapi" aria-current="page">' in text
    known = {route.rule for route in all_routes()}
    linked = {address for address in Reading(text).addresses if address.startswith("/") and "?" not in address}
    assert {address for address in linked if not address.startswith("/assets/")} <= known


def test_an_error_of_a_page_is_a_page_and_one_of_the_api_a_problem(admin: FlaskClient, app: Flask) -> None:
    missing = admin.get("/nowhere", headers=BROWSER)
    assert missing.status_code == 404
    assert "request.not_found" in missing.text
    assert missing.headers["X-Request-Id"] in missing.text
    is_problem(admin.get("/nowhere"), 404)
    is_problem(admin.get("/v1/nowhere", headers=BROWSER), 404)
    is_problem(admin.get("/v1/jobs/nope", headers=BROWSER), 404)
    refused = app.test_client().get("/openapi", headers=BROWSER)
    assert refused.status_code in {303, 401}
    assert "job_" not in refused.text


def test_the_api_s_document_leaves_the_pages_out(admin: FlaskClient) -> None:
    document = admin.get("/openapi.json").json
    assert document is not None
    pages = {route.rule for route in all_routes() if route.page}
    assert "/openapi" in pages
    assert not pages & set(document["paths"])


def test_the_api_page_names_every_address_and_code(admin: FlaskClient) -> None:
    text = admin.get("/openapi").text
    document = admin.get("/openapi.json").json
    assert document is not None
    for path in document["paths"]:
        assert f"<code>{path}</code>" in text
    for code in codes():
        assert f"<code>{code}</code>" in text


def test_maintenance_is_told_on_every_page(admin: FlaskClient) -> None:
    said = "The farm is in maintenance"
    assert said not in admin.get("/openapi").text
    admin.put("/v1/maintenance", json={"on": True, "reason": "<b>new disks</b>"})
    text = admin.get("/openapi").text
    assert said in text
    assert "&lt;b&gt;new disks&lt;/b&gt;" in text

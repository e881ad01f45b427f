"""Pages for people: what they show, what they load, what they escape."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from flask.testing import FlaskClient
from integration.api.support import is_problem, push, sign_on_body, tiny_model

from enginehouse.errors import codes


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: which registry it is does not matter here."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


class Loads(HTMLParser):
    """Collects what a page loads or links to, and whether it runs anything."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.active: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in {"href", "src", "action"}:
                self.addresses.append(value or "")
            if name.startswith("on") or name == "style":
                self.active.append(name)
        if tag in {"script", "iframe", "object", "style"}:
            self.active.append(tag)


def loads(text: str) -> Loads:
    found = Loads()
    found.feed(text)
    return found


def test_the_first_page_is_empty_and_says_how_to_begin(admin: FlaskClient) -> None:
    text = admin.get("/").text
    assert "enginehouse submit" in text
    assert "No worker has signed on" in text
    assert 'http-equiv="refresh"' not in text


def test_the_first_page_lists_jobs_in_words_and_workers(admin: FlaskClient, worker: FlaskClient) -> None:
    model = push(admin, tiny_model())["id"]
    name = "<script>alert(1)</script>"
    body = {"model": model, "targets": ["openvino:fp16"], "name": name}
    job = admin.post("/v1/jobs", json=body).json
    worker.post("/v1/work/sign-on", json=sign_on_body("hands"))
    text = admin.get("/").text
    assert name not in text
    assert "&lt;script&gt;" in text
    assert job["id"] in text
    assert "openvino:fp16" in text
    assert "waiting: " in text
    assert "hands" in text
    assert "Test CPU" in text
    assert 'http-equiv="refresh"' in text
    admin.post(f"/v1/jobs/{job['id']}/cancel")
    text = admin.get("/").text
    assert "cancelled" in text
    assert 'http-equiv="refresh"' not in text


def test_older_jobs_are_a_page_away(admin: FlaskClient) -> None:
    model = push(admin, tiny_model())["id"]
    for number in range(51):
        admin.post("/v1/jobs", json={"model": model, "targets": ["openvino:fp32"], "name": f"job-{number:02d}"})
    text = admin.get("/").text
    assert "job-50" in text
    assert "job-00" not in text
    older = re.search(r'href="(/\?after=[^"]+)"', text)
    assert older is not None
    assert "job-00" in admin.get(older[1]).text


def test_pages_load_nothing_from_elsewhere_and_run_nothing(admin: FlaskClient) -> None:
    for path in ("/", "/openapi"):
        answer = admin.get(path)
        assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
        found = loads(answer.text)
        assert found.active == []
        assert all(
            address.startswith(("/", "#", "data:,")) and not address.startswith("//") for address in found.addresses
        )
        for address in set(found.addresses):
            if address.startswith("/"):
                assert admin.get(address.split("#")[0]).status_code == 200, address


def test_the_style_sheet_is_the_only_asset(admin: FlaskClient) -> None:
    answer = admin.get("/assets/style.css")
    assert answer.headers["Content-Type"] == "text/css; charset=utf-8"
    is_problem(admin.get("/assets/other.css"), 404)
    is_problem(admin.get("/assets/..%2Findex.py"), 404)


def test_the_api_page_names_every_address_and_code(admin: FlaskClient) -> None:
    text = admin.get("/openapi").text
    document = admin.get("/openapi.json").json
    for path in document["paths"]:
        assert f"<code>{path}</code>" in text
    for code in codes():
        assert f"<code>{code}</code>" in text

from __future__ import annotations

import json
from pathlib import Path

import pytest

from enginehouse.errors import RequestError
from enginehouse.settings import client_settings, origin_of


def write_farm(home: Path, url: str = "http://127.0.0.1:9001", token: str = "eh_embedded") -> dict[str, str]:
    (home / "farm.json").write_text(json.dumps({"url": url, "token": token}))
    return {"ENGINEHOUSE_HOME": str(home)}


def test_without_anything_the_default(tmp_path: Path) -> None:
    found = client_settings(environ={"ENGINEHOUSE_HOME": str(tmp_path)})
    assert (found.url, found.token, found.source) == ("http://127.0.0.1:8470", None, "default")


def test_the_embedded_farms_file(tmp_path: Path) -> None:
    found = client_settings(environ=write_farm(tmp_path))
    assert (found.url, found.token) == ("http://127.0.0.1:9001", "eh_embedded")
    assert found.source == str(tmp_path / "farm.json")


def test_the_environment_goes_before_the_file_and_its_token_stays_at_home(tmp_path: Path) -> None:
    found = client_settings(environ={**write_farm(tmp_path), "ENGINEHOUSE_URL": "https://farm.example.org/"})
    assert (found.url, found.token) == ("https://farm.example.org", None)


def test_the_same_address_by_environment_may_use_the_files_token(tmp_path: Path) -> None:
    environ = {**write_farm(tmp_path), "ENGINEHOUSE_URL": "http://127.0.0.1:9001/"}
    assert client_settings(environ=environ).token == "eh_embedded"


def test_arguments_go_before_all(tmp_path: Path) -> None:
    environ = {**write_farm(tmp_path), "ENGINEHOUSE_URL": "http://a", "ENGINEHOUSE_TOKEN": "t1"}
    found = client_settings("http://b:1", "t2", environ)
    assert (found.url, found.token, found.source) == ("http://b:1", "t2", "argument")
    assert client_settings("http://b:1", None, environ).token == "t1"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"url": 3}', "not json"])
def test_a_broken_file_is_no_file(tmp_path: Path, content: str) -> None:
    (tmp_path / "farm.json").write_text(content)
    assert client_settings(environ={"ENGINEHOUSE_HOME": str(tmp_path)}).source == "default"


@pytest.mark.parametrize(
    "url", ["farm.example.org", "ftp://x", "http://", "http://a:b@c", "http://a?x=1", "http://a#x", "http://a:99999"]
)
def test_what_is_no_address_says_so(url: str) -> None:
    with pytest.raises(RequestError, match="address"):
        client_settings(url, environ={})


def test_a_token_with_a_line_break_is_refused_before_it_is_sent() -> None:
    with pytest.raises(RequestError):
        client_settings("http://a", "eh_x\nX-Evil: 1", environ={})


def test_the_token_is_not_in_the_repr() -> None:
    assert "eh_x" not in repr(client_settings("http://a", "eh_x", environ={}))


def test_origins_compare_with_their_default_ports() -> None:
    assert origin_of("http://A/x") == origin_of("http://a:80/y")
    assert origin_of("https://a") != origin_of("http://a")

"""Ranges and validators, as RFC 9110 has them."""

from __future__ import annotations

from pathlib import Path

import pytest
from flask.testing import FlaskClient
from integration.api.support import is_problem, push, sha, tiny_model

from api.downloads import byte_range
from enginehouse.errors import RangeNotSatisfiable


@pytest.fixture
def database_url(tmp_path: Path) -> str:
    """SQLite alone: which registry it is does not matter here."""
    return f"sqlite:///{tmp_path / 'registry.db'}"


@pytest.fixture
def data() -> bytes:
    return tiny_model(7.0)


@pytest.fixture
def path(admin: FlaskClient, data: bytes) -> str:
    made = push(admin, data)
    return f"/v1/models/{made['id']}/files/{made['files'][0]['path']}"


def test_the_whole_file(admin: FlaskClient, path: str, data: bytes) -> None:
    answer = admin.get(path)
    assert answer.status_code == 200
    assert answer.data == data
    headers = answer.headers
    assert headers["Content-Length"] == str(len(data))
    assert headers["ETag"] == f'"{sha(data)}"'
    assert headers["X-Content-SHA256"] == sha(data)
    assert headers["Accept-Ranges"] == "bytes"
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"].startswith('attachment; filename="model.onnx"')


def test_head_has_the_headers_alone(admin: FlaskClient, path: str, data: bytes) -> None:
    answer = admin.head(path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["Content-Length"] == str(len(data))
    assert answer.headers["ETag"] == f'"{sha(data)}"'


@pytest.mark.parametrize(
    ("spec", "cut"),
    [("0-3", slice(0, 4)), ("5-", slice(5, None)), ("-6", slice(-6, None)), ("2-999999", slice(2, None))],
)
def test_a_range(admin: FlaskClient, path: str, data: bytes, spec: str, cut: slice) -> None:
    answer = admin.get(path, headers={"Range": f"bytes={spec}"})
    assert answer.status_code == 206
    assert answer.data == data[cut]
    start = cut.indices(len(data))[0]
    assert answer.headers["Content-Range"] == f"bytes {start}-{start + len(data[cut]) - 1}/{len(data)}"
    assert answer.headers["Content-Length"] == str(len(data[cut]))


@pytest.mark.parametrize(
    "spec", ["bytes=0-1,3-4", "lines=0-3", "bytes=x-y", "bytes=4-2", "bytes=-", "bytes", "bytes=--5"]
)
def test_what_may_be_ignored_is_ignored(admin: FlaskClient, path: str, data: bytes, spec: str) -> None:
    answer = admin.get(path, headers={"Range": spec})
    assert answer.status_code == 200
    assert answer.data == data


@pytest.mark.parametrize("spec", ["bytes=1000000-", "bytes=-0"])
def test_416_names_the_size(admin: FlaskClient, path: str, data: bytes, spec: str) -> None:
    answer = admin.get(path, headers={"Range": spec})
    is_problem(answer, 416, "request.range_not_satisfiable")
    assert answer.headers["Content-Range"] == f"bytes */{len(data)}"


def test_validators(admin: FlaskClient, path: str, data: bytes) -> None:
    etag = f'"{sha(data)}"'
    for known in (etag, f"W/{etag}", f'"x", {etag}', "*"):
        answer = admin.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, answer.data) == (304, b"")
        assert answer.headers["ETag"] == etag
    assert admin.get(path, headers={"If-None-Match": '"other"'}).status_code == 200
    assert admin.get(path, headers={"Range": "bytes=0-0", "If-Range": etag}).status_code == 206
    for other in ('"other"', f"W/{etag}", "Sat, 21 Nov 2026 00:00:00 GMT"):
        assert admin.get(path, headers={"Range": "bytes=0-0", "If-Range": other}).status_code == 200


def test_an_empty_file_has_no_range() -> None:
    assert byte_range(None, 0) is None
    with pytest.raises(RangeNotSatisfiable):
        byte_range("bytes=0-", 0)

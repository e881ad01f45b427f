from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import pytest

from enginehouse import errors
from enginehouse.connection import Connection
from enginehouse.sources import BytesSource, FileSource, file_source, sha256_of
from enginehouse.transfer import hashed, missing_parts, upload
from enginehouse.views import UploadView

DATA = os.urandom(300_000)


def source(data: bytes = DATA) -> BytesSource:
    return BytesSource(path="x", data=data, size=len(data))


def sha(data: bytes = DATA) -> str:
    return hashlib.sha256(data).hexdigest()


def test_parts_that_are_missing() -> None:
    base = {"id": "u", "sha256": "0" * 64, "state": "open", "part_size": 10, "expires": "2026-01-01T00:00:00Z"}
    have = [{"number": 2, "size": 10, "sha256": ""}]
    view = UploadView.model_validate({**base, "size": 25, "parts": have})
    assert missing_parts(view) == [(1, 0, 10), (3, 20, 5)]
    assert missing_parts(UploadView.model_validate({**base, "size": 20})) == [(1, 0, 10), (2, 10, 10)]
    assert missing_parts(UploadView.model_validate({**base, "size": 0})) == [(1, 0, 0)]


def test_hashing_reads_all_and_tells() -> None:
    told = []
    assert hashed(source(), lambda *args: told.append(args)) == sha()
    assert told[-1] == ("hash", len(DATA), len(DATA))
    assert sha256_of(source(), 10, 5) == sha(DATA[10:15])


def test_an_upload_in_parts(small_farm: Any, connection: Connection) -> None:
    told: list[tuple[str, int, int]] = []
    view = upload(connection, source(), sha(), lambda *args: told.append(args))
    assert view.state == "complete"
    assert small_farm.stored[sha()] == DATA
    assert told[-1] == ("upload", len(DATA), len(DATA))
    put = small_farm.calls("PUT")[0][2]
    assert put["X-Signed"] == "yes"
    assert "Transfer-Encoding" not in put


def test_an_empty_file(small_farm: Any, connection: Connection) -> None:
    assert upload(connection, source(b""), sha(b"")).state == "complete"


def test_a_resumed_upload_sends_only_what_is_missing(small_farm: Any, connection: Connection) -> None:
    first = DATA[: small_farm.part_size]
    small_farm.uploads[sha()] = {"size": len(DATA), "parts": {1: first}}
    told: list[tuple[str, int, int]] = []
    upload(connection, source(), sha(), lambda *args: told.append(args))
    assert not [call for call in small_farm.calls("PUT") if call[1].endswith("/parts/1")]
    assert len(small_farm.calls("PUT")) == 4
    assert min(done for _, done, _ in told) > len(first)
    assert small_farm.stored[sha()] == DATA


def test_bytes_that_the_farm_has_are_not_sent(small_farm: Any, connection: Connection) -> None:
    small_farm.uploads[sha()] = {"size": len(DATA), "parts": {}}
    small_farm.stored[sha()] = DATA
    upload(connection, source(), sha())
    assert [call[0] for call in small_farm.seen] == ["POST"]


def test_faults_on_the_way_are_overcome(small_farm: Any, connection: Connection) -> None:
    upload(connection, source(b"warm"), sha(b"warm"))
    small_farm.faults = [
        ("/parts/1", lambda request: request.answer(500, b"")),
        ("PUT", lambda request: request.cut()),
        ("PUT", lambda request: request.problem(403, "request.forbidden", "the address has expired")),
        ("/complete", lambda request: request.answer(503, b"")),
    ]
    told: list[tuple[str, int, int]] = []
    upload(connection, source(), sha(), lambda *args: told.append(args))
    assert small_farm.stored[sha()] == DATA
    assert not small_farm.faults
    assert told[-1] == ("upload", len(DATA), len(DATA))


def test_a_store_elsewhere_never_sees_the_token(small_farm: Any, other_host: Any, connection: Connection) -> None:
    small_farm.part_base = other_host.url
    other_host.uploads = small_farm.uploads
    upload(connection, source(), sha())
    assert small_farm.stored[sha()] == DATA
    assert len(other_host.seen) == 5
    assert all("Authorization" not in headers for _, _, headers in other_host.seen)


def test_other_bytes_than_declared_are_an_error_and_end_it(small_farm: Any, connection: Connection) -> None:
    with pytest.raises(errors.DigestMismatch):
        upload(connection, source(), "0" * 64)


def test_a_refused_part_ends_the_upload(small_farm: Any, connection: Connection) -> None:
    small_farm.faults = [("PUT", lambda request: request.problem(422, "upload.sha256_mismatch", "other"))]
    with pytest.raises(errors.DigestMismatch):
        upload(connection, source(), sha())


def test_a_farm_that_loses_parts_for_ever_is_reported(small_farm: Any, connection: Connection) -> None:
    small_farm.routes.insert(0, ("PUT", ".*", lambda request: (request.body(), request.answer(200, {}))))
    with pytest.raises(errors.UploadIncomplete, match="three times"):
        upload(connection, source(), sha())


def test_an_interrupted_upload_stops_at_once_and_goes_on_later(small_farm: Any, connection: Connection) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if done >= 2 * small_farm.part_size:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload(connection, source(), sha(), interrupt)
    assert sha() not in small_farm.stored
    upload(connection, source(), sha())
    assert small_farm.stored[sha()] == DATA


def test_a_file_that_shrinks_is_noticed(tmp_path: Path) -> None:
    file = tmp_path / "x.bin"
    file.write_bytes(b"abc")
    shrunk = FileSource(path="x.bin", file=file, size=10)
    with pytest.raises(OSError, match="became shorter"):
        hashed(shrunk)


def test_folders_and_missing_files_are_no_sources(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        file_source(tmp_path)
    with pytest.raises(FileNotFoundError):
        file_source(tmp_path / "nothing")
